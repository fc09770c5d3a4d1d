"""Who may come in: access tokens (RFC 6749, 7519, 9068; TS 29.222), certificates of applications,
what an application may do and how much of it."""
import base64
import hashlib
import hmac
import json
import time
import urllib.parse

import pytest
from host import Host, until
from mme import CER, Mme, T6A, V3GPP, avp, result_of
from issuer import claims_of, decode, encode, verify

FORM = "application/x-www-form-urlencoded"


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


@pytest.fixture(scope="module")
def app(real):
    real.admin.put_twin("door@acme.example")
    real.admin.put_twin("door@other.example")
    return Application(real, "app")


def issuer_of(host):
    return f"http://127.0.0.1:{host.http_port}"


# ---- asking for a token ----

def test_a_token_is_verified_by_another_library(real, app):
    answer = app.ask()
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Pragma"] == "no-cache"
    given = answer.json()
    assert given["token_type"] == "Bearer" and given["expires_in"] == 3600 and given["scope"] == "read nidd"
    keys = real.client(None).get("/oauth2/jwks")
    assert keys.status == 200 and keys.headers["Content-Type"] == "application/jwk-set+json"
    claims, header = verify(given["access_token"], keys.json(), issuer_of(real), issuer_of(real))
    assert header["typ"] == "at+jwt" and header["alg"] == "EdDSA"
    assert claims["sub"] == claims["client_id"] == "app" and claims["scope"] == "read nidd"
    assert claims["exp"] - claims["iat"] == 3600
    assert claims_of(app.token())["jti"] != claims["jti"]


def test_a_token_opens_what_its_scopes_say(real, app):
    reader = app.client(scope="read")
    assert reader.get("/v1/twins/door@acme.example").status == 200
    assert reader.get("/v1/twins/door@other.example").status == 404  # of the application's domains only
    refused = reader.get("/3gpp-nidd/v1/app/configurations")
    assert refused.status == 403 and 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
    assert app.client(scope="nidd").get("/3gpp-nidd/v1/app/configurations").status == 200
    assert reader.put("/v1/twins/new@acme.example", {"model": "acme/thermo"}).status == 403


def test_basic_and_the_body_name_a_client(real, app):
    pair = base64.b64encode(f"{app.name}:{app.secret}".encode()).decode()
    by_head = app.ask(headers={"Authorization": f"Basic {pair}"}, client_id=None, client_secret=None)
    assert by_head.status == 200, by_head
    both = app.ask(headers={"Authorization": f"Basic {pair}"})
    assert (both.status, both.json()["error"]) == (400, "invalid_request")
    wrong = base64.b64encode(b"app:wrong").decode()
    for authorization in (f"Basic {wrong}", "Basic !", "Basic", f"Bearer {app.secret}"):
        answer = app.ask(headers={"Authorization": authorization}, client_id=None, client_secret=None)
        assert (answer.status, answer.json()["error"]) == (401, "invalid_client"), authorization
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("form, status, error", [
    ({"grant_type": None}, 400, "invalid_request"),
    ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ({"client_id": None}, 401, "invalid_client"),
    ({"client_id": "nobody"}, 401, "invalid_client"),
    ({"client_secret": None}, 401, "invalid_client"),
    ({"client_secret": "x"}, 401, "invalid_client"),
    ({"client_secret": "x" * 4000}, 401, "invalid_client"),
    ({"scope": "write"}, 400, "invalid_scope"),
    ({"scope": "read fly"}, 400, "invalid_scope"),
    ({"scope": "admin"}, 400, "invalid_scope"),
    ({"scope": "x" * 600}, 400, "invalid_scope"),
    ({"scope": "3gpp#other:3gpp-nidd"}, 400, "invalid_scope"),
    ({"scope": "3gpp#scef.dromio.test:3gpp-fly"}, 400, "invalid_scope"),
    ({"scope": "3gpp#:3gpp-nidd"}, 400, "invalid_scope"),
])
def test_a_wrong_request_for_a_token_says_why(app, form, status, error):
    answer = app.ask(**form)
    assert (answer.status, answer.json()["error"]) == (status, error)
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("body, kind", [
    ("grant_type=client_credentials&client_id=app&client_id=app", FORM), ("%zz=1", FORM), ("=", FORM), ("a", FORM),
    ("&".join(f"m{n}=1" for n in range(40)), FORM), ('{"grant_type":"client_credentials"}', "application/json"),
])
def test_what_is_no_form_is_an_invalid_request(real, body, kind):
    answer = real.client(None).post("/oauth2/token", body, Content_Type=kind)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_a_form_has_a_bound(real):
    assert real.client(None).post("/oauth2/token", "a=" + "x" * 20000, Content_Type=FORM).status == 413


