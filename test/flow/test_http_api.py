"""/v1 of the gate: what a request becomes for the core, what an answer becomes for the client."""
import hashlib
import http.client
import json
import pathlib
import struct
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "peers"))
from http_gate import WAIT, Gate  # noqa: E402

TWIN = "/v1/twins/m1@acme.example"
DIGEST = "sha256:" + "ab" * 32
# kinds of src/twin/value.h
NUMBER, INTEGER, BOOLEAN, STRING = b"\x01", b"\x02", b"\x03", b"\x04"


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    console = tmp_path_factory.mktemp("console")
    (console / "index.html").write_text("<!doctype html><title>Dromio</title>")
    (console / "app.js").write_text("export {}")
    (console / "part").mkdir()
    (console / "part" / "x.css").write_text("a{}")
    (console / ".secret").write_text("no")
    (console / "link").symlink_to("/etc/passwd")
    with Gate(console) as running:
        yield running


def problem(answer, status):
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    text = answer.json()
    assert text["status"] == status and text["type"] and text["title"]
    return text


# ---- tokens, scopes, domains ----

@pytest.mark.parametrize("path", ["/v1/twins", "/nothing", "/metrics", "/openapi.json", "/", "/v1/twins/%zz", "/v1/sessions"])
@pytest.mark.parametrize("token", [None, "wrong", "old-token", ""])
def test_without_a_valid_token_everything_is_401_before_routing(gate, path, token):
    answer = gate.request("POST" if "sessions" in path else "GET", path, token=token)
    problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("value", ["Basic YTpi", "Bearer", "Bearer ", "admin-token", "Bearer " + "x" * 600, "Bearer admin-token x"])
def test_another_authorization_is_401(gate, value):
    assert gate.request("GET", "/v1/twins", token=None, Authorization=value).status == 401


def test_the_scheme_is_compared_without_case(gate):
    assert gate.request("GET", "/v1/twins", token=None, Authorization="bearer admin-token").status == 200


def test_a_post_to_the_console_needs_a_token(gate):
    assert gate.request("POST", "/console/", token=None).status == 401


@pytest.mark.parametrize("method,path,token", [
    ("PUT", TWIN, "reader-token"), ("DELETE", TWIN, "reader-token"), ("POST", "/v1/twins:bulk", "reader-token"),
    ("PUT", TWIN + "/properties/period", "reader-token"), ("POST", TWIN + "/actions/blink", "reader-token"),
    ("POST", "/v1/images", "writer-token"), ("GET", "/v1/twins", "images-token"), ("POST", "/v1/query", "images-token"),
    ("GET", "/v1/events", "images-token"), ("GET", "/v1/applications", "writer-token"), ("POST", "/v1/applications", "writer-token"),
    ("POST", "/v1/logins", "writer-token"), ("POST", "/v1/sessions", "admin-token"), ("GET", "/v1/status", "images-token"),
    ("GET", "/metrics", "images-token"),
])
def test_outside_its_scopes_a_token_is_403(gate, method, path, token):
    problem(gate.request(method, path, body="{}" if method in ("PUT", "POST") else None, token=token), 403)


def test_the_admin_may_do_all(gate):
    answer = gate.request("PUT", TWIN, {})
    assert answer.json()["application"] == 0 and answer.json()["scopes"] == 128


def test_an_application_is_named_to_the_core(gate):
    answer = gate.request("GET", TWIN, token="writer-token")
    assert answer.json()["application"] == 2 and answer.json()["scopes"] == 3


@pytest.mark.parametrize("body,headers", [("not json", {}), ("{}", {"Content-Type": "text/plain"}), ('{"imsi":5}', {}),
                                          ("{}", {"If_Match": "1, 2"}), ("x" * 70000, {})])
def test_another_domains_twin_is_404_before_anything_of_the_request_is_judged(gate, body, headers):
    problem(gate.request("PUT", "/v1/twins/m1@other.example", body, token="writer-token", **headers), 404)
    assert gate.request("PUT", TWIN, body, token="writer-token", **headers).status in (400, 413, 415, 422)


def test_a_bad_query_for_another_domains_twin_is_404(gate):
    assert gate.request("GET", "/v1/twins/m1@other.example/timeline?limit=0", token="reader-token").status == 404
    assert gate.request("GET", TWIN + "/timeline?limit=0", token="reader-token").status == 400


