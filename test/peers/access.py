"""Who may come in: applications, tokens that are none, and every route of the table with one thing of each kind that its path can name."""
import csv
import hashlib
import hmac
import json
import re
import urllib.parse

from host import ROOT
from issuer import decode, encode

FORM = "application/x-www-form-urlencoded"
ALL_SCOPES = ("read", "write", "images", "nidd", "monitoring", "trigger", "parameters", "provision")


class Application:
    """One of the host's, with its secret."""

    def __init__(self, host, name, domains=("acme.example",), scopes=("read", "nidd"), **members):
        answer = host.admin.post("/v1/applications", {"id": name, "domains": list(domains), "scopes": list(scopes), **members})
        assert answer.status == 201, answer
        self.host, self.name, self.secret = host, name, answer.json()["token"]

    def ask(self, path="/oauth2/token", headers=None, **form):
        form = {"grant_type": "client_credentials", "client_id": self.name, "client_secret": self.secret, **form}
        body = urllib.parse.urlencode({name: value for name, value in form.items() if value is not None})
        return self.host.client(None).post(path, body, Content_Type=FORM, **(headers or {}))

    def token(self, **form):
        answer = self.ask(**form)
        assert answer.status == 200, answer
        return answer.json()["access_token"]

    def client(self, **form):
        return self.host.client(self.token(**form))


