"""Every guarded route of spec/routes.csv, so a new one by itself, with every credential that is not enough: none, malformed, forged, ended, expired, not yet valid, of another issuer, audience,
algorithm or key, one byte of a good one changed, bound to another certificate, a one-time token, each scope that does not suffice, and good tokens in every wrong place (query, cookie, other headers, twice). Each
is refused with 401 or 403 and a challenge before its body is sent. Then what an application with all scopes learns of other domains: an answer about a twin of somebody else is the same to the
byte (but the date and its name) as about one that does not exist. After each round a picture of the host taken as administrator is the same as before. Those that are open (how many of each there are is
measured) have to be named in SECURITY.md; the two of them that give tokens are asked with client secrets that are forged, ended, replaced or somebody else's, and give none. Diameter peers that
are unknown, of another realm or certificate, or that ask for others' devices are refused as well (by the flow tests)."""
PROMISE = "Every guarded route refuses every credential that is not enough, and nothing changes"
UNIT = "rounds over all routes"
SHORT, LONG = 1, 20
SECONDS = 60
IN_CHECK = True
LIMITS = "How long an answer takes is not compared"

import hashlib
import json
import pathlib
import random
import re
import socket
import ssl
import time

from access import ALL_SCOPES, Application, Guarded, bad_tokens, routes
from certificates import Authority, openssl
from host import LIMIT_S, Host
from issuer import Issuer, encode

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "CONNECT", "BREW")
BODY = b'{"id":"door@acme.example","tags":{"broken":"in"}}\n'
MUTATIONS_A_ROUND = 1500
DIAMETER_TESTS = [("test_access.py", "listed_peer"), ("test_tls.py", "peer or authority_nobody or plain_diameter or security_inside or name_must"), ("test_diameter_t6a.py", "unknown or realm or application")]


class Raw:
    """Requests as bytes on a connection that is kept as long as the host keeps it; the body is sent once the answer is here."""

    def __init__(self, port, context=None):
        self.port, self.context, self.socket, self.asked, self.bytes = port, context, None, 0, b""

    def open(self):
        self.bytes = b""
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context is not None:
            self.socket = self.context.wrap_socket(self.socket, server_hostname="localhost")

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def more(self):
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionError
        self.bytes += part

    def read(self, is_head):
        status = 100
        while status == 100:
            while b"\r\n\r\n" not in self.bytes:
                self.more()
            head, _, self.bytes = self.bytes.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split()[1])
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            fields.setdefault(name.lower(), value)
        if fields.get("transfer-encoding") == "chunked" and not is_head:
            return status, fields, self.chunks()
        length = 0 if is_head else int(fields.get("content-length", 0))
        while len(self.bytes) < length:
            self.more()
        body, self.bytes = self.bytes[:length], self.bytes[length:]
        return status, fields, body

    def chunks(self):
        body = b""
        while True:
            while b"\r\n" not in self.bytes:
                self.more()
            size, _, self.bytes = self.bytes.partition(b"\r\n")
            length = int(size, 16)
            while len(self.bytes) < length + 2:
                self.more()
            body, self.bytes = body + self.bytes[:length], self.bytes[length + 2:]
            if length == 0:
                return body

    def ask(self, method, path, lines=(), body=None, is_early=False):
        """The body's bytes follow the answer, unless `is_early`."""
        self.asked += 1
        head = [f"{method} {path} HTTP/1.1", "Host: h", *lines]
        if body is not None:
            head.append(f"Content-Length: {len(body)}")
        request = "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + (body if body is not None and is_early else b"")
        for is_last in (False, True):
            if self.socket is None:
                self.open()
            try:
                self.socket.sendall(request)
                answer = self.read(method == "HEAD")
                break
            except (ConnectionError, ssl.SSLError):
                self.close()
                if is_last:
                    raise
        if answer[1].get("connection") == "close":
            self.close()
        elif body is not None and not is_early:
            self.socket.sendall(body)
        return answer


def upgrade_of(row):
    is_websocket = row["handler"] == "websocket"
    return ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="] if is_websocket else []


def body_of(row):
    return None if row["body"] == "none" and row["method"] in ("GET", "DELETE") else BODY


def bearer(token):
    return [f"Authorization: Bearer {token}"]