def test_a_one_time_token_is_good_for_sessions_only(gate):
    assert gate.request("GET", "/v1/twins", token="once-token").status == 401
    assert gate.request("POST", "/v1/logins", token="once-token").status == 401
    answer = gate.request("POST", "/v1/sessions", token="once-token")
    assert answer.operation() == "SESSION"
    assert answer.fields()["TOKEN"] == [hashlib.sha256(b"once-token").digest()]


def test_a_token_that_the_core_takes_back_is_no_longer_accepted(gate):
    with gate.wire() as wire:
        text = "GET /v1/twins/{} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer gone-token\r\n\r\n"
        assert wire.send(text.format("m1@acme.example")).answer().status == 200
        assert wire.send(text.format("gone@acme.example")).answer().status == 200
        assert wire.send(text.format("m1@acme.example")).answer().status == 401


# ---- requests to the core ----

@pytest.mark.parametrize("method,path,operation,fields", [
    ("GET", "/v1/images", "IMAGE_LIST", {}),
    ("GET", f"/v1/images/{DIGEST}", "IMAGE_GET", {"IMAGE": [b"\xab" * 32]}),
    ("GET", "/v1/twins", "TWIN_LIST", {}),
    ("GET", "/v1/twins?model=acme/thermo&tag=site%3Dnorth&limit=5&cursor=abc", "TWIN_LIST",
     {"MODEL": [b"acme/thermo"], "TAG": [b"\x04sitenorth"], "LIMIT": [struct.pack("<Q", 5)], "CURSOR": [b"abc"]}),
    ("GET", TWIN, "TWIN_GET", {"ID": [b"m1@acme.example"]}),
    ("GET", "/v1/twins/m1%40ACME.Example", "TWIN_GET", {"ID": [b"m1@acme.example"]}),
    ("GET", "/v1/twins/a%2Fb%2bc@acme.example", "TWIN_GET", {"ID": [b"a/b+c@acme.example"]}),
    ("GET", TWIN + "/properties", "PROPERTY_LIST", {"ID": [b"m1@acme.example"]}),
    ("GET", TWIN + "/properties/period", "PROPERTY_GET", {"ID": [b"m1@acme.example"], "NAME": [b"period"]}),
    ("GET", TWIN + "/tickets", "TICKET_LIST", {"ID": [b"m1@acme.example"]}),
    ("GET", TWIN + "/tickets/77", "TICKET_GET", {"ID": [b"m1@acme.example"], "TICKET": [struct.pack("<Q", 77)]}),
    ("GET", TWIN + "/timeline?limit=9", "TIMELINE", {"ID": [b"m1@acme.example"], "LIMIT": [struct.pack("<Q", 9)]}),
    ("GET", TWIN + "/history?property=humidity", "HISTORY", {"ID": [b"m1@acme.example"], "NAME": [b"humidity"]}),
    ("GET", "/v1/dead-letters?limit=3", "DEAD_LETTERS", {"LIMIT": [struct.pack("<Q", 3)]}),
    ("GET", "/v1/status", "STATUS", {}),
    ("GET", "/v1/peers", "PEERS", {}),
    ("GET", "/v1/applications", "APPLICATION_LIST", {}),
    ("GET", "/v1/applications/as1", "APPLICATION_GET", {"APPLICATION": [b"as1"]}),
    ("DELETE", "/v1/applications/as1", "APPLICATION_DELETE", {"APPLICATION": [b"as1"]}),
    ("POST", "/v1/applications/as1/token", "APPLICATION_TOKEN", {"APPLICATION": [b"as1"]}),
    ("POST", "/v1/logins", "LOGIN", {}),
])
def test_a_request_becomes_an_operation_with_fields(gate, method, path, operation, fields):
    answer = gate.request(method, path)
    assert answer.operation() == operation
    assert answer.fields() == fields