def test_the_token_of_an_administrator_is_no_secret_of_a_client(real):
    token = real.admin.token
    answer = real.client(None).post("/oauth2/token", f"grant_type=client_credentials&client_id=admin&client_secret={token}", Content_Type=FORM)
    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")


def test_capif_asks_in_its_own_words(real, app):
    scope = "3gpp#scef.dromio.test:3gpp-nidd;other-aef:3gpp-monitoring-event"
    answer = app.ask("/capif-security/v1/securities/app/token", scope=scope)
    assert answer.status == 200 and answer.json()["scope"] == scope
    client = real.client(answer.json()["access_token"])
    assert client.get("/3gpp-nidd/v1/app/configurations").status == 200
    assert client.get("/v1/twins/door@acme.example").status == 403  # `read` was not asked for
    other = app.ask("/capif-security/v1/securities/else/token", scope=scope)
    assert (other.status, other.json()["error"]) == (401, "invalid_client")


def test_the_host_says_what_it_can_do(real):
    said = real.client(None).get("/.well-known/oauth-authorization-server").json()  # RFC 8414
    assert said["issuer"] == issuer_of(real) and said["grant_types_supported"] == ["client_credentials"]
    assert said["token_endpoint"] == issuer_of(real) + "/oauth2/token"
    assert real.client(None).get("/.well-known/jwks.json").json() == real.client(None).get("/oauth2/jwks").json()
    assert set(real.client(None).get("/oauth2/jwks").json()["keys"][0]) == {"kty", "crv", "use", "alg", "kid", "x"}  # nothing private


# ---- tokens that are none ----

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


def test_bad_tokens_are_refused_each_for_itself(real, app):
    token = app.token()
    key = real.client(None).get("/oauth2/jwks").json()["keys"][0]
    assert real.client(token).get("/v1/twins/door@acme.example").status == 200
    for name, bad in bad_tokens(token, key):
        answer = real.client(bad).get("/v1/twins/door@acme.example")
        assert answer.status == 401, name
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="dromio"'), name
    assert real.client(token).get("/v1/twins/door@acme.example").status == 200


def test_a_token_is_looked_at_once(real, app):
    client = app.client()
    before = real.metric('dromio_http_access_tokens_total{result="verified"}')
    for _ in range(5):
        assert client.get("/v1/twins/door@acme.example").status == 200
    assert real.metric('dromio_http_access_tokens_total{result="verified"}') == before + 1


# ---- the end of a token ----

def test_tokens_end_with_their_application(real):
    gone = Application(real, "gone")
    client = gone.client()
    assert client.get("/v1/twins/door@acme.example").status == 200
    assert real.admin.delete("/v1/applications/gone").status == 204
    assert client.get("/v1/twins/door@acme.example").status == 401
    assert Application(real, "gone").client().get("/v1/twins/door@acme.example").status == 200
    assert client.get("/v1/twins/door@acme.example").status == 401  # of another application of that name