def credentials(guarded, gone, once):
    """What is not enough: name -> header lines."""
    now, good = int(time.time()), guarded.owner.token()
    issuer, secret = guarded.issuer, guarded.owner.secret
    key = guarded.host.client(None).get("/oauth2/jwks").json()["keys"][0]
    elsewhere = Issuer("https://issuer.test", "aud.test", "EdDSA", "k")
    made = {f"a JWT: {name}": bearer(bad) for name, bad in bad_tokens(good, key)}
    made.update({
        "none": [], "empty": ["Authorization: "], "no token": ["Authorization: Bearer"], "spaces": ["Authorization: Bearer    "], "wrong": bearer("x" * 43), "of one byte": bearer("a"),
        "long": bearer("x" * 513), "longer than any": bearer("x" * 7000), "another case": bearer(secret.swapcase()), "its begin": bearer(secret[:-1]), "with more": bearer(secret + "A"),
        "ended": bearer(gone[0]), "ended, a JWT": bearer(gone[1]), "rotated": bearer(gone[2]), "rotated, a JWT": bearer(gone[3]), "one time": bearer(once), "one time, used": bearer(gone[4]),
        "expired": bearer(issuer.token("owner", " ".join(ALL_SCOPES), exp=now - 10)), "not yet": bearer(issuer.token("owner", exp=now + 900, nbf=now + 600)),
        "issued later": bearer(issuer.token("owner", iat=now + 600)), "for another": bearer(issuer.token("owner", aud="other")), "for nobody": bearer(issuer.token("owner", aud=None)),
        "of nobody": bearer(issuer.token("nobody")), "of another issuer": bearer(issuer.token("owner", iss="https://else.test")), "without an end": bearer(issuer.token("owner", exp=None)),
        "by another key of that name": bearer(elsewhere.token("owner")), "by an unknown key": bearer(issuer.token("owner", headers={"kid": "other"})),
        "bound to a certificate": bearer(issuer.token("owner", cnf={"x5t#S256": "A" * 43})),
        "of no algorithm": bearer(encode({"alg": "none"}) + "." + good.split(".")[1] + "."),
        "without the word": [f"Authorization: {secret}"], "another word": [f"Authorization: Token {secret}"], "Basic": [f"Authorization: Basic {secret}"], "without a space": [f"Authorization: Bearer{secret}"],
        "quoted": [f'Authorization: Bearer "{secret}"'], "two": [f"Authorization: Bearer {secret} {secret}"], "a list": [f"Authorization: Bearer {secret}, Bearer {secret}"],
        "in a cookie": [f"Cookie: token={secret}; access_token={secret}"], "of a proxy": [f"Proxy-Authorization: Bearer {secret}"], "another header": [f"X-Authorization: Bearer {secret}", f"X-Api-Key: {secret}"],
        "underlined": [f"Authorization_: Bearer {secret}"], "from here": ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1"],
        "another path": ["X-Original-URL: /healthz", "X-Rewrite-URL: /healthz"], "another method": ["X-HTTP-Method-Override: GET"], "other words": ["Authorization: Digest username=owner"],
    })
    return made


def refused(proof, raw, row, method, path, name, lines, statuses=(401,)):
    body = body_of(row)
    status, fields, _ = raw.ask(method, path, [*upgrade_of(row), *lines], body)
    where = f"{method} {path} with {name}"
    if status not in statuses:
        proof.fail(f"{where} was answered {status}")
    if status in (401, 403) and not fields.get("www-authenticate", "").startswith("Bearer"):
        proof.fail(f"{where}: {status} without a challenge: {fields}")


def picture(guarded):
    """What an administrator sees of all that could have been changed."""
    admin = guarded.host.admin
    paths = ["/v1/twins", "/v1/twins/door@acme.example", "/v1/twins/door@acme.example/tickets", "/v1/groups", "/v1/groups/doors@acme.example/members", "/v1/applications", "/v1/images", "/v1/dead-letters",
             "/3gpp-nidd/v1/owner/configurations", "/3gpp-monitoring-event/v1/owner/subscriptions",
             *("/3gpp-nidd/v1/owner/configurations/" + each + "/downlink-data-deliveries" for each in guarded.configurations)]
    seen = {}
    for path in paths:
        answer = admin.get(path)
        seen[path] = (answer.status, re.sub(rb'"(usage|left_s|requests)":\{[^}]*\}', b"", answer.body))
    seen["trace"] = admin.get("/v1/traces/" + guarded.names["trace"]).status
    seen["turns"] = guarded.host.metric("dromio_turns_total")
    return seen


def same(proof, before, after, what):
    for path, was in before.items():
        if was != after[path]:
            proof.fail(f"{what} changed {path}: {was} -> {after[path]}")