def test_a_twin_is_put_with_all_it_may_have(gate):
    answer = gate.request("PUT", TWIN, {
        "image": DIGEST, "model": "acme/thermo", "imsi": "001010000000001", "msisdn": "49170123456",
        "aliases": ["x@Other.Example", "y@acme.example"], "tags": {"site": "nörth", "old": None},
        "secrets": {"calibration": -0.5, "count": 3, "on": True, "key": "c2VjcmV0c2VjcmV0c2U=", "gone": None}})
    assert answer.status == 201 and answer.operation() == "TWIN_PUT"
    assert answer.headers["ETag"] == '"7"' and answer.headers["Location"] == "/v1/twins/made"
    assert answer.fields() == {
        "ID": [b"m1@acme.example"], "IMAGE": [b"\xab" * 32], "MODEL": [b"acme/thermo"], "IMSI": [b"001010000000001"],
        "MSISDN": [b"49170123456"], "ALIAS": [b"x@other.example", b"y@acme.example"],
        "TAG": ["\x04sitenörth".encode(), b"\x03old"],
        "SECRET": [b"\x0bcalibration" + NUMBER + struct.pack("<d", -0.5), b"\x05count" + INTEGER + struct.pack("<q", 3),
                   b"\x02on" + BOOLEAN + b"\x01", b"\x03key" + STRING + b"\x14\0c2VjcmV0c2VjcmV0c2U=", b"\x04gone\0"]}


def test_null_members_are_named_as_removed(gate):
    names = ["image", "model", "imsi", "msisdn", "aliases", "tags", "secrets"]
    answer = gate.request("PUT", TWIN, {name: None for name in names})
    assert answer.fields()["NULLED"] == [name.encode() for name in names]


@pytest.mark.parametrize("value,encoded", [(600, INTEGER + struct.pack("<q", 600)), (21.5, NUMBER + struct.pack("<d", 21.5)),
                                           (True, BOOLEAN + b"\x01"), ("x", STRING + b"\x01\0x"), (-1, INTEGER + b"\xff" * 8),
                                           (2 ** 63, NUMBER + struct.pack("<d", 2.0 ** 63))])
def test_a_property_is_written(gate, value, encoded):
    answer = gate.request("PUT", TWIN + "/properties/period", {"value": value})
    assert answer.operation() == "PROPERTY_PUT"
    assert answer.fields() == {"ID": [b"m1@acme.example"], "NAME": [b"period"], "VALUE": [encoded]}


@pytest.mark.parametrize("query,state,ms", [("wait=delivered", 2, 10000), ("wait=reported&timeout=500ms", 3, 500),
                                            ("timeout=2s&wait=reported", 3, 2000), ("wait=reported&timeout=1m", 3, 60000)])
def test_wait_and_timeout_are_passed_on(gate, query, state, ms):
    fields = gate.request("PUT", TWIN + f"/properties/period?{query}", {"value": 1}).fields()
    assert fields["WAIT"] == [bytes([state])] and fields["TIMEOUT"] == [struct.pack("<Q", ms)]


@pytest.mark.parametrize("body,inputs", [({"seconds": 5}, [b"\x07seconds" + INTEGER + struct.pack("<q", 5)]), ({}, None), (None, None)])
def test_an_action_is_invoked(gate, body, inputs):
    answer = gate.request("POST", TWIN + "/actions/blink", body)
    assert answer.operation() == "ACTION"
    assert answer.fields().get("INPUT") == inputs


def test_an_application_is_made(gate):
    answer = gate.request("POST", "/v1/applications", {"id": "as1", "domains": ["Acme.Example", "b.example"], "scopes": ["read", "nidd"]})
    assert answer.fields() == {"APPLICATION": [b"as1"], "DOMAIN": [b"acme.example", b"b.example"], "SCOPES": [struct.pack("<Q", 9)]}


def test_conditions_are_passed_on(gate):
    assert gate.request("PUT", TWIN, {}, If_Match='"17"').fields()["IF_MATCH"] == [struct.pack("<Q", 17)]
    assert gate.request("PUT", TWIN, {}, If_Match="*").fields()["IF_MATCH"] == [b"\xff" * 8]
    assert gate.request("PUT", TWIN, {}, If_None_Match="*").fields()["IF_NONE_MATCH"] == [b""]
    never = [struct.pack("<Q", 2**64 - 2)]  # no twin has this revision: the core says 412, once the twin is found
    assert gate.request("PUT", TWIN, {}, If_Match='"not ours"').fields()["IF_MATCH"] == never
    assert gate.request("PUT", TWIN, {}, If_Match='W/"17"').fields()["IF_MATCH"] == never


