"""Who may come in: access tokens (RFC 6749, 7519, 9068; TS 29.222), certificates of applications,
what an application may do and how much of it."""
import base64
import hashlib
import json
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest
from access import ALL_SCOPES, FORM, Application, Guarded, bad_tokens, routes
from host import BUILD, DROMIOD, LIMIT_S, THERMO, Host, thermo_reading, until
from mme import CER, Mme, RIR, T6A, V3GPP, avp, result_of
from certificates import Authority, openssl
from issuer import Issuer, claims_of, decode, encode, verify
from sink import Sink
from t8 import CALLBACKS
from websocket import Websocket

SETTINGS = (CALLBACKS, "auth.provision_scope=true")

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
    assert (both.status, both.json()["error"]) == (400, "invalid_request") and "two ways" in both.json()["error_description"]
    other = app.ask(headers={"Authorization": f"Bearer {app.secret}"})  # beside a form that shows it well
    assert (other.status, other.json()["error"]) == (401, "invalid_client") and "leave the header out" in other.json()["error_description"]
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
    ({"scope": " "}, 400, "invalid_scope"),
    ({"scope": "3gpp#other:3gpp-nidd"}, 400, "invalid_scope"),
    ({"scope": "3gpp#scef.dromio.test:3gpp-fly"}, 400, "invalid_scope"),
    ({"scope": "3gpp#:3gpp-nidd"}, 400, "invalid_scope"),
])
def test_a_wrong_request_for_a_token_says_why(app, form, status, error):
    answer = app.ask(**form)
    assert (answer.status, answer.json()["error"]) == (status, error)
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Content-Type"] == "application/json"


def test_a_scope_without_a_value_is_as_if_it_was_left_out(app):
    for form in ({}, {"scope": ""}):  # RFC 6749 3.2: "MUST be treated as if they were omitted"
        answer = app.ask(**form)
        assert answer.status == 200 and answer.json()["scope"] == "read nidd", answer


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
        assert host.imsi_in_log() is None
        with pytest.raises(AssertionError):  # its name from another realm
            Mme(host, realm="other.test")


def test_a_listed_peer_reports_of_its_own_devices():
    own, other = avp(1, "001010000000001"), avp(1, "001020000000001")
    ends_all = avp(3167, 1 << 1 | 1 << 3 | 1 << 4, V3GPP, m=False)
    with Host('diameter.peers=[{identity="mme1.epc.test",realm="epc.test",applications=["t6a"],imsis=["00101"]}]') as host:
        host.admin.put_twin("in@acme.example", imsi="001010000000001")
        host.admin.put_twin("out@acme.example", imsi="001020000000001")
        with Mme(host) as mme:
            def said(name, *more):
                return result_of(mme.ask(RIR, T6A, [avp(263, f"mme1;8;{name.value}"), avp(277, 1), avp(293, b"scef.dromio.test"), avp(283, mme.destination),
                                                    avp(3102, [name], V3GPP), *more]))
            report = avp(3123, [avp(3124, 7, V3GPP), avp(3127, 0, V3GPP)], V3GPP)
            assert (said(own, report), said(other, report)) == (5515, 5101)
            assert (said(own, ends_all), said(other, ends_all)) == (2001, 5101)
            assert said(avp(3111, "out@acme.example", V3GPP), ends_all) == 5101


def test_a_listed_peer_has_a_rate():
    peers = 'diameter.peers=[{identity="mme1.epc.test",realm="epc.test",applications=["t6a"],requests_per_second=1}]'
    with Host(peers) as host, Mme(host) as mme:
        host.admin.put_twin("fast@acme.example", imsi="001010000000001")
        answers = [mme.begin_odr("001010000000001", b"x") for _ in range(20)]
        results = [result_of(box.get(timeout=30)) for box in answers]
        assert 3004 in results and results[0] != 3004


# ---- every route, every credential ----

@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    issuer = Issuer("https://issuer.test", "aud.test", "EdDSA", "k")
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    keys.write_text(json.dumps(issuer.key_set()))
    with Host(f'auth.issuers=[{{issuer="https://issuer.test",audience="aud.test",keys="{keys}"}}]', "auth.clock_skew=0") as host:
        yield Guarded(host, issuer)


def test_the_table_has_every_kind_of_route(guarded):
    rows = routes()
    assert len(rows) > 60 and {row["handler"] for row in rows} >= {"core", "stream", "websocket", "bulk", "upload", "query", "backup", "description", "metrics"}
    assert {"PATCH"} <= {row["method"] for row in rows}


@pytest.mark.parametrize("row", routes(), ids=lambda row: f"{row['method']} {row['path']}")
def test_a_route_refuses_each_credential_that_is_not_enough(guarded, row):
    now, good = int(time.time()), guarded.owner.token()
    gone = Application(guarded.host, "gone", scopes=ALL_SCOPES)
    ended = (gone.secret, gone.token())
    assert guarded.host.admin.delete("/v1/applications/gone").status == 204
    header, claims, signature = good.split(".")
    credentials = {
        "none": None, "empty": "", "wrong": "x" * 43, "the secret in another case": guarded.owner.secret.swapcase(), "ended": ended[0], "ended, a JWT": ended[1],
        "forged": f"{header}.{claims}.{signature[:-4]}AAAA", "of no algorithm": encode({"alg": "none"}) + f".{claims}.",
        "expired": guarded.issuer.token("owner", " ".join(ALL_SCOPES), exp=now - 10), "not yet": guarded.issuer.token("owner", exp=now + 900, nbf=now + 600),
        "for another": guarded.issuer.token("owner", aud="other"), "of nobody": guarded.issuer.token("nobody"),
    }
    assert guarded.host.client(guarded.issuer.token("owner")).get("/v1/twins/door@acme.example").status == 200
    for path in guarded.paths(row):
        for name, token in credentials.items():
            answer = guarded.ask(row, path, token)
            assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer"), (name, path, answer)
        if row["scope"] == "any":
            continue
        less = [scope for scope in ALL_SCOPES if scope not in row["scope"].split()]
        for token in (guarded.owner.token(scope=" ".join(less)), guarded.issuer.token("owner", " ".join(less))):
            answer = guarded.ask(row, path, token)
            assert answer.status == 403 and 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"], (path, answer)
    assert guarded.host.admin.get("/v1/twins/door@acme.example").status == 200  # it is all there still