def test_tokens_end_with_the_secret_they_were_asked_with(real):
    renewed = Application(real, "renewed")
    known, unknown = renewed.client(), renewed.client()  # one that the gate has seen, one that it has not
    assert known.get("/v1/twins/door@acme.example").status == 200
    renewed.secret = real.admin.post("/v1/applications/renewed/token").json()["token"]
    assert known.get("/v1/twins/door@acme.example").status == 401
    assert unknown.get("/v1/twins/door@acme.example").status == 401
    assert renewed.client().get("/v1/twins/door@acme.example").status == 200


def test_a_stream_ends_with_its_application(real):
    watcher = Application(real, "watcher")
    client = watcher.client()
    connection = client.connect()
    connection.request("GET", "/v1/events", headers={"Authorization": f"Bearer {client.token}"})
    response = connection.getresponse()
    assert response.status == 200
    assert real.admin.delete("/v1/applications/watcher").status == 204
    assert response.read() == b""  # its end, not the next comment
    connection.close()


def test_tokens_and_keys_outlive_the_host():
    with Host(thermo=False) as host:
        app = Application(host, "app")
        token, keys = app.token(), host.client(None).get("/oauth2/jwks").json()
        host.kill()
        host.start()
        assert host.client(None).get("/oauth2/jwks").json() == keys
        assert host.client(token).get("/v1/status").status == 200
        seed = b"".join(path.read_bytes() for path in host.data.rglob("*") if path.is_file())
        assert token.encode() not in seed and app.secret.encode() not in seed
        assert host.rooms()
        dead = host.kill_room("gate")
        host.room_is_back("gate", dead)
        host.wait()
        assert host.client(token).get("/v1/status").status == 200


def test_a_token_ends_at_its_time():
    with Host("auth.token_life=60", "auth.clock_skew=0", thermo=False) as host:
        given = Application(host, "app").ask().json()
        assert given["expires_in"] == 60
        claims = claims_of(given["access_token"])
        assert claims["exp"] == claims["iat"] + 60 and abs(claims["iat"] - time.time()) < 3600


# ---- Diameter peers ----

def test_a_listed_peer_serves_its_own_devices():
    peers = ('diameter.peers=[{identity="mme1.epc.test",realm="epc.test",applications=["t6a"],imsis=["00101"],apns=["nidd.test"]}]')
    with Host(peers) as host:
        for imsi, name in (("001010000000001", "in@acme.example"), ("001020000000001", "out@acme.example")):
            host.admin.put_twin(name, imsi=imsi)
        with Mme(host) as mme:
            mme.attach("001010000000001")
            assert result_of(mme.cmr("001010000000001", apn="other.test")) == 5101
            assert result_of(mme.cmr("001020000000001")) == 5101
            assert result_of(mme.odr("001020000000001", b"x")) == 5101
            mme.uplink("001010000000001", b"x")
            mme.identity = "mme2.epc.test"  # another's name on this connection
            assert result_of(mme.odr("001010000000001", b"x")) == 5004
            mme.identity, mme.realm = "mme1.epc.test", "other.test"
            assert result_of(mme.odr("001010000000001", b"x")) == 5004
        assert host.metric('dromio_diameter_drops_total{reason="not_allowed"}') == 3
        assert host.metric('dromio_diameter_drops_total{reason="origin"}') == 2
        assert "00102" not in host.log()
        with pytest.raises(AssertionError):  # its name from another realm
            Mme(host, realm="other.test")


def test_a_listed_peer_has_a_rate():
    peers = 'diameter.peers=[{identity="mme1.epc.test",realm="epc.test",applications=["t6a"],requests_per_second=1}]'
    with Host(peers) as host, Mme(host) as mme:
        host.admin.put_twin("fast@acme.example", imsi="001010000000001")
        answers = [mme.begin_odr("001010000000001", b"x") for _ in range(20)]
        results = [result_of(box.get(timeout=30)) for box in answers]
        assert 3004 in results and results[0] != 3004