def bad_tokens(token, key):
    header, claims, signature = token.split(".")
    read, say = json.loads(decode(header)), json.loads(decode(claims))
    public = decode(key["x"])

    def hs256(text):
        return encode(hmac.new(public, text.encode(), hashlib.sha256).digest())
    symmetric = encode({**read, "alg": "HS256"}) + "." + claims
    yield "none", encode({**read, "alg": "none"}) + f".{claims}."
    yield "none with a signature", encode({**read, "alg": "none"}) + f".{claims}.{signature}"
    yield "HS256 with the public key", symmetric + "." + hs256(symmetric)
    yield "another algorithm's name", encode({**read, "alg": "ES256"}) + f".{claims}.{signature}"
    yield "crit", encode({**read, "crit": ["x"]}) + f".{claims}.{signature}"
    yield "no kid", encode({"alg": "EdDSA", "typ": "at+jwt"}) + f".{claims}.{signature}"
    yield "unknown kid", encode({**read, "kid": "x"}) + f".{claims}.{signature}"
    yield "more scope", header + "." + encode({**say, "scope": "read write nidd"}) + "." + signature
    yield "later end", header + "." + encode({**say, "exp": say["exp"] + 1}) + "." + signature
    yield "other issuer", header + "." + encode({**say, "iss": "https://other.example"}) + "." + signature
    yield "half a signature", f"{header}.{claims}.{signature[:43]}"
    yield "no signature", f"{header}.{claims}."
    yield "flipped bit", f"{header}.{claims}." + encode(bytes([decode(signature)[0] ^ 1]) + decode(signature)[1:])
    yield "truncated", token[:len(token) // 2]
    yield "four parts", token + ".x"
    yield "padding", f"{header}.{claims}=.{signature}"
    yield "another alphabet", f"{header}.{claims}.+/{signature[2:]}"
    yield "loose last bits", f"{header}.{claims}.{signature[:-1]}" + chr(ord(signature[-1]) + 1)
    yield "huge", f"{header}." + encode({**say, "x": "y" * 5000}) + f".{signature}"
    yield "nested", f"{header}." + encode(b'{"a":' * 400 + b"1" + b"}" * 400) + f".{signature}"
    yield "twice", f"{header}." + encode(b'{"iss":"a",' + json.dumps(say).encode()[1:]) + f".{signature}"
    yield "no object", f"{header}." + encode(b"[1]") + f".{signature}"
    yield "no JSON", f"{header}." + encode(b"{") + f".{signature}"
    yield "exp is a text", f"{header}." + encode({**say, "exp": "x"}) + f".{signature}"
    yield "exp is negative", f"{header}." + encode({**say, "exp": -1}) + f".{signature}"
    yield "only dots", ".."


def routes(are_open=False):
    """The table that the router is made of: a new route is in here by itself."""
    lines = [line for line in (ROOT / "spec" / "routes.csv").read_text().splitlines() if line and not line.startswith("#")]
    return [row for row in csv.DictReader(lines) if (row["scope"] == "open") == are_open]


class Guarded:
    """A host with one thing of each kind that a path can name, all of the application `owner`."""

    def __init__(self, host, issuer):
        self.host, self.issuer = host, issuer
        host.admin.put_twin("door@acme.example", imsi="001010000000001")
        assert host.admin.put("/v1/groups/doors@acme.example", {}).status == 201
        self.owner = Application(host, "owner", scopes=ALL_SCOPES)
        self.stranger = Application(host, "stranger", domains=("other.example",), scopes=ALL_SCOPES)
        client, base = self.owner.client(), "/3gpp-nidd/v1/owner/configurations"
        self.configurations = []
        for user in ({"externalId": "door@acme.example"}, {"externalGroupId": "doors@acme.example"}):
            made = client.post(base, {**user, "notificationDestination": "http://192.0.2.1/x"})
            assert made.status == 201, made
            self.configurations.append(made.headers["Location"].rsplit("/", 1)[1])
        watched = client.post("/3gpp-monitoring-event/v1/owner/subscriptions", {
            "externalId": "door@acme.example", "monitoringType": "UE_REACHABILITY", "reachabilityType": "DATA", "maximumNumberOfReports": 1,
            "notificationDestination": "http://192.0.2.1/x"})
        assert watched.status == 201, watched
        ticket = client.put("/v1/twins/door@acme.example/properties/period", {"value": 60}).json()["ticket"]
        trace = host.admin.post("/v1/traces", {"twin": "door@acme.example"}).json()["trace"]
        self.names = {"id": "door@acme.example", "group": "doors@acme.example", "name": "period", "ticket": ticket, "trace": trace, "application": "owner",
                      "scsAsId": "owner", "downlinkDataDeliveryId": "0" * 16, "subscriptionId": watched.json()["self"].rsplit("/", 1)[1], "transactionId": "0" * 16, "setId": "1", "portId": "ue3-ef7", "securityId": "owner",
                      "domain": "acme.example", "apiInvokerId": "owner", "onboardingId": "owner", "apfId": "scef.dromio.test", "serviceApiId": "3gpp-nidd",
                      "digest": host.admin.get("/v1/images").json()["images"][0]["image"]}

    def paths(self, row, **other):
        """The row's path with names in it: of a device's configuration, and of a group's."""
        for configuration in self.configurations if "{configurationId}" in row["path"] else self.configurations[:1]:
            yield re.sub(r"\{(\w+)\}", lambda found: {**self.names, "configurationId": configuration, **other}[found[1]], row["path"])

    def ask(self, row, path, token):
        fields = {}
        if row["handler"] == "websocket":
            fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        device = {"externalId": "door@acme.example"}
        bodies = {"nidd_configuration": {**device, "notificationDestination": "http://192.0.2.1/x"}, "nidd_delivery": {**device, "data": "AQ=="},
                  "bulk": {"id": "door@acme.example"}, "rds_port": {"appId": "meter"}}
        of_t8 = {"3gpp-monitoring-event": {"t8": {**device, "notificationDestination": "http://192.0.2.1/x", "monitoringType": "ROAMING_STATUS",
                                                  "maximumNumberOfReports": 1},
                                           "t8_patch": [{"op": "add", "path": "/excludedExternalIds/-", "value": "door@acme.example"}]},
                 "3gpp-device-triggering": dict.fromkeys(("t8", "t8_patch"), {
                     **device, "notificationDestination": "http://192.0.2.1/x", "validityPeriod": 60, "priority": "PRIORITY", "applicationPortId": 1,
                     "triggerPayload": "AQ=="}),
                 "3gpp-cp-parameter-provisioning": {"t8": {**device, "cpParameterSets": {"1": {"setId": "1", "stationaryIndication": "MOBILE"}}},
                                                    "t8_set": {"setId": "1", "stationaryIndication": "MOBILE"}},
                 "3gpp-network-parameter-configuration": {"t8": {**device, "maximumLatency": 600}, "t8_patch": {"maximumLatency": 600}},
                 "3gpp-ecr-control": {"t8_coverage": device}}
        bodies.update(of_t8.get(row["path"].split("/")[1], {}))
        body = None if row["method"] in ("GET", "DELETE") else json.dumps(bodies.get(row["body"], {}))
        kind = {"Content_Type": "application/json"} if body is not None else {}
        client = self.host.client(token)
        try:
            return client.request(row["method"], path, body, **kind, **fields)
        finally:
            client.close()