@pytest.mark.parametrize("row", [row for row in routes() if row["scope"] not in ("any", "once", "admin")], ids=lambda row: f"{row['method']} {row['path']}")
def test_a_route_shows_nothing_of_others(guarded, row):
    """With all scopes, but in another domain, or as another application."""
    token = guarded.stranger.token()
    for path in guarded.paths(row):
        if "{scsAsId}" in row["path"]:
            assert guarded.ask(row, path, token).status == 403, path
            mine = path.replace("/owner/", "/stranger/")
            is_one = re.search(r"\{(configuration|subscription|transaction)Id\}", row["path"])
            assert not is_one or guarded.ask(row, mine, token).status == 404, mine
        elif row["handler"] == "bulk":
            assert [line["status"] for line in guarded.ask(row, path, token).lines()] == [404], path
        elif "{id}" in row["path"] or "{group}" in row["path"]:
            assert guarded.ask(row, path, token).status == 404, path
        elif row["handler"] not in ("stream", "upload", "query", "bulk") and row["method"] == "GET":
            assert b"acme.example" not in guarded.ask(row, path, token).body, path
    assert guarded.host.admin.get("/v1/twins/door@acme.example").status == 200
    assert guarded.host.admin.get("/v1/groups/doors@acme.example").status == 200


# ---- what an application may do ----

@pytest.mark.parametrize("name", ["admin", "Admin", "console", "login", "dromio", ".", ".."])
def test_the_host_s_own_names_are_no_applications(real, name):
    answer = real.admin.post("/v1/applications", {"id": name, "domains": ["acme.example"], "scopes": ["read"]})
    assert answer.status == 422 and "kept for the host" in answer.json()["detail"], answer


def test_which_device_a_twin_is_of_takes_a_scope_of_its_own(real):
    writer, provider = (Application(real, name, scopes=scopes) for name, scopes in (("binder", ("read", "write")), ("provider", ("read", "write", "provision"))))
    at, imsi = "/v1/twins/bound@acme.example", "001010000880001"
    made = writer.client().put("/v1/twins/free@acme.example", {"model": "acme/thermo", "imsi": imsi})
    assert made.status == 403 and made.json()["type"].endswith("provision_needed"), made
    assert writer.client().put("/v1/twins/free@acme.example", {"model": "acme/thermo", "msisdn": "491700880001"}).status == 403
    assert writer.client().get("/v1/twins/free@acme.example").status == 404  # nothing of it was done
    assert provider.client().put(at, {"model": "acme/thermo", "imsi": imsi, "msisdn": "491700880001"}).status == 201
    # who may not gets the same answer for a number that is taken; what changes nothing needs no scope
    assert writer.client().put("/v1/twins/free@acme.example", {"model": "acme/thermo", "imsi": imsi}).status == 403
    assert writer.client().put(at, {"imsi": imsi, "msisdn": "491700880001", "tags": {"a": "b"}}).status == 200
    for taken in ({"imsi": None}, {"msisdn": None}, {"imsi": "001010000880002"}):
        assert writer.client().put(at, taken).status == 403, taken
    line = {"id": "free@acme.example", "model": "acme/thermo", "imsi": "001010000880003"}
    for client, status in ((writer.client(), 403), (provider.client(), 201)):
        assert client.post("/v1/twins:bulk", (json.dumps(line) + "\n").encode()).json()["status"] == status
    assert provider.client().put("/v1/twins/free@acme.example", {"imsi": imsi}).status == 409
    assert provider.client().put(at, {"imsi": None}).status == 200
    assert provider.client().put("/v1/twins/x@other.example", {"imsi": "001010000880004"}).status == 404  # of its domains only
    assert provider.client(scope="write").put(at, {"imsi": imsi}).status == 403  # a token asked for without it


def test_where_one_owner_writes_all_twins_the_scope_is_not_needed():
    with Host() as host:
        host.admin.put_twin("any@acme.example")
        client = Application(host, "binder", scopes=("read", "write")).client()
        assert client.put("/v1/twins/bound@acme.example", {"model": "acme/thermo", "imsi": "001010000880001"}).status == 201


# ---- an application changed ----

def change(real, name, **members):
    answer = real.admin.request("PATCH", f"/v1/applications/{name}", members, Content_Type="application/merge-patch+json")
    assert answer.status == 200, answer
    assert real.admin.get(f"/v1/applications/{name}").json() == answer.json()
    return answer.json()


def test_a_patch_changes_what_it_names(real):
    made = Application(real, "patched", scopes=("nidd",), limits={"burst": 5, "configurations": 3}, certificates=["dns:a.example"], apns=["a.test", "b.test"])
    before = real.admin.get("/v1/applications/patched").json()
    assert change(real, "patched") == before
    now = change(real, "patched", limits={"burst": None, "subscriptions": 2}, apns=["c.test"])
    assert now["limits"] == {"configurations": 3, "subscriptions": 2} and now["apns"] == ["c.test"]
    assert (now["certificates"], now["scopes"], now["domains"]) == (["dns:a.example"], ["nidd"], ["acme.example"])
    now = change(real, "patched", limits=None, certificates=None, apns=[], scopes=["read", "write"], domains=["other.example", "new.example"])
    assert now == {"id": "patched", "domains": ["other.example", "new.example"], "scopes": ["read", "write"], "limits": {}, "usage": before["usage"]}
    assert real.client(made.secret).get("/v1/twins/door@other.example").status == 200  # its token is the same
    assert real.client(made.secret).get("/v1/twins/door@acme.example").status == 404
    real.kill()
    real.start()
    assert real.admin.get("/v1/applications/patched").json() == now
    assert real.admin.delete("/v1/applications/patched").status == 204


@pytest.mark.parametrize("body, at", [
    ({"id": "else"}, "/id"), ({"domains": None}, "/domains"), ({"domains": []}, "/domains"), ({"scopes": None}, "/scopes"), ({"scopes": ["admin"]}, "/scopes/0"),
    ({"limits": {"burst": -1}}, "/limits/burst"), ({"limits": {"more": None}}, "/limits/more"), ({"apns": ["a b"]}, "/apns/0"),
    ({"certificates": ["x"]}, "/certificates/0"), ({"token": "x"}, "/token"), ([], ""), ({"scopes": ["read"], "apns": ["a.test"]}, "/apns"),
    ({"apns": ["a.test"]}, "/apns"),
])
def test_a_wrong_patch_changes_nothing(real, app, body, at):
    before = real.admin.get("/v1/applications/app").json()
    answer = real.admin.request("PATCH", "/v1/applications/app", body)
    assert answer.status == 422, answer
    assert answer.json().get("pointer", answer.json()["detail"].split(":")[0]) == at or at == "", answer
    assert real.admin.get("/v1/applications/app").json() == before