def test_an_unchanged_twin_is_304(gate):
    answer = gate.request("GET", TWIN, If_None_Match='"7"')
    assert answer.status == 304 and answer.body == b"" and answer.headers["ETag"] == '"7"'
    assert gate.request("GET", TWIN, If_None_Match='"8"').status == 200


def test_an_idempotency_key_is_bound_to_application_route_and_body(gate):
    def hashes(path=TWIN, body=None, token="admin-token", key="k1"):
        found = gate.request("PUT", path, body or {}, token=token, Idempotency_Key=key).fields()["IDEMPOTENCY"][0]
        assert len(found) == 64
        return found[:32], found[32:]
    first = hashes()
    assert hashes() == first and first[1] == hashlib.sha256(b"{}").digest()
    assert hashes("/v1/twins/m1%40ACME.example") == first
    assert hashes(key="k2")[0] != first[0]
    assert hashes(token="writer-token")[0] != first[0]
    assert hashes("/v1/twins/m2@acme.example")[0] != first[0]
    assert hashes(body={"tags": {}})[0] == first[0] and hashes(body={"tags": {}})[1] != first[1]
    problem(gate.request("PUT", TWIN, {}, Idempotency_Key="k" * 300), 400)


def test_an_idempotency_key_counts_its_route_by_name_so_that_it_lasts_over_upgrades(gate):
    """It is kept for a day: what it is made of may not depend on how many routes a version has."""
    asked = gate.request("PUT", TWIN, {}, Idempotency_Key="k1")
    application, route, twin = struct.pack("<I", 0), b"PUT /v1/twins/{id}", asked.fields()["ID"][0]
    field = bytes([1, len(twin)]) + twin  # its number in every version, and its length
    made_of = application + struct.pack("<H", len(route)) + route + struct.pack("<H", 2) + b"k1" + field
    assert asked.fields()["IDEMPOTENCY"][0][:32] == hashlib.sha256(made_of).digest()


# ---- what is refused ----

@pytest.mark.parametrize("text", ["", "{", "[", "{}x", '{"a":}', "\ufeff{}", '{"tags":{"a":"\\ud800"}}', "NaN", "{'a':1}", "// c\n{}",
                                  '{"tags":{"a":1e999}}', "[" * 60000])
def test_what_is_no_json_is_400(gate, text):
    problem(gate.request("PUT", TWIN, text.encode()), 400)


def test_invalid_utf_8_is_400(gate):
    problem(gate.request("PUT", TWIN, b'{"tags":{"a":"\xff"}}'), 400)


@pytest.mark.parametrize("body,pointer", [
    ({"ismi": "1"}, "/ismi"), ({"imsi": 1}, "/imsi"), ({"imsi": "12345"}, "/imsi"), ({"imsi": "0" * 16}, "/imsi"),
    ({"imsi": "00101000000000x"}, "/imsi"), ({"msisdn": "1234"}, "/msisdn"), ({"image": "abc"}, "/image"),
    ({"image": 5}, "/image"), ({"image": DIGEST + "0"}, "/image"), ({"model": ""}, "/model"), ({"model": "m" * 64}, "/model"),
    ({"aliases": "x@y.example"}, "/aliases"), ({"aliases": ["x@y.example", 5]}, "/aliases/1"), ({"aliases": ["no"]}, "/aliases/0"),
    ({"aliases": ["x@y.example"] * 17}, "/aliases"), ({"tags": []}, "/tags"), ({"tags": {"a/b": 5}}, "/tags/a~1b"),
    ({"tags": {"~": ""}}, "/tags/~0"), ({"tags": {"": "x"}}, "/tags/"), ({"tags": {str(i): "x" for i in range(33)}}, "/tags"),
    ({"tags": {"x" * 64: "x"}}, "/tags/" + "x" * 63), ({"secrets": {"a": []}}, "/secrets/a"), ({"secrets": {"a": "x" * 257}}, "/secrets/a"),
    ({"secrets": 5}, "/secrets"), ([], ""), ("text", ""), (5, ""), ({"id": "m1@acme.example"}, "/id"),
])
def test_a_body_that_does_not_fit_is_422_with_a_pointer(gate, body, pointer):
    answer = problem(gate.request("PUT", TWIN, json.dumps(body)), 422)
    assert answer["pointer"] == pointer