def scopes_that_lack(row):
    """Each alone, and all together, that are not enough."""
    enough = set(row["scope"].split())
    less = [scope for scope in ALL_SCOPES if scope not in enough]
    return [[scope] for scope in less] + [less]


def all_credentials(proof, guarded, raw, rows, gone):
    once = guarded.host.admin.post("/v1/logins").json()["token"]
    wrong = credentials(guarded, gone, once)
    narrow = {}
    for row in rows:
        for path in guarded.paths(row):
            for name, lines in wrong.items():
                if name == "one time" and row["scope"] == "once":
                    continue
                refused(proof, raw, row, row["method"], path, name, lines, (400, 401) if name in ("a JWT: huge", "longer than any") else (401,))
                if row["method"] == "GET" and name in ("none", "wrong", "ended"):
                    refused(proof, raw, row, "HEAD", path, name, lines)
            secret = guarded.owner.secret
            for query in (f"?access_token={secret}", f"?token={secret}", f"?authorization=Bearer%20{secret}"):
                refused(proof, raw, row, row["method"], path + query, "a token in the query", [])
            refused(proof, raw, row, row["method"], path, "two headers", bearer(secret) * 2, (400,))
            refused(proof, raw, row, row["method"], path, "two headers, one wrong", bearer("x" * 43) + bearer(secret), (400,))
            refused(proof, raw, row, row["method"], path, "a folded header", [f"Authorization: Bearer\r\n {secret}"], (400, 401))
            if row["scope"] == "any":
                continue
            for scopes in scopes_that_lack(row):
                text = " ".join(scopes)
                if text not in narrow:
                    narrow[text] = (guarded.owner.token(scope=text), guarded.issuer.token("owner", text))
                for token in narrow[text]:
                    refused(proof, raw, row, row["method"], path, f"scope {text}", bearer(token), (403,))


def other_methods(proof, guarded, raw, rows):
    """Who has no token does not even learn which methods a path has, or whether there is such a path."""
    for path in sorted({next(guarded.paths(row)) for row in rows}):
        for method in METHODS:
            status, _, _ = raw.ask(method, path)
            if status != 401 and not (method in ("CONNECT", "BREW") and status in (400, 501)):
                proof.fail(f"{method} {path} without a token was answered {status}")
        for trick in (path.upper(), path + "/", "/" + path, path.replace("/", "//", 1), "/healthz/.." + path, "/console/.." + path, "/healthz/%2e%2e" + path, path + "%00", path + ";/healthz", path + "?/console/",
                      "http://h" + path, "http://h/console/../" + path[1:]):
            status, _, body = raw.ask("GET", trick)
            if status not in (400, 401, 404) or (status == 404 and b"console" not in body):
                proof.fail(f"GET {trick} without a token was answered {status}")