def test_a_patch_needs_the_administrator_and_an_application(real, app):
    assert real.admin.request("PATCH", "/v1/applications/nobody", {}).status == 404
    assert app.client().request("PATCH", "/v1/applications/app", {"scopes": ["read", "write"]}).status == 403
    assert real.admin.request("PATCH", "/v1/applications/app", "{").status == 400
    assert real.admin.request("PATCH", "/v1/applications/app", "{}", Content_Type="text/plain").status == 415


def test_what_is_taken_away_is_taken_from_live_tokens(real):
    lessened = Application(real, "lessened", domains=("acme.example", "other.example"), scopes=("read", "write"))
    client, opaque = lessened.client(), real.client(lessened.secret)
    for caller in (client, opaque):
        assert caller.put("/v1/twins/door@acme.example", {"tags": {"x": "y"}}).status == 200
    change(real, "lessened", scopes=["read"], domains=["acme.example"])
    for caller in (client, opaque):
        assert caller.put("/v1/twins/door@acme.example", {"tags": {"x": "y"}}).status == 403
        assert caller.get("/v1/twins/door@other.example").status == 404
        assert caller.get("/v1/twins/door@acme.example").status == 200
    assert lessened.ask(scope="write").json()["error"] == "invalid_scope"
    change(real, "lessened", scopes=["read", "write"])
    assert client.put("/v1/twins/door@acme.example", {"tags": {"x": "y"}}).status == 200  # its token was asked for with both
    change(real, "lessened", limits={"requests_per_second": 1, "burst": 2})
    assert 429 in [client.get("/v1/twins/door@acme.example").status for _ in range(10)]
    change(real, "lessened", limits={"requests_per_second": None, "burst": None})
    assert [client.get("/v1/twins/door@acme.example").status for _ in range(10)] == [200] * 10


def open_stream(real, application):
    connection = real.client(None).connect()
    connection.request("GET", "/v1/events", headers={"Authorization": f"Bearer {application.secret}"})
    response = connection.getresponse()
    assert response.status == 200
    return connection, response


@pytest.mark.parametrize("less", [{"scopes": ["write"]}, {"domains": ["other.example"]}, {"limits": {"subscriptions": 1}}])
def test_a_stream_ends_with_what_it_was_opened_by(real, less):
    viewer = Application(real, "viewer", domains=("acme.example", "other.example"), scopes=("read", "write"))
    connection, response = open_stream(real, viewer)
    change(real, "viewer", limits={"requests_per_second": 1000000}, scopes=["read", "write", "images"])  # more, or another thing: it stays
    change(real, "viewer", **less)
    assert b"event" not in response.read()  # its end
    connection.close()
    assert real.admin.delete("/v1/applications/viewer").status == 204


def test_a_stream_stays_where_nothing_is_taken_away(real):
    viewer = Application(real, "stayer", scopes=("read",))
    connection, response = open_stream(real, viewer)
    change(real, "stayer", scopes=["read", "write"], domains=["acme.example", "other.example"], limits={"burst": 1000})
    real.admin.put_twin("stays@acme.example", imsi="001010000660001")
    with Mme(real) as mme:
        mme.attach("001010000660001")
        mme.uplink("001010000660001", thermo_reading(1))
    assert b"id: " in response.fp.readline() + response.fp.readline() + response.fp.readline()
    response.close()
    connection.close()


def closed(socket):
    """Reads all that comes, to the end of the connection."""
    try:
        while True:
            socket.frame()
    except (EOFError, ConnectionError):
        return True


def test_a_websocket_and_notifications_end_with_the_scope(real):
    hearer = Application(real, "hearer", scopes=("nidd",))
    base, imsi = "/3gpp-nidd/v1/hearer/configurations", "001010000660002"
    real.admin.put_twin("heard@acme.example", imsi=imsi, model=None)
    with Sink() as sink, Mme(real) as mme:
        client = real.client(hearer.secret)
        over_http = client.post(base, {"externalId": "heard@acme.example", "notificationDestination": sink.link("/heard")})
        body = {"externalId": "heard@acme.example", "notificationDestination": sink.link("/unused"), "websockNotifConfig": {"requestWebsocketUri": True},
                "supportedFeatures": "2"}
        over_websocket = client.post(base, body)
        assert (over_http.status, over_websocket.status) == (201, 201), over_websocket
        uri = over_websocket.json()["websockNotifConfig"]["websocketUri"]
        socket = Websocket(real.http_port, uri[uri.index("/3gpp"):], hearer.secret)
        assert socket.status == 101
        mme.attach(imsi)
        mme.uplink(imsi, b"one")
        until(lambda: len(sink.taken("/heard")) == 1, "the first notification")
        change(real, "hearer", scopes=["read"])
        assert closed(socket)
        assert real.client(hearer.secret).get(base).status == 403
        mme.uplink(imsi, b"two")
        change(real, "hearer", scopes=["nidd"], domains=["other.example"])
        mme.uplink(imsi, b"three")
        data = {"externalId": "heard@acme.example", "data": "AQ=="}
        at = "/3gpp-nidd" + over_http.headers["Location"].split("/3gpp-nidd")[1]
        assert client.post(at + "/downlink-data-deliveries", data).status == 404
        change(real, "hearer", domains=["acme.example"])
        mme.uplink(imsi, b"four")
        until(lambda: len(sink.taken("/heard")) >= 2, "the notification after all is given back")
        assert [base64.b64decode(told["data"]) for told in sink.taken("/heard")] == [b"one", b"four"]
        assert client.post(at + "/downlink-data-deliveries", data).status in (200, 201)