@pytest.mark.parametrize("text", ['{"imsi":"001010000000001","imsi":"001010000000002"}', '{"tags":{"a":"1","a":"2"}}',
                                  '{"tags":{"a":"1","\\u0061":"2"}}', '{"secrets":{"a":1,"b":2,"a":3}}'])
def test_a_member_that_is_there_twice_is_422(gate, text):
    problem(gate.request("PUT", TWIN, text), 422)


def test_a_refusal_never_repeats_the_value(gate):
    answer = gate.request("PUT", TWIN, {"imsi": "00101secret0001", "secrets": {"key": ["hush"]}})
    assert b"00101secret" not in answer.body and b"hush" not in answer.body


@pytest.mark.parametrize("body", [{}, {"value": None}, {"value": []}, {"value": {}}, {"value": 1, "x": 1}, {"value": "x" * 257}, []])
def test_a_property_value_that_cannot_be_is_422(gate, body):
    problem(gate.request("PUT", TWIN + "/properties/period", body), 422)


@pytest.mark.parametrize("body", [{"id": "as1"}, {"id": "as1", "domains": [], "scopes": []}, {"id": "as1", "domains": ["a b"], "scopes": []},
                                  {"id": "as1", "domains": ["a.example"], "scopes": ["all"]}, {"id": "a/b", "domains": ["a.example"], "scopes": []},
                                  {"id": "", "domains": ["a.example"], "scopes": []}, {"id": "as1", "domains": ["a.example"], "scopes": ["admin"]}])
def test_an_application_that_cannot_be_is_422(gate, body):
    problem(gate.request("POST", "/v1/applications", body), 422)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=-1", "limit=1.5", "limit=", "limit=1&limit=2", "limt=1", "tag=x", "tag==x",
                                   "tag=x=", "model=", "cursor=", "wait=reported", "cursor=" + "c" * 600, "x"])
def test_a_query_that_cannot_be_is_400(gate, query):
    problem(gate.request("GET", f"/v1/twins?{query}"), 400)


@pytest.mark.parametrize("query", ["wait=sent", "wait=", "wait=reported&timeout=10", "wait=reported&timeout=601s", "timeout=0s",
                                   "timeout=2h", "timeout=-1s", "timeout=1.5s", "timeout=ms"])
def test_a_wait_that_cannot_be_is_400(gate, query):
    problem(gate.request("PUT", TWIN + f"/properties/period?{query}", {"value": 1}), 400)


def test_a_history_needs_a_property(gate):
    problem(gate.request("GET", TWIN + "/history"), 400)


@pytest.mark.parametrize("kind", ["text/plain", "application/jsonx", "multipart/form-data; boundary=x"])
def test_another_content_type_is_415(gate, kind):
    problem(gate.request("PUT", TWIN, "{}", Content_Type=kind), 415)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json", None])
def test_json_by_its_names_and_unnamed_is_taken(gate, kind):
    headers = {"Content_Type": kind} if kind else {}
    assert gate.request("PUT", TWIN, b"{}", **headers).status == 201


@pytest.mark.parametrize("identifier,status", [
    ("m1", 404), ("@acme.example", 404), ("m1@", 404), ("m1@@acme.example", 404), ("a.b@acme.example", 200), (".a@acme.example", 404),
    ("a..b@acme.example", 404), ("m1@-a.example", 404), ("m1@a-.example", 404), ("m1@a..example", 404), ("m1@a_b.example", 404),
    ("m%201@acme.example", 404), ("m1@acme.example.", 404), ("%C3%A4@acme.example", 200), ("a" * 240 + "@acme.example", 200),
    ("a" * 241 + "@acme.example", 404), ("m1@" + "a" * 64 + ".example", 404), ("m1@localhost", 200),
])
def test_only_an_external_identifier_names_a_twin(gate, identifier, status):
    assert gate.request("GET", f"/v1/twins/{identifier}").status == status
    if status == 404:
        problem(gate.request("PUT", f"/v1/twins/{identifier}", {}), 400)


@pytest.mark.parametrize("path", [TWIN + "/tickets/x", TWIN + "/properties/" + "p" * 64, "/v1/images/abc", "/v1/images/sha256:12",
                                  "/v1/applications/" + "a" * 64])
def test_what_cannot_be_a_name_is_404(gate, path):
    problem(gate.request("GET", path), 404)


# ---- answers ----