def mutated(proof, guarded, raw, rows, chance):
    """One character of a good token is another one."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ "
    good = [guarded.owner.token(), guarded.owner.secret, guarded.issuer.token("owner"), guarded.host.admin.token]
    for _ in range(MUTATIONS_A_ROUND):
        token, row = chance.choice(good), chance.choice(rows)
        at = chance.randrange(len(token))
        changed = token[:at] + chance.choice(alphabet.replace(token[at], "")) + token[at + 1:]
        if changed.strip() == token:
            continue
        refused(proof, raw, row, row["method"], next(guarded.paths(row)), f"a changed token ({at}: {token[at]!r} is {changed[at]!r})", bearer(changed))


def plain_answer(answer, *names):
    status, fields, body = answer
    body, fields = body.decode(), {name: value for name, value in fields.items() if name != "date"}
    for name in names:
        body = body.replace(name, "NAME")
    return status, fields, body


def no_difference(proof, guarded, raw, rows):
    """Of a twin, group or resource of somebody else an application with all scopes hears what it hears of one that is not there."""
    token, compared = guarded.stranger.token(), 0
    foreign = {"id": ("door@acme.example", "none@acme.example"), "group": ("doors@acme.example", "none1@acme.example")}
    variants = [[], ['If-Match: "1"'], ["If-None-Match: *"], ["Idempotency-Key: k1"], ["Content-Type: text/plain"], ["Expect: 100-continue"]]
    for row in rows:
        if row["scope"] in ("once", "admin"):
            continue
        cases = []
        for member, (there, absent) in foreign.items():
            if "{" + member + "}" in row["path"]:
                for path in guarded.paths(row):
                    cases.append((path, path.replace(there, absent), there, absent))
        for member in ("configurationId", "subscriptionId", "transactionId"):
            if "{scsAsId}" in row["path"] and "{" + member + "}" in row["path"]:
                for path in guarded.paths(row, scsAsId="stranger"):
                    there = path.split("/")[5]
                    absent = "f" * len(there)
                    cases.append((path, path.replace(there, absent), there, absent))
        for there_path, absent_path, there, absent in cases:
            for lines in variants:
                for body in (body_of(row),) if body_of(row) is None else (b"", b"{", b"[]", b"{}", BODY, b'{"value":60}', b"x" * 9000):
                    first, second = (raw.ask(row["method"], path, [*upgrade_of(row), *bearer(token), "Content-Type: application/json", *lines] if not any("Content-Type" in line for line in lines) else
                                             [*upgrade_of(row), *bearer(token), *lines], body, is_early=True) for path in (there_path, absent_path))
                    compared += 1
                    if plain_answer(first, there, absent) != plain_answer(second, there, absent):
                        proof.fail(f"{row['method']} {there_path} and {absent_path} differ with {lines} and {body!r}:\n{first}\n{second}")
                    if "@" in there and first[0] != 404 and row["handler"] != "bulk":
                        proof.fail(f"{row['method']} {there_path} with {lines} and {body!r} is judged before it is not found: {first}")
                    if 200 <= first[0] < 300 and row["handler"] != "bulk":
                        proof.fail(f"{row['method']} {there_path} is {first[0]} for a stranger")
    for base, name in (("/3gpp-nidd/v1/stranger/configurations", "externalId"), ("/3gpp-monitoring-event/v1/stranger/subscriptions", "externalId"), ("/3gpp-device-triggering/v1/stranger/transactions", "externalId"),
                       ("/3gpp-nidd/v1/stranger/configurations", "msisdn"), ("/3gpp-nidd/v1/stranger/configurations", "externalGroupId"), ("/3gpp-network-parameter-configuration/v1/stranger/configurations", "externalId")):
        there, absent = {"externalId": ("door@acme.example", "none@acme.example"), "msisdn": ("491700000001", "491700000002"), "externalGroupId": ("doors@acme.example", "none1@acme.example")}[name]
        answers = []
        for value in (there, absent):
            more = {"monitoringType": "ROAMING_STATUS", "maximumNumberOfReports": 1, "validityPeriod": 60, "priority": "PRIORITY", "applicationPortId": 1, "triggerPayload": "AQ==", "maximumLatency": 600}
            body = json.dumps({name: value, "notificationDestination": "http://192.0.2.1/x", **(more if "nidd" not in base else {})}).encode()
            answers.append(plain_answer(raw.ask("POST", base, [*bearer(token), "Content-Type: application/json"], body, is_early=True), there, absent))
        compared += 1
        if answers[0] != answers[1] or answers[0][0] < 400:
            proof.fail(f"POST {base} of {there} and {absent} differ or succeed: {answers}")
    return compared


def bound_tokens(proof, rows, directory):
    """Over TLS, where certificates are asked for: a token that is bound to one is good with that one only."""
    authority, other = Authority(directory / "ca"), Authority(directory / "other", "Other authority")
    server, mine, theirs = authority.issue("host", "DNS:localhost", "IP:127.0.0.1"), authority.issue("mine", "DNS:owner.test"), authority.issue("theirs", "DNS:else.test")
    settings = [f"http.tls.certificate={server.pem}", f"http.tls.key={server.key}", f"http.tls.client_ca={authority.pem}"]
    asked = 0
    with Host(*settings, context=authority.client()) as host:
        host.admin.put_twin("door@acme.example")
        fingerprint = hashlib.sha256(openssl("x509", "-in", mine.pem, "-outform", "DER").stdout).hexdigest()
        owner = Application(host, "owner", scopes=ALL_SCOPES, certificates=["sha256:" + fingerprint])
        host.context = authority.client(mine)
        bound = owner.ask(client_secret=None).json()["access_token"]
        if Raw(host.http_port, authority.client(mine)).ask("GET", "/v1/twins/door@acme.example", bearer(bound))[0] != 200:
            proof.fail("a bound token is not good with its certificate")
        for name, context in (("no certificate", authority.client()), ("another certificate", authority.client(theirs))):
            raw = Raw(host.http_port, context)
            for row in rows:
                path = re.sub(r"\{\w+\}", "x@acme.example", row["path"])
                refused(proof, raw, row, row["method"], path, f"a bound token and {name}", bearer(bound))
                refused(proof, raw, row, row["method"], path, f"no token and {name}", [])
            asked += raw.asked
            raw.close()
        try:
            Raw(host.http_port, authority.client(other.issue("forged", "DNS:owner.test"))).ask("GET", "/healthz")
            proof.fail("a certificate of another authority came in")
        except (ssl.SSLError, ConnectionError):
            pass
        host.context = authority.client()
    return asked


def gone_tokens(guarded):
    """Of an application that is no more, and of one with a new secret; a one-time token that was used."""
    host = guarded.host
    gone, turned = (Application(host, name, scopes=ALL_SCOPES) for name in ("gone", "turned"))
    tokens = [gone.secret, gone.token(), turned.secret, turned.token()]
    assert host.admin.delete("/v1/applications/gone").status == 204
    assert host.admin.post("/v1/applications/turned/token").status in (200, 201)
    once = host.admin.post("/v1/logins").json()["token"]
    assert host.client(once).post("/v1/sessions").status in (200, 201)
    return [*tokens, once]


def token_endpoints(proof, guarded, gone):
    """How many requests for a token there were that none was given to."""
    secret, asked = guarded.owner.secret, 0
    once = guarded.host.admin.post("/v1/logins").json()["token"]
    wrong = {"forged": {"client_secret": "x" * 43}, "another case": {"client_secret": secret.swapcase()}, "its begin": {"client_secret": secret[:-1]}, "with more": {"client_secret": secret + "A"},
             "empty": {"client_secret": ""}, "none": {"client_secret": None}, "another's": {"client_secret": guarded.stranger.secret}, "for another": {"client_id": "stranger"}, "of nobody": {"client_id": "nobody"},
             "a token": {"client_secret": guarded.owner.token()}, "one time": {"client_secret": once}, "the host's own": {"client_id": "admin", "client_secret": guarded.host.admin.token},
             "ended": {"client_id": "gone", "client_secret": gone[0]}, "replaced": {"client_id": "turned", "client_secret": gone[2]}}
    for of in ("/oauth2/token", "/capif-security/v1/securities/{}/token"):
        for name, form in wrong.items():
            path = of.format(form.get("client_id", "owner"))
            answer = guarded.owner.ask(path, **form)
            asked += 1
            if answer.status not in (400, 401) or b"access_token" in answer.body:
                proof.fail(f"POST {path} with a secret that is {name} was answered {answer.status}: {answer.body[:200]}")
    if guarded.owner.ask("/capif-security/v1/securities/stranger/token").status == 200:
        proof.fail("an application got a token by the path of another")
    return asked + 1


def diameter(proof):
    passed = 0
    for file, names in DIAMETER_TESTS:
        passed += proof.pytest(f"test/flow/{file}", "-k", names)
    return passed


def run(proof):
    rows, free, directory = routes(), routes(are_open=True), pathlib.Path(proof.work)
    told = (proof.root / "SECURITY.md").read_text()
    if unnamed := [name for row in free if (name := f"{row['method']} {row['path']}") not in told]:
        proof.fail(f"open routes that SECURITY.md does not name: {unnamed}")
    issuer = Issuer("https://issuer.test", "aud.test", "EdDSA", "k")
    keys = directory / "keys.json"
    keys.write_text(json.dumps(issuer.key_set()))
    while not proof.over():
        chance = random.Random(proof.seed_of(proof.done))
        with Host(f'auth.issuers=[{{issuer="https://issuer.test",audience="aud.test",keys="{keys}"}}]', "auth.clock_skew=0", "host.gates=1") as host:
            guarded = Guarded(host, issuer)
            gone = gone_tokens(guarded)
            raw = Raw(host.http_port)
            before = picture(guarded)
            for step in (lambda: all_credentials(proof, guarded, raw, rows, gone), lambda: other_methods(proof, guarded, raw, rows), lambda: mutated(proof, guarded, raw, rows, chance)):
                step()
                same(proof, before, picture(guarded), "what was refused")
            compared = no_difference(proof, guarded, raw, rows)
            same(proof, before, picture(guarded), "what another application asked")
            asked = raw.asked + token_endpoints(proof, guarded, gone)
            same(proof, before, picture(guarded), "who asked for a token")
            raw.close()
        asked += bound_tokens(proof, rows, directory / f"round{proof.done}")
        proof.measured["routes guarded"], proof.measured["routes open"], proof.measured["requests_a_round"], proof.measured["pairs_compared_a_round"] = len(rows), len(free), asked, compared
        proof.measured["diameter_tests"] = diameter(proof)
        proof.count()