def test_a_bulk_request_goes_on_as_far_as_it_may(real):
    loader = Application(real, "loader", scopes=("write", "provision"))
    connection = real.client(None).connect()
    connection.putrequest("POST", "/v1/twins:bulk")
    connection.putheader("Authorization", f"Bearer {loader.secret}")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()

    def send(**line):
        text = json.dumps(line) + "\n"
        connection.send(f"{len(text):x}\r\n{text}\r\n".encode())
    send(id="bulk0@acme.example", model="acme/thermo", imsi="001010000660010")
    until(lambda: real.admin.get("/v1/twins/bulk0@acme.example").status == 200, "the first line")
    change(real, "loader", scopes=["write"])
    send(id="bulk1@acme.example", model="acme/thermo", imsi="001010000660011")
    send(id="bulk1@acme.example", model="acme/thermo")
    until(lambda: real.admin.get("/v1/twins/bulk1@acme.example").status == 200, "the third line")
    change(real, "loader", scopes=["read"])
    send(id="bulk2@acme.example", model="acme/thermo")
    connection.send(b"0\r\n\r\n")
    answer = connection.getresponse()
    assert [json.loads(line)["status"] for line in answer.read().splitlines()] == [201, 403, 201, 403]
    connection.close()


def dromio(host, *words):
    words = [str(BUILD / "dromio"), *words, "--host", f"http://127.0.0.1:{host.http_port}", "--token-file", str(host.data / "admin.token")]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def test_an_application_is_changed_by_what_is_named(real):
    def app(*arguments):
        run = dromio(real, "app", *arguments, "-o", "json")
        assert run.returncode == 0, run
        return json.loads(run.stdout)
    app("add", "changed", "--domain", "acme.example", "--scope", "nidd", "--apn", "a.test", "--certificate", "dns:as.example", "--limit", "burst=7",
        "--limit", "configurations=9")
    shown = app("show", "changed")
    assert (shown["apns"], shown["certificates"], shown["limits"]) == (["a.test"], ["dns:as.example"], {"burst": 7, "configurations": 9})
    assert app("set", "changed", "--limit", "burst=none", "--certificate", "none")["limits"] == {"configurations": 9}
    shown = app("set", "changed", "--apn", "none", "--scope", "read", "--scope", "provision", "--domain", "a.example", "--domain", "b.example")
    assert (shown["domains"], shown["scopes"]) == (["a.example", "b.example"], ["read", "provision"])
    assert "apns" not in shown and "certificates" not in shown and shown == app("show", "changed")
    assert app("set", "changed", "--scope", "none")["scopes"] == []
    assert dromio(real, "app", "set", "changed").returncode == 2
    for wrong in ("burst", "burst=-1", "burst=x", "=1"):
        assert dromio(real, "app", "set", "changed", "--limit", wrong).returncode == 2
    assert dromio(real, "app", "set", "changed", "--limit", "more=1").returncode == 1
    assert dromio(real, "app", "set", "nobody", "--scope", "read").returncode == 3
    assert "subscriptions" in dromio(real, "app", "set", "changed", "--limit", "subscriptions=3", "--certificate", "dns:listed.example").stdout
    rows = [line.split() for line in dromio(real, "app", "show", "changed").stdout.splitlines()]
    assert ["limits.configurations", "9"] in rows and ["own_limits.subscriptions", "3"] in rows and ["usage.downlinks_today", "0"] in rows, rows
    listed = next(line for line in dromio(real, "app", "list").stdout.splitlines() if line.startswith("changed "))
    assert "dns:listed.example" in listed and "configurations=9, subscriptions=3" in listed and "{" not in listed
    assert "{" not in dromio(real, "status").stdout


def test_apns_bind_t8_alone(real):
    for scope in ("read", "write", "provision"):
        answer = real.admin.post("/v1/applications", {"id": "apns", "domains": ["acme.example"], "scopes": ["nidd", scope], "apns": ["a.test"]})
        assert answer.status == 422 and "/apns" in answer.json()["detail"], answer


# ---- how much an application may do ----

def test_a_rate_is_429_with_the_time_to_wait(real, app):
    slow = Application(real, "slow", limits={"requests_per_second": 1, "burst": 3})
    client = real.client(slow.secret)
    statuses = [client.get("/v1/twins/door@acme.example") for _ in range(20)]
    assert statuses[0].status == 200
    refused = next(answer for answer in statuses if answer.status == 429)
    assert refused.headers["Content-Type"] == "application/problem+json" and int(refused.headers["Retry-After"]) >= 1
    assert refused.json()["status"] == 429
    assert slow.ask().status in (200, 429)  # of the same account
    assert real.metric('dromio_http_refused_total{reason="rate"}') >= 1
    assert real.admin.get("/v1/applications/slow").json()["limits"] == {"requests_per_second": 1, "burst": 3}
    for _ in range(50):
        assert real.admin.get("/v1/status").status == 200  # the administrator is never slowed


def test_quotas_of_t8_are_403(real):
    few = Application(real, "few", limits={"configurations": 2, "downlinks_per_day": 1})
    client, base = real.client(few.secret), "/3gpp-nidd/v1/few/configurations"
    made = []
    for n in range(3):
        real.admin.put_twin(f"few{n}@acme.example", imsi=f"00101000077000{n}")
        made.append(client.post(base, {"externalId": f"few{n}@acme.example", "notificationDestination": "http://192.0.2.1/x"}))
    assert [answer.status for answer in made] == [201, 201, 403]
    assert made[2].json()["cause"] == "QUOTA_EXCEEDED"
    at = made[0].headers["Location"].split("/3gpp-nidd")[1]
    data = {"externalId": "few0@acme.example", "data": "AQ=="}
    assert client.post(f"/3gpp-nidd{at}/downlink-data-deliveries", data).status == 201
    again = client.post(f"/3gpp-nidd{at}/downlink-data-deliveries", data)
    assert (again.status, again.json()["cause"]) == (403, "QUOTA_EXCEEDED")
    usage = real.admin.get("/v1/applications/few").json()["usage"]
    assert usage == {"configurations": 2, "downlinks_today": 1}
    assert client.delete("/3gpp-nidd" + made[1].headers["Location"].split("/3gpp-nidd")[1]).status == 204
    assert client.post(base, {"externalId": "few2@acme.example", "notificationDestination": "http://192.0.2.1/x"}).status == 201