def test_a_problem_of_the_core_is_passed_on(gate):
    answer = gate.request("GET", "/v1/twins/busy@acme.example")
    assert problem(answer, 503)["title"] == "scripted"
    assert answer.headers["Retry-After"] == "7"


def test_a_delete_is_204_without_a_body(gate):
    answer = gate.request("DELETE", TWIN)
    assert answer.status == 204 and answer.body == b"" and "Content-Length" not in answer.headers


def test_answers_are_not_kept_by_caches_and_have_a_date(gate):
    answer = gate.request("GET", TWIN)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Date"].endswith(" GMT")


# ---- images ----

@pytest.mark.parametrize("size", [1, 48 * 1024, 48 * 1024 + 1, 1000000, 4 * 1024 * 1024])
def test_an_image_reaches_the_core_whole(gate, size):
    image = bytes(i * 7 % 251 for i in range(min(size, 65521))) * (size // 65521 + 1)
    image = image[:size]
    answer = gate.request("POST", "/v1/images", image, token="images-token", Content_Type="application/wasm")
    assert answer.status == 201
    assert answer.json() == {"image": "sha256:" + hashlib.sha256(image).hexdigest(), "bytes": size}


def test_an_image_may_come_in_chunks(gate):
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=WAIT)
    connection.request("POST", "/v1/images", iter([b"a" * 100000, b"b" * 5, b"c" * 70000]),
                       {"Authorization": "Bearer images-token"}, encode_chunked=True)
    assert json.loads(connection.getresponse().read())["bytes"] == 170005
    connection.close()


def test_an_image_that_is_too_large_is_413(gate):
    with gate.wire() as wire:
        wire.send("POST /v1/images HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer images-token\r\nContent-Length: 4194305\r\n\r\n")
        answer = wire.answer()
        assert answer.status == 413 and answer.headers["Connection"] == "close"


def test_no_image_at_all_is_400(gate):
    problem(gate.request("POST", "/v1/images", token="images-token"), 400)


def test_a_client_that_leaves_half_an_image_does_not_hold_up_the_next(gate):
    for _ in range(20):
        with gate.wire() as wire:
            wire.send("POST /v1/images HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer images-token\r\nContent-Length: 1000\r\n\r\nabc")
    while (answer := gate.request("POST", "/v1/images", b"whole", token="images-token")).status == 503:
        pass  # the gate may meet the new one before it sees that the others left
    assert answer.status == 201 and answer.json()["bytes"] == 5


# ---- query ----

def test_a_query_goes_to_the_desk_with_the_callers_domains(gate):
    sql = "select count(*) from thermo where site = 'nörth'"
    answer = gate.request("POST", "/v1/query", {"sql": sql}, token="reader-token")
    assert answer.json() == {"all": 0, "domain": "acme.example\0", "sql_bytes": len(sql.encode()), "sql": sql} or \
        answer.json()["sql_bytes"] == len(sql.encode())
    assert gate.request("POST", "/v1/query", {"sql": "select 1"}).json()["all"] == 1


def test_of_more_than_64_kib_of_sql_the_desk_gets_enough_to_refuse_it(gate):
    assert gate.request("POST", "/v1/query", {"sql": "-" * 65536}).json()["sql_bytes"] == 65536
    assert gate.request("POST", "/v1/query", {"sql": "-" * 65537}).json()["sql_bytes"] == 65537
    assert gate.request("POST", "/v1/query", {"sql": "-" * 100000}).json()["sql_bytes"] == 65537
    problem(gate.request("POST", "/v1/query", {"sql": "-" * 200000}), 413)


@pytest.mark.parametrize("body", [{}, {"sql": 5}, {"sql": "x", "limit": 5}, {"SQL": "x"}])
def test_a_query_that_cannot_be_is_422(gate, body):
    problem(gate.request("POST", "/v1/query", body), 422)


# ---- descriptions ----