def test_commands_are_downlinks_and_the_day_s_count_outlives_a_kill():
    with Host("log.segment=\"1MiB\"", "log.replay=\"1MiB\"", "log.timeline=\"0\"") as host:
        host.admin.put_twin("c@acme.example", imsi="001010000000001")
        caller = Application(host, "caller", scopes=("read", "write", "nidd"), limits={"downlinks_per_day": 6})
        other = Application(host, "other", scopes=("write",))
        client, at = host.client(caller.secret), "/v1/twins/c@acme.example"

        def used(name="caller"):
            return host.admin.get(f"/v1/applications/{name}").json()["usage"]["downlinks_today"]
        assert client.put(at + "/properties/period", {"value": 60}, Idempotency_Key="k").status == 202
        assert client.put(at + "/properties/period", {"value": 60}, Idempotency_Key="k").status == 202  # the same one
        assert client.post(at + "/actions/blink", {"seconds": 1}).status == 202
        assert client.put(at + "/properties/period", {"value": 1}).status == 422
        made = client.post("/3gpp-nidd/v1/caller/configurations", {"externalId": "c@acme.example", "notificationDestination": "http://192.0.2.1/x"})
        delivery = "/3gpp-nidd" + made.headers["Location"].split("/3gpp-nidd")[1] + "/downlink-data-deliveries"
        assert client.post(delivery, {"externalId": "c@acme.example", "data": "AQ=="}).status == 201
        assert host.admin.post(at + "/actions/blink", {"seconds": 1}).status == 202  # counts for nobody
        assert host.client(other.secret).post(at + "/actions/blink", {"seconds": 1}).status == 202
        assert (used(), used("other")) == (3, 1)
        host.kill()
        client.close()
        host.start()
        assert (used(), used("other")) == (3, 1)
        # two members at once: both or none
        assert host.admin.put("/v1/groups/g@acme.example", {}).status == 201
        host.admin.put_twin("d@acme.example", imsi="001010000000002")
        for member in ("c", "d"):
            assert host.admin.put(f"/v1/groups/g@acme.example/members/{member}@acme.example", None).status in (200, 201, 204)
        until(lambda: host.admin.get("/v1/groups/g@acme.example").json()["members"] == 2, "the members")
        assert client.post("/v1/groups/g@acme.example/actions/blink", {"seconds": 1}).status == 202
        assert used() == 5
        refused = client.post("/v1/groups/g@acme.example/actions/blink", {"seconds": 1})
        assert refused.status == 429 and refused.json()["type"].endswith("quota_exceeded") and int(refused.headers["Retry-After"]) <= 86400
        assert client.post(at + "/actions/blink", {"seconds": 1}).status == 202
        for again in (client.post(at + "/actions/blink", {"seconds": 1}), client.put(at + "/properties/limit", {"value": 3})):
            assert again.status == 429, again
        refused = client.post(delivery, {"externalId": "c@acme.example", "data": "AQ=="})
        assert (refused.status, refused.json()["cause"]) == (403, "QUOTA_EXCEEDED")
        # what was written first is written again when its segment goes
        first = list(host.data.rglob("segment-*"))
        tables = [{"id": f"t{n}@acme.example", "model": "acme/thermo", "tags": {"t": "x" * 200}} for n in range(400)]
        def written():
            host.admin.post("/v1/twins:bulk", "\n".join(map(json.dumps, tables)).encode())
            return not any(path.exists() for path in first)
        until(written, "the end of the first segments")
        host.kill()
        client.close()
        host.start()
        assert (used(), used("other")) == (6, 1)
        change(host, "caller", limits={"downlinks_per_day": 7})
        assert client.post(at + "/actions/blink", {"seconds": 1}).status == 202


def test_a_configuration_of_a_group_counts_as_one(real):
    crowd = Application(real, "crowd", scopes=("nidd",), limits={"configurations": 2})
    client, base = real.client(crowd.secret), "/3gpp-nidd/v1/crowd/configurations"
    real.admin.put_twin("crowd@acme.example", imsi="001010000771000")
    for group in ("one@acme.example", "two@acme.example"):
        assert real.admin.put(f"/v1/groups/{group}", {}).status == 201

    def configure(**user):
        return client.post(base, {**user, "notificationDestination": "http://192.0.2.1/x"})
    first, second = configure(externalGroupId="one@acme.example"), configure(externalId="crowd@acme.example")
    assert (first.status, second.status) == (201, 201)
    assert real.admin.get("/v1/applications/crowd").json()["usage"]["configurations"] == 2
    for refused in (configure(externalGroupId="two@acme.example"), configure(externalId="crowd@acme.example")):
        assert (refused.status, refused.json()["cause"]) == (403, "QUOTA_EXCEEDED")
    assert client.delete("/3gpp-nidd" + first.headers["Location"].split("/3gpp-nidd")[1]).status == 204
    assert configure(externalGroupId="two@acme.example").status == 201


def test_an_application_has_so_many_streams(real):
    watcher = Application(real, "watchers", limits={"subscriptions": 1})
    first = real.client(watcher.secret).connect()
    first.request("GET", "/v1/events", headers={"Authorization": f"Bearer {watcher.secret}"})
    response = first.getresponse()
    assert response.status == 200
    if "host.gates" not in " ".join(real.arguments()):
        second = real.client(watcher.secret).connect()
        second.request("GET", "/v1/events", headers={"Authorization": f"Bearer {watcher.secret}"})
        assert second.getresponse().status == 429
        second.close()
    response.close()


@pytest.mark.parametrize("limits", [{"requests_per_second": 10**9 + 1}, {"burst": -1}, {"downlinks_per_day": 1.5}, {"configurations": "1"}, {"more": 1}, [], 1])
def test_wrong_limits_are_422(real, limits):
    assert real.admin.post("/v1/applications", {"id": "wrong", "domains": ["acme.example"], "scopes": [], "limits": limits}).status == 422


def test_limits_outlive_the_host_and_have_usual_values():
    with Host("limits.configurations=1", "limits.requests_per_second=1000000", thermo=False) as host:
        Application(host, "own", limits={"configurations": 5})
        Application(host, "usual")
        host.admin.put_twin("a@acme.example", imsi="001010000000001", model=None)
        client = host.client(Application(host, "third").secret)
        body = {"externalId": "a@acme.example", "notificationDestination": "http://192.0.2.1/x"}
        assert client.post("/3gpp-nidd/v1/third/configurations", body).status == 201
        host.kill()
        client.close()
        host.start()
        assert host.admin.get("/v1/applications/own").json()["limits"] == {"requests_per_second": 1000000, "configurations": 5}
        assert host.admin.get("/v1/applications/third").json()["usage"]["configurations"] == 1
        assert client.post("/3gpp-nidd/v1/third/configurations", body).status == 403