def test_a_thing_description_is_made_of_the_model(gate):
    answer = gate.request("GET", TWIN + "/td")
    assert answer.headers["Content-Type"] == "application/td+json"
    td = answer.json()
    assert td["@context"] == ["https://www.w3.org/2022/wot/td/v1.1"] and td["@type"] == "Thing"
    assert td["id"] == "urn:dromio:twin:m1@acme.example" and td["title"] == "Thermo"
    assert td["version"] == {"model": "1.0.0", "instance": "1.0.0"}
    assert td["securityDefinitions"]["bearer"]["scheme"] == "bearer" and td["security"] == ["bearer"]
    assert td["links"][0]["rel"] == "type" and td["dromio:model"] == "acme/thermo"
    temperature = td["properties"]["temperature"]
    assert temperature["unit"] == "Cel" and temperature["readOnly"] is True
    assert temperature["forms"][0] == {"href": "/v1/twins/m1@acme.example/properties/temperature",
                                       "contentType": "application/json", "op": ["readproperty"]}
    assert temperature["forms"][1]["subprotocol"] == "sse"
    assert td["properties"]["period"]["forms"][0]["op"] == ["readproperty", "writeproperty"]
    assert td["actions"]["blink"]["forms"][0]["href"] == "/v1/twins/m1@acme.example/actions/blink"
    assert td["events"]["too_hot"]["forms"][0]["op"] == ["subscribeevent", "unsubscribeevent"]
    assert td["forms"][0]["op"] == ["readallproperties"]


def test_a_thing_description_shows_no_secret_and_nothing_private(gate):
    text = gate.request("GET", TWIN + "/td").body
    assert b"secrets" not in text and b"hidden" not in text and b"dromio:source" not in text and b"tm:ThingModel" not in text


def test_a_thing_descriptions_links_lead_to_the_twin(gate):
    td = gate.request("GET", "/v1/twins/a%2Fb%3Fc@acme.example/td").json()
    href = td["properties"]["period"]["forms"][0]["href"]
    assert href == "/v1/twins/a%2Fb%3Fc@acme.example/properties/period"
    assert gate.request("GET", href).fields()["ID"] == [b"a/b?c@acme.example"]


# ---- outside /v1 ----

def test_healthz_needs_no_token_and_says_what_it_was_told(gate):
    answer = gate.request("GET", "/healthz", token=None)
    assert answer.status == 200 and answer.json() == {"status": "ok", "version": "test", "sandbox": "none", "storage": "ok"}


def test_metrics_have_the_gates_and_the_cores_part(gate):
    answer = gate.request("GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = answer.body.decode()
    assert "\nscripted_core 1\n" in text and "dromio_gate_core_answers 1" in text
    assert 'dromio_http_answers_total{route="GET /v1/twins/{id}",status="2xx"}' in text
    names = [line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_the_openapi_document_has_every_route(gate):
    document = gate.request("GET", "/openapi.json", token="images-token").json()
    assert document["openapi"].startswith("3.1")
    for line in (ROOT / "spec" / "routes.csv").read_text().splitlines():
        if line.startswith("#") or line.startswith("method,"):
            continue
        method, path = line.split(",")[:2]
        assert method.lower() in (document["paths"] | document["x-dromio-public"])[path], (method, path)


# ---- console ----

@pytest.mark.parametrize("path,kind", [("/console/", "text/html"), ("/console/index.html", "text/html"), ("/console/app.js", "text/javascript"),
                                       ("/console/part/x.css", "text/css"), ("/console/app.js?v=2", "text/javascript")])
def test_the_consoles_files_need_no_token(gate, path, kind):
    answer = gate.request("GET", path, token=None)
    assert answer.status == 200 and answer.headers["Content-Type"].startswith(kind)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/console/x", "/console/part/", "/console/part", "/console/.secret", "/console/link", "/console/../healthz",
                                  "/console/%2e%2e/%2e%2e/etc/passwd", "/console/..%2f..%2fetc/passwd", "/console//etc/passwd",
                                  "/console/part%2fx.css", "/console/app.js%00", "/console/app.js/"])
def test_nothing_but_the_consoles_files_is_there(gate, path):
    assert gate.request("GET", path, token=None).status in (400, 401, 404)


def test_an_unchanged_file_is_304(gate):
    etag = gate.request("GET", "/console/app.js", token=None).headers["ETag"]
    answer = gate.request("GET", "/console/app.js", token=None, If_None_Match=etag)
    assert answer.status == 304 and answer.body == b"" and answer.headers["ETag"] == etag


def test_the_console_without_a_slash_leads_to_it(gate):
    answer = gate.request("GET", "/console", token=None)
    assert answer.status == 308 and answer.headers["Location"] == "/console/"