def test_none_is_no_limit_although_the_host_has_one():
    with Host("limits.configurations=1", "limits.downlinks_per_day=5", thermo=False) as host:
        def app(*arguments):
            run = dromio(host, "app", *arguments, "-o", "json")
            assert run.returncode == 0, run
            return json.loads(run.stdout)
        secret = app("add", "free", "--domain", "acme.example", "--scope", "nidd", "--limit", "configurations=none")["token"]
        for n in range(3):
            host.admin.put_twin(f"d{n}@acme.example", imsi=f"00101000000000{n}", model=None)

        def configure(n):
            body = {"externalId": f"d{n}@acme.example", "notificationDestination": "http://192.0.2.1/x"}
            return host.client(secret).post("/3gpp-nidd/v1/free/configurations", body).status
        assert [configure(0), configure(1)] == [201, 201]
        shown = app("show", "free")
        assert (shown["limits"], shown["own_limits"]) == ({"downlinks_per_day": 5}, {"configurations": 0})
        host.kill()
        host.start()
        assert app("show", "free") == shown
        shown = app("set", "free", "--limit", "configurations=host")
        assert shown["limits"] == {"configurations": 1, "downlinks_per_day": 5} and "own_limits" not in shown
        assert configure(2) == 403
        assert app("set", "free", "--limit", "configurations=0")["own_limits"] == {"configurations": 0}
        assert configure(2) == 201


def test_no_rate_and_no_bound_of_streams_although_the_host_has_them():
    with Host("limits.requests_per_second=1", "limits.burst=2", "limits.subscriptions=1", thermo=False) as host:
        free = Application(host, "free", limits={"requests_per_second": 0, "burst": 0, "subscriptions": 0})
        client = host.client(free.secret)
        assert {client.get("/v1/twins").status for _ in range(50)} == {200}
        streams = [host.client(free.secret).connect() for _ in range(3)]
        for stream in streams:
            stream.request("GET", "/v1/events", headers={"Authorization": f"Bearer {free.secret}"})
            assert stream.getresponse().status == 200
        change(host, "free", limits=None)
        assert 429 in {client.get("/v1/twins").status for _ in range(50)}


# ---- one device, several applications ----

def test_an_application_configures_devices_of_its_apns_only():
    with Host("t8.apns=[{apn=\"meters.test\",domain=\"acme.example\"},{apn=\"doors.test\",domain=\"other.example\"}]", thermo=False) as host:
        for name, imsi in (("m@acme.example", "001010000000001"), ("d@other.example", "001010000000002"), ("x@third.example", "001010000000003")):
            host.admin.put_twin(name, imsi=imsi, model=None)
        domains = ("acme.example", "other.example", "third.example")
        bound = Application(host, "bound", domains, ("nidd",), apns=["Meters.Test"])
        client = host.client(bound.secret)

        def configure(name):
            return client.post("/3gpp-nidd/v1/bound/configurations", {"externalId": name, "notificationDestination": "http://192.0.2.1/x"})
        assert configure("m@acme.example").status == 201
        refused = configure("d@other.example")
        assert (refused.status, refused.json()["cause"]) == (403, "OPERATION_NOT_ALLOWED")
        assert configure("x@third.example").status == 201  # of no APN of its own: the application's first
        host.kill()
        client.close()
        host.start()
        assert host.admin.get("/v1/applications/bound").json()["apns"] == ["Meters.Test"]
        assert configure("d@other.example").status == 403
        assert host.admin.post("/v1/applications", {"id": "w", "domains": ["a.example"], "scopes": [], "apns": ["a b"]}).status == 422


def test_an_application_configures_groups_of_its_apns_only():
    with Host("t8.apns=[{apn=\"meters.test\",domain=\"acme.example\"},{apn=\"doors.test\",domain=\"other.example\"}]", thermo=False) as host:
        for group in ("meters@acme.example", "doors@other.example"):
            assert host.admin.put(f"/v1/groups/{group}", {}).status == 201
        domains = ("acme.example", "other.example")
        clients = {name: host.client(Application(host, name, domains, ("nidd",), apns=apns).secret)
                   for name, apns in (("bound", ["Meters.Test"]), ("both", ["meters.test", "doors.test"]))}

        def configure(application, group):
            body = {"externalGroupId": group, "notificationDestination": "http://192.0.2.1/x"}
            return clients[application].post(f"/3gpp-nidd/v1/{application}/configurations", body)
        assert configure("bound", "meters@acme.example").status == 201
        refused = configure("bound", "doors@other.example")
        assert (refused.status, refused.json()["cause"]) == (403, "OPERATION_NOT_ALLOWED")
        assert host.admin.get("/v1/applications/bound").json()["usage"]["configurations"] == 1
        assert configure("both", "doors@other.example").status == 201


def test_of_one_device_each_application_sees_what_its_scope_allows(real):
    real.admin.put_twin("shared@acme.example", imsi="001010000770009")
    with Sink() as sink, Mme(real) as mme:
        first, second = Application(real, "first", scopes=("nidd",)), Application(real, "second", scopes=("nidd",))
        reader, writer = Application(real, "reader", scopes=("read",)), Application(real, "writer", scopes=("write",))
        stranger = Application(real, "stranger", domains=("other.example",), scopes=("read", "write", "nidd"))
        body = {"externalId": "shared@acme.example"}
        made = {}
        for app in (first, second):
            answer = app.client().post(f"/3gpp-nidd/v1/{app.name}/configurations", {**body, "notificationDestination": sink.link("/" + app.name)})
            assert answer.status == 201, answer
            made[app.name] = "/3gpp-nidd" + answer.headers["Location"].split("/3gpp-nidd")[1]
        stream = reader.client().connect()
        stream.request("GET", "/v1/events?twin=shared@acme.example", headers={"Authorization": f"Bearer {reader.secret}"})
        events = stream.getresponse()
        assert events.status == 200
        mme.attach("001010000770009")
        mme.uplink("001010000770009", thermo_reading(1))
        for app in (first, second):  # both are told of the uplink, in their own words
            told = until(lambda path="/" + app.name: sink.taken(path), app.name)[0]
            assert told["externalId"] == "shared@acme.example" and told["niddConfiguration"].endswith(made[app.name].rsplit("/", 1)[1])
        assert b"event:" in events.fp.readline() + events.fp.readline() + events.fp.readline()  # the reader's stream shows it too
        events.close()
        # downlinks are the oldest configuration's alone; the other application's configuration is not even there for it
        data = {**body, "data": "AQ=="}
        assert first.client().post(made["first"] + "/downlink-data-deliveries", data).status in (200, 201)
        refused = second.client().post(made["second"] + "/downlink-data-deliveries", data)
        assert (refused.status, refused.json()["cause"]) == (403, "OPERATION_NOT_ALLOWED")
        assert second.client().get(made["first"]).status in (403, 404)
        assert second.client().get(made["first"].replace("/first/", "/second/")).status == 404
        # what each may do with the twin
        at = "/v1/twins/shared@acme.example"
        statuses = {app.name: (app.client().get(at).status, app.client().put(at, {"tags": {"a": "b"}}).status) for app in (first, reader, writer, stranger)}
        assert statuses == {"first": (403, 403), "reader": (200, 403), "writer": (403, 200), "stranger": (404, 404)}
        assert reader.client().get("/3gpp-nidd/v1/first/configurations").status == 403
        assert stranger.client().post("/3gpp-nidd/v1/stranger/configurations", {**body, "notificationDestination": sink.link("/s")}).status == 404
        # the owner goes: the next one has the downlinks
        assert first.client().delete(made["first"]).status == 204
        assert second.client().post(made["second"] + "/downlink-data-deliveries", data).status in (200, 201)


# ---- tokens of other issuers ----

@pytest.mark.parametrize("less, status", [({"scopes": ["nidd"]}, 403), (None, 401)])
@pytest.mark.parametrize("method, path, kind, body", [("PUT", "/v1/twins/late@acme.example", "application/json", b'{"model":"acme/thermo"}'),
                                                      ("POST", "/v1/images", "application/wasm", THERMO.read_bytes()),
                                                      ("POST", "/v1/query", "application/json", b'{"sql":"select 1"}')])
def test_a_request_is_judged_by_what_may_be_done_once_its_body_is_here(guarded, method, path, kind, body, less, status):
    """Its head came while the application might still."""
    late = Application(guarded.host, "late", scopes=("read", "write", "images"))
    with socket.create_connection(("127.0.0.1", guarded.host.http_port), timeout=LIMIT_S) as opened:
        head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {late.secret}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        opened.sendall(head.encode())
        assert b" 100 " in opened.recv(65536)  # it was judged
        if less is None:
            assert guarded.host.admin.delete("/v1/applications/late").status == 204
        else:
            change(guarded.host, "late", **less)
        opened.sendall(body)
        said = opened.recv(65536)
        assert said.startswith(b"HTTP/1.1 %d " % status), said
    assert guarded.host.admin.get("/v1/twins/late@acme.example").status == 404
    guarded.host.admin.delete("/v1/applications/late")


def test_a_bulk_ends_with_the_token_that_opened_it(guarded):
    """Its application may still, and the token may not."""
    now = int(time.time())
    token = guarded.issuer.token("owner", exp=now + 8)
    client = guarded.host.client(token)
    with socket.create_connection(("127.0.0.1", guarded.host.http_port), timeout=LIMIT_S) as opened:
        def line(name):
            text = json.dumps({"id": name, "model": "acme/thermo"}).encode() + b"\n"
            opened.sendall(b"%x\r\n%s\r\n" % (len(text), text))
            return opened.recv(65536)
        opened.sendall(f"POST /v1/twins:bulk HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        first = line("bulk-before@acme.example")
        until(lambda: client.get("/v1/twins/door@acme.example").status == 401, "the token's end")
        assert b"bulk-before" in first + line("bulk-after@acme.example")
        until(lambda: guarded.host.admin.get("/v1/twins/bulk-before@acme.example").status == 200, "the first one")
    assert guarded.host.admin.get("/v1/twins/bulk-after@acme.example").status == 404


class Trusting:
    """A host that takes the tokens of these."""

    def __init__(self, directory, *issuers, audience="", names=None):
        self.files, rows = [], []
        for n, issuer in enumerate(issuers):
            self.files.append(directory / f"keys{n}.json")
            self.files[-1].write_text(json.dumps(issuer.key_set()))
            rows.append(f'{{issuer="{(names or {}).get(issuer.name, issuer.name)}",audience="{audience}",keys="{self.files[-1]}"}}')
        self.host = Host(f"auth.issuers=[{','.join(rows)}]", "auth.audience=aud.test", "auth.clock_skew=30", thermo=False)

    def __enter__(self):
        self.host.__enter__()
        self.host.admin.put_twin("a@acme.example", imsi="001010000000001", model=None)
        Application(self.host, "app")
        return self

    def __exit__(self, *what):
        return self.host.__exit__(*what)

    def status(self, token, at="/v1/twins/a@acme.example"):
        return self.host.client(token).get(at).status


def test_tokens_of_trusted_issuers_open(tmp_path):
    issuers = [Issuer(f"https://{algorithm}.test", "aud.test", algorithm, kid) for algorithm, kid in (("ES256", "a"), ("RS256", "b"), ("EdDSA", "c"))]
    with Trusting(tmp_path, *issuers) as here:
        for issuer in issuers:
            now = int(time.time())
            assert here.status(issuer.token("app", "read")) == 200, issuer.algorithm
            assert here.status(issuer.token("app")) == 200  # says nothing of scopes: those of the application
            assert here.status(issuer.token("app", "read", client_id=None)) == 200  # by its subject
            assert here.status(issuer.token("app", "read", aud=["x", "aud.test"])) == 200
            assert here.status(issuer.token("app", "nidd")) == 403
            assert here.status(issuer.token("app", "read write"), "/v1/applications") == 403
            for refused in (issuer.token("nobody", "read"), issuer.token("admin", "read"), issuer.token("app", "read", aud="other"),
                            issuer.token("app", "read", aud=None), issuer.token("app", "read", exp=now - 40),
                            issuer.token("app", "read", exp=None), issuer.token("app", "read", nbf=now + 400),
                            issuer.token("app", "read", iat=now + 400), issuer.token("app", "read", iss="https://else.test"),
                            issuer.token("app", "read", headers={"kid": "other"}), issuer.token("app", "read", headers={"crit": ["exp"]}),
                            Issuer(issuer.name, "aud.test", issuer.algorithm, issuer.kid).token("app", "read"),
                            issuer.token("app", "read", cnf={"x5t#S256": "A" * 43})):
                assert here.status(refused) == 401
            assert here.status(issuer.token("app", "read", exp=now - 5)) == 200  # within the skew
        # the issuer's name with the key of another one
        crossed = Issuer(issuers[0].name, "aud.test", "RS256", "b")
        crossed.key = issuers[1].key
        assert here.status(crossed.token("app", "read")) == 401
        token = issuers[0].token("app", "read")
        assert here.status(token) == 200
        assert here.host.admin.delete("/v1/applications/app").status == 204
        assert here.status(token) == 401


def test_capif_s_own_claims_name_the_invoker(tmp_path):
    core = Issuer("any", None, "RS256", "k")
    with Trusting(tmp_path, core, audience="*", names={"any": "*"}) as here:
        scope = "3gpp#scef.dromio.test:3gpp-nidd"
        token = core.token(None, scope, iss="app")  # TS 29.222 8.5.4.2.8: iss, scope, exp
        assert here.status(token, "/3gpp-nidd/v1/app/configurations") == 200
        assert here.status(token) == 403
        assert here.status(core.token(None, "3gpp#other:3gpp-nidd", iss="app"), "/3gpp-nidd/v1/app/configurations") == 403


def test_new_keys_come_with_sighup(tmp_path):
    first, second = Issuer("https://i.test", "aud.test", kid="1"), Issuer("https://i.test", "aud.test", kid="2")
    with Trusting(tmp_path, first) as here:
        old, new = first.token("app", "read"), second.token("app", "read")
        assert (here.status(old), here.status(new)) == (200, 401)
        here.files[0].write_text("{}")
        here.host.process.send_signal(signal.SIGHUP)
        until(lambda: "are not loaded again" in here.host.log(), "the refusal")
        assert (here.status(old), here.status(new)) == (200, 401)  # what was good stays
        here.files[0].write_text(json.dumps(second.key_set()))
        here.host.process.send_signal(signal.SIGHUP)
        until(lambda: here.status(new) == 200, "the new key")
        assert here.status(old) == 401  # remembered before, but its key has gone


@pytest.mark.parametrize("text, why", [("", "is empty"), ("{", "no JWK set"), ('{"keys":[]}', "no key"),
                                       ('{"keys":[{"kty":"OKP","crv":"Ed25519","d":"AAAA","x":"AAAA"}]}', "private key")])
def test_wrong_key_files_are_refused_at_the_start(tmp_path, text, why):
    file = tmp_path / "keys.json"
    file.write_text(text)
    done = subprocess.run([DROMIOD, "--data", tmp_path / "data", "--set", f'auth.issuers=[{{issuer="a",keys="{file}"}}]', "--check"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and why in done.stderr and str(file) in done.stderr


# ---- certificates of applications ----

def fingerprint(certificate):
    der = openssl("x509", "-in", certificate.pem, "-outform", "DER").stdout
    return hashlib.sha256(der).hexdigest()


def test_an_application_is_known_by_its_certificate(tmp_path):
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "Other authority")
    server = authority.issue("host", "DNS:localhost", "IP:127.0.0.1")
    by_print, by_name = authority.issue("print", "DNS:print.test"), authority.issue("name", "DNS:as.example.net")
    forged = stranger.issue("forged", "DNS:as.example.net")
    settings = [f"http.tls.certificate={server.pem}", f"http.tls.key={server.key}", f"http.tls.client_ca={authority.pem}"]
    with Host(*settings, thermo=False, context=authority.client()) as host:
        host.admin.put_twin("a@acme.example", imsi="001010000000001", model=None)
        Application(host, "print", certificates=["sha256:" + fingerprint(by_print)])
        named = Application(host, "name", certificates=["dns:as.example.net"])

        def client(certificate, token=None):
            host.context = authority.client(certificate)
            return host.client(token)
        at = "/v1/twins/a@acme.example"
        assert client(by_print).get(at).status == 200
        assert client(by_name).get(at).status == 200
        assert client(by_name).get("/v1/applications").status == 403
        assert client(authority.issue("nobody", "DNS:nobody.test")).get(at).status == 401
        assert client(None).get(at).status == 401
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client(forged).get(at)
        # a token asked for with the certificate is bound to it (RFC 8705)
        host.context = authority.client(by_name)
        answer = named.ask(client_secret=None)
        assert answer.status == 200, answer
        bound = answer.json()["access_token"]
        assert claims_of(bound)["cnf"] == {"x5t#S256": encode(bytes.fromhex(fingerprint(by_name)))}
        assert client(by_name, bound).get(at).status == 200
        refused = client(by_print, bound).get(at)
        assert refused.status == 401 and "bound" in refused.json()["detail"]
        assert client(None, bound).get(at).status == 401
        host.context = authority.client(by_print)
        assert named.ask(client_secret=None).json()["error"] == "invalid_client"  # another's certificate
        free = named.token()  # by its secret: bound to nothing
        assert "cnf" not in claims_of(free) and client(None, free).get(at).status == 200
        host.context = authority.client()
        assert host.admin.delete("/v1/applications/name").status == 204
        assert client(by_name).get(at).status == 401
        host.context = authority.client()


@pytest.mark.parametrize("certificate", ["dns:one.example", "sha256:" + "0a" * 32])
def test_a_certificate_is_of_one_application(real, certificate):
    first = Application(real, "known1", certificates=["dns:first.example", certificate])
    second = Application(real, "known2", certificates=["dns:second.example"])
    body = {"id": "known3", "domains": ["acme.example"], "scopes": ["read"], "certificates": [certificate]}
    refused = real.admin.post("/v1/applications", body)
    assert refused.status == 409 and "known1" in refused.json()["detail"] and refused.json()["detail"].startswith("/certificates/0"), refused
    assert real.admin.get("/v1/applications/known3").status == 404
    refused = real.admin.request("PATCH", "/v1/applications/known2", {"certificates": ["dns:second.example", certificate]})
    assert refused.status == 409 and "/certificates/1" in refused.json()["detail"], refused
    assert real.admin.get("/v1/applications/known2").json()["certificates"] == ["dns:second.example"]
    assert change(real, "known1", certificates=[certificate])["certificates"] == [certificate]  # its own
    change(real, "known1", certificates=None)
    assert change(real, "known2", certificates=[certificate])["certificates"] == [certificate]
    for made in (first, second):
        assert real.admin.delete(f"/v1/applications/{made.name}").status == 204


@pytest.mark.parametrize("certificates", [["sha256:00"], ["x"], ["dns:"], ["dns:a b"], [1], "dns:a", ["dns:a.example"] * 5])
def test_wrong_certificates_are_422(real, certificates):
    body = {"id": "wrong", "domains": ["acme.example"], "scopes": [], "certificates": certificates}
    assert real.admin.post("/v1/applications", body).status == 422
