"""Twins over the API of the whole host: made, changed, read, listed, removed; who may."""
import json

import pytest
from host import THERMO, Client, Host, thermo_reading

TOKEN_KEY = "QUJDREVGR0hJSktMTU5PUA=="  # 16 bytes in base64


@pytest.fixture
def admin(real):
    return real.admin


@pytest.fixture
def twin(admin, names):
    """A new twin's id; its IMSI comes from the same pair."""
    name, imsi = next(names)
    admin.put_twin(name, imsi=imsi, tags={"site": "north", "floor": "2"}, aliases=[f"alias-{name}"])
    return name


def problem(answer, status):
    assert answer.status == status, answer
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    body = answer.json()
    assert body["status"] == status and body["title"]
    return body


# ---- PUT ----

def test_a_new_twin_is_201_a_changed_one_200(admin, names):
    name, imsi = next(names)
    made = admin.put(f"/v1/twins/{name}", {"model": "acme/thermo", "imsi": imsi})
    assert made.status == 201 and made.etag == '"1"' and made.headers["Location"] == f"/v1/twins/{name}"
    assert set(made.json()) >= {"id", "model", "image", "revision", "tags", "properties", "contact", "mailbox"}
    changed = admin.put(f"/v1/twins/{name}", {"tags": {"site": "south"}})
    assert changed.status == 200 and changed.etag == '"2"'
    assert changed.json()["tags"] == {"site": "south"} and changed.json()["revision"] == 2


def test_an_image_is_named_by_its_digest_too(real, admin, names):
    name, _ = next(names)
    assert admin.put(f"/v1/twins/{name}", {"image": real.thermo}).json()["image"] == real.thermo


def test_a_new_twin_needs_a_model_that_is_here(admin, names):
    name, _ = next(names)
    problem(admin.put(f"/v1/twins/{name}", {}), 422)
    problem(admin.put(f"/v1/twins/{name}", {"model": "acme/none"}), 422)
    problem(admin.put(f"/v1/twins/{name}", {"image": "sha256:" + "0" * 64}), 422)
    assert admin.get(f"/v1/twins/{name}").status == 404


def test_absent_members_stay_null_removes(admin, twin):
    admin.put_twin(twin, tags={"floor": "3"})
    assert admin.twin(twin)["tags"] == {"site": "north", "floor": "3"}
    admin.put_twin(twin, tags={"site": None})
    assert admin.twin(twin)["tags"] == {"floor": "3"}
    admin.put_twin(twin, tags=None)
    assert admin.twin(twin)["tags"] == {}
    admin.put_twin(twin, aliases=None)
    assert admin.get(f"/v1/twins/alias-{twin}").status == 404


def test_a_removed_imsi_is_free_again(real, mme, admin, names):
    (one, imsi), (two, _) = next(names), next(names)
    admin.put_twin(one, imsi=imsi)
    mme.attach(imsi)
    admin.put_twin(one, imsi=None)
    assert real.metric("dromio_twins") > 0
    admin.put_twin(two, imsi=imsi)
    mme.attach(imsi).uplink(imsi, b"\x02\x02\x58")
    assert admin.value(two, "period") == 600 and admin.value(one, "period") is None


@pytest.mark.parametrize("body", [
    {"colour": "red"}, {"tags": {"site": 7}}, {"tags": "north"}, {"imsi": "12"}, {"imsi": "0010100000000012345"}, {"imsi": "00101x000000001"},
    {"imsi": 1}, {"secrets": {"calibration": "warm"}}, {"secrets": {"key": "not base64!"}}, {"secrets": {"key": "QUJD"}},
    {"secrets": {"none": 1}}, {"secrets": {"calibration": 1e300}}, {"aliases": ["no-domain"]}, {"aliases": "x@y.example"}, {"model": 5},
    {"image": "sha256:12"}, {"msisdn": "abc"}])
def test_what_the_model_or_the_api_does_not_know_is_422_and_changes_nothing(admin, twin, body):
    before = admin.get(f"/v1/twins/{twin}").body
    problem(admin.put(f"/v1/twins/{twin}", body), 422)
    assert admin.get(f"/v1/twins/{twin}").body == before


@pytest.mark.parametrize("body, told", [
    ({"calibration": "warm"}, ("/secrets/calibration ", "number")), ({"key": "QUJD"}, ("/secrets/key ", "base64", "bytes")),
    ({"strange": 1}, ("/secrets/strange", "does not know"))])
def test_a_wrong_secret_is_told_by_name_and_with_what_is_asked_for(admin, twin, body, told):
    detail = problem(admin.put(f"/v1/twins/{twin}", {"secrets": body}), 422)["detail"]
    assert all(part in detail for part in told) and "warm" not in detail and "QUJD" not in detail, detail


def test_what_is_out_of_range_is_told_with_the_range(admin, twin):
    detail = problem(admin.put(f"/v1/twins/{twin}/properties/period", {"value": 5}), 422)["detail"]
    assert "10 to 65535" in detail, detail
    detail = problem(admin.post(f"/v1/twins/{twin}/actions/blink", {"seconds": 0}), 422)["detail"]
    assert detail.startswith("/seconds: out of range (integer, 1 to "), detail


def test_broken_json_is_400(admin, twin):
    for text in ("{", "[]{}", '{"tags":}', "\xff\xfe", '{"tags":{},"tags":{}}'):
        assert admin.put(f"/v1/twins/{twin}", text, Content_Type="application/json").status in (400, 422)
    assert admin.put(f"/v1/twins/{twin}", "[" * 10000, Content_Type="application/json").status in (400, 422)


def test_an_imsi_msisdn_or_alias_already_bound_is_409(admin, names):
    (one, imsi), (two, _) = next(names), next(names)
    admin.put_twin(one, imsi=imsi, msisdn="4917" + imsi[-8:], aliases=[f"a-{one}"])
    for body in ({"imsi": imsi}, {"msisdn": "4917" + imsi[-8:]}, {"aliases": [f"a-{one}"]}, {"aliases": [one]}):
        told = problem(admin.put(f"/v1/twins/{two}", body | {"model": "acme/thermo"}), 409)
        assert imsi not in json.dumps(told)
    assert admin.get(f"/v1/twins/{two}").status == 404
    admin.put_twin(one, imsi=imsi, aliases=[f"a-{one}"])  # its own are fine


def test_whose_number_it_is_is_for_the_administrator_alone():
    with Host("host.cores=1") as made:  # a twin of another core is not looked up for its name
        made.admin.put_twin("one@acme.example", imsi="001010000000061", msisdn="491700000061")
        writer = made.application("writer", ["acme.example", "other.example"], ["write"])
        for number in ({"imsi": "001010000000061"}, {"msisdn": "491700000061"}):
            for domain in ("acme.example", "other.example"):
                body = number | {"model": "acme/thermo"}
                assert "one@acme.example" in problem(made.admin.put(f"/v1/twins/two@{domain}", body), 409)["detail"]
                assert "one@acme.example" not in json.dumps(problem(writer.put(f"/v1/twins/two@{domain}", body), 409))


def test_another_image_than_the_twin_has_is_409_image_change(real, admin, twin):
    moved = real.push((THERMO.parent / "thermo_moved.wasm").read_bytes()).json()["image"]
    told = problem(admin.put(f"/v1/twins/{twin}", {"image": moved}), 409)
    assert "image_change" in told["type"]
    assert admin.put(f"/v1/twins/{twin}", {"image": real.thermo}).status == 200
    assert admin.put(f"/v1/twins/{twin}", {"model": "acme/thermo"}).status == 200
    problem(admin.put(f"/v1/twins/{twin}", {"model": "acme/none"}), 422)


# ---- preconditions and keys ----

def test_if_match_and_if_none_match(admin, twin):
    assert admin.get(f"/v1/twins/{twin}").etag == '"1"'
    problem(admin.put(f"/v1/twins/{twin}", {"tags": {"a": "b"}}, If_Match='"7"'), 412)
    assert admin.put(f"/v1/twins/{twin}", {"tags": {"a": "b"}}, If_Match='"1"').status == 200
    assert admin.put(f"/v1/twins/{twin}", {}, If_Match="*").status == 200
    revision = admin.get(f"/v1/twins/{twin}").headers["ETag"]
    assert admin.put(f"/v1/twins/{twin}", {"tags": {"a": "c"}}, If_Match=f'"999", "x" ,{revision}').status == 200
    problem(admin.put(f"/v1/twins/{twin}", {}, If_Match='"998","999", W/"1"'), 412)
    problem(admin.put(f"/v1/twins/{twin}", {}, If_Match='"998", 999'), 400)
    problem(admin.put(f"/v1/twins/{twin}", {}, If_Match=",".join('"9"' for _ in range(17))), 400)
    problem(admin.put(f"/v1/twins/{twin}", {}, If_None_Match="*"), 412)
    problem(admin.put("/v1/twins/nobody@acme.example", {"model": "acme/thermo"}, If_Match='"1"'), 412)
    problem(admin.put(f"/v1/twins/{twin}/properties/period", {"value": 60}, If_Match='"1"'), 412)
    problem(admin.delete(f"/v1/twins/{twin}", If_Match='"1"'), 412)
    assert admin.put(f"/v1/twins/new-{twin}", {"model": "acme/thermo"}, If_None_Match="*").status == 201


def test_the_revision_counts_application_writes_only(mme, admin, thermometer):
    device = thermometer()
    assert admin.twin(device.id)["revision"] == 1
    device.uplink(b"\x02\x02\x58")
    assert admin.twin(device.id)["revision"] == 1
    assert device.write("period", 600)["state"] == "reported"
    device.write("limit", 30)
    assert admin.get(f"/v1/twins/{device.id}").etag == '"3"'


def test_an_idempotency_key_is_answered_once(real, admin, names):
    name, imsi = next(names)
    body = {"model": "acme/thermo", "imsi": imsi}
    first = admin.put(f"/v1/twins/{name}", body, Idempotency_Key="k1")
    again = admin.put(f"/v1/twins/{name}", body, Idempotency_Key="k1")
    assert (first.status, again.status) == (201, 201) and again.json()["id"] == name
    assert admin.twin(name)["revision"] == 1
    problem(admin.put(f"/v1/twins/{name}", {"tags": {"a": "b"}}, Idempotency_Key="k1"), 422)
    path = f"/v1/twins/{name}/properties/period"
    one = admin.put(path, {"value": 700}, Idempotency_Key="k1")  # another route: another key
    two = admin.put(path, {"value": 700}, Idempotency_Key="k1")
    assert one.status == two.status == 202 and one.json()["ticket"] == two.json()["ticket"]
    problem(admin.put(path, {"value": 800}, Idempotency_Key="k1"), 422)
    guarded = [admin.put(path, {"value": 700}, Idempotency_Key="k2", If_Match='"2"') for _ in range(2)]
    assert [answer.status for answer in guarded] == [202, 202] and guarded[0].body == guarded[1].body
    real.restart()
    assert admin.put(path, {"value": 700}, Idempotency_Key="k1").json()["ticket"] == one.json()["ticket"]
    assert admin.put(f"/v1/twins/{name}", body, Idempotency_Key="k1").status == 201
    assert admin.twin(name)["revision"] == 3


def test_an_idempotency_key_belongs_to_its_application(real, admin, twin):
    other = real.application("keys", ["acme.example"])
    path = f"/v1/twins/{twin}/actions/blink"
    one = admin.post(path, {"seconds": 1}, Idempotency_Key="same")
    two = other.post(path, {"seconds": 2}, Idempotency_Key="same")
    assert one.status == two.status == 202 and one.json()["ticket"] != two.json()["ticket"]


# ---- ids ----

def test_at_and_percent_40_and_the_case_of_the_domain_are_the_same(admin, twin):
    local, domain = twin.split("@")
    for path in (twin, f"{local}%40{domain}", f"{local}@{domain.upper()}", f"{local}%40ACME.Example"):
        answer = admin.get(f"/v1/twins/{path}")
        assert answer.status == 200 and answer.json()["id"] == twin
    assert admin.get(f"/v1/twins/{local.upper()}@{domain}").status == 404
    upper = admin.put(f"/v1/twins/Up-{local}@UPPER.Example", {"model": "acme/thermo"})
    assert upper.status == 201 and upper.json()["id"] == f"Up-{local}@upper.example"


def test_an_alias_is_the_twin(admin, twin):
    answer = admin.get(f"/v1/twins/alias-{twin}")
    assert answer.status == 200 and answer.json()["id"] == twin


def test_ids_are_at_most_253_bytes(admin):
    longest = "a" * (253 - len("@acme.example")) + "@acme.example"
    assert admin.put(f"/v1/twins/{longest}", {"model": "acme/thermo"}).status == 201
    assert admin.get(f"/v1/twins/{longest}").json()["id"] == longest
    assert admin.put(f"/v1/twins/a{longest}", {"model": "acme/thermo"}).status in (400, 404, 422)
    for wrong in ("nodomain", "@acme.example", "a@", "a@b@c"):
        assert admin.put(f"/v1/twins/{wrong}", {"model": "acme/thermo"}).status in (400, 404, 422)


# ---- DELETE ----

def test_a_deleted_twin_is_gone_and_its_names_are_free(mme, admin, names):
    name, imsi = next(names)
    admin.put_twin(name, imsi=imsi, aliases=[f"gone-{name}"])
    mme.attach(imsi)
    assert admin.delete(f"/v1/twins/{name}").status == 204
    for path in (name, f"gone-{name}", f"{name}/properties", f"{name}/tickets", f"{name}/timeline"):
        problem(admin.get(f"/v1/twins/{path}"), 404)
    problem(admin.delete(f"/v1/twins/{name}"), 404)
    assert admin.query(f"select count(*) from thermo where id = '{name}'") == [[0]]
    again = admin.put_twin(name, imsi=imsi, aliases=[f"gone-{name}"])
    assert again["revision"] == 1 and again["contact"]["why"] == "unknown"


# ---- properties ----

def test_a_property_never_set_is_200_with_nulls(admin, twin):
    assert admin.property(twin, "temperature") == {"value": None, "unit": "Cel", "time": None, "quality": None, "source": None}
    period = admin.property(twin, "period")
    assert period["value"] is None and period["unit"] == "s" and "desired" in period
    everything = admin.get(f"/v1/twins/{twin}/properties").json()
    assert set(everything) == {"temperature", "humidity", "battery", "average", "battery_low", "readings", "rejected", "lost", "duplicates",
                               "late", "period", "limit"}


def test_a_writable_property_has_what_is_desired(admin, twin):
    ticket = admin.write(twin, "period", 600).json()
    assert set(ticket) == {"ticket", "state", "property", "value", "time", "next", "reason"}
    desired = admin.property(twin, "period")["desired"]
    assert set(desired) == {"value", "time", "state", "ticket"}
    assert (desired["value"], desired["state"], desired["ticket"]) == (600, "pending", ticket["ticket"])
    assert admin.property(twin, "period")["value"] is None
    assert admin.twin(twin)["mailbox"] == 1


def test_writes_are_checked_against_the_model(admin, twin):
    for value in (9, 65536, "600", 600.5, True, None, [600], {"a": 1}):
        problem(admin.write(twin, "period", value), 422)
    problem(admin.write(twin, "limit", "hot"), 422)
    problem(admin.write(twin, "colour", 1), 404)
    read_only = admin.write(twin, "temperature", 20.0)
    problem(read_only, 405)
    assert read_only.headers["Allow"] == "GET, HEAD"
    assert admin.put(f"/v1/twins/{twin}/properties/period", {"value": 600, "more": 1}).status == 422
    assert admin.put(f"/v1/twins/{twin}/properties/period", {}).status == 422
    assert admin.write(twin, "period", 600.0).status == 202  # an integer of JSON
    for body in ({}, {"seconds": 0}, {"seconds": 256}, {"seconds": "1"}, {"seconds": 1, "more": 2}):
        problem(admin.post(f"/v1/twins/{twin}/actions/blink", body), 422)
    problem(admin.post(f"/v1/twins/{twin}/actions/jump", {}), 404)
    problem(admin.get(f"/v1/twins/{twin}/properties/colour"), 404)
    problem(admin.get(f"/v1/twins/{twin}/tickets/99"), 404)


# ---- lists and bulk ----

def test_lists_come_in_pages_and_filter(admin, names):
    mine = [next(names)[0].replace("acme", "pages") for _ in range(7)]
    for number, name in enumerate(mine):
        admin.put_twin(name, tags={"row": str(number % 2), "lot": "x"})
    found, cursor, pages = [], "", 0
    while cursor is not None:
        page = admin.get(f"/v1/twins?tag=lot=x&limit=3{'&cursor=' + cursor if cursor else ''}").json()
        assert len(page["twins"]) <= 3
        found += [twin["id"] for twin in page["twins"]]
        cursor, pages = page.get("cursor"), pages + 1
    assert sorted(found) == sorted(mine) and pages >= 3
    assert {twin["id"] for twin in admin.get("/v1/twins?tag=row=1&limit=500").json()["twins"]} == set(mine[1::2])
    problem(admin.get("/v1/twins?tag=row"), 400)
    assert admin.get("/v1/twins?model=acme/none").json()["twins"] == []
    assert set(mine) <= {twin["id"] for twin in admin.get("/v1/twins?model=acme/thermo&limit=500").json()["twins"]}
    problem(admin.get("/v1/twins?cursor=%21%21"), 400)
    problem(admin.get("/v1/twins?limit=many"), 400)


def test_bulk_answers_line_for_line_in_order(admin, names):
    pairs = [next(names) for _ in range(50)]
    lines = [{"id": name, "model": "acme/thermo", "imsi": imsi} for name, imsi in pairs]
    lines.insert(10, {"id": "x@acme.example", "model": "acme/none"})
    lines.insert(20, {"id": "y@acme.example", "model": "acme/thermo", "imsi": pairs[0][1]})
    lines.insert(30, {"model": "acme/thermo"})
    lines.insert(40, {"id": "z@acme.example", "model": "acme/thermo", "colour": 1})
    answers = admin.bulk(lines)
    assert [answer["id"] for answer in answers] == [line.get("id") for line in lines]
    first, second = (0, 20) if answers[0]["status"] == 201 else (20, 0)  # of two lines for one IMSI, perhaps in two cores, one has it
    for number, answer in enumerate(answers):
        if number in (10, 30, 40, second):
            assert answer["problem"]["status"] == answer["status"] and answer["status"] in (400, 409, 422), answer
        else:
            assert answer == {"id": lines[number]["id"], "status": 201, "revision": 1}
    assert (answers[10]["status"], answers[second]["status"], answers[40]["status"]) == (422, 409, 422)
    again = admin.bulk([lines[first], *lines[1:3]])
    assert [(answer["status"], answer["revision"]) for answer in again] == [(200, 2)] * 3


def test_bulk_reads_what_is_between_bad_lines(admin, names):
    (one, _), (two, _) = next(names), next(names)
    text = f'{{"id":"{one}","model":"acme/thermo"}}\nnonsense\n' + json.dumps({"id": "l@acme.example", "tags": {"a": "x" * 70000}}) + \
        f'\n{{"id":"{two}","model":"acme/thermo"}}'
    answer = admin.post("/v1/twins:bulk", text, Content_Type="application/x-ndjson")
    assert answer.status == 200
    assert [line["status"] // 100 for line in answer.lines()] == [2, 4, 4, 2]


# ---- who may ----

def test_without_a_valid_token_it_is_401_before_routing(real, twin):
    for token in (None, "wrong", "a" * 5000):
        client = Client(real.http_port, token)
        for method, path in (("GET", f"/v1/twins/{twin}"), ("GET", "/v1/nowhere"), ("POST", "/v1/query"), ("PUT", "/v1/twins/x@y.example"),
                             ("GET", "/metrics"), ("GET", "/openapi.json"), ("PATCH", "/v1/twins"), ("POST", "/v1/images")):
            answer = client.request(method, path, None if method == "GET" else "{")
            assert answer.status in ((401,) if token != "a" * 5000 else (401, 431)), (method, path, answer)
        assert client.get("/healthz").status == 200
        client.close()


def test_no_body_is_read_before_the_token(real):
    client = Client(real.http_port, None)
    answer = client.request("POST", "/v1/twins:bulk", None, Transfer_Encoding="chunked")
    assert answer.status == 401
    client.close()


def test_scopes_403(real, twin):
    reader = real.application("reader", ["acme.example"], ["read"])
    writer = real.application("writer", ["acme.example"], ["write"])
    nothing = real.application("nothing", ["acme.example"], ["nidd"])
    assert reader.get(f"/v1/twins/{twin}").status == 200
    assert writer.put(f"/v1/twins/{twin}", {"tags": {"w": "1"}}).status == 200
    for client, method, path, body in ((reader, "PUT", f"/v1/twins/{twin}", {}), (reader, "DELETE", f"/v1/twins/{twin}", None),
                                       (reader, "PUT", f"/v1/twins/{twin}/properties/period", {"value": 60}),
                                       (reader, "POST", f"/v1/twins/{twin}/actions/blink", {"seconds": 1}),
                                       (reader, "POST", "/v1/images", b"x"), (reader, "POST", "/v1/applications", {}),
                                       (writer, "GET", f"/v1/twins/{twin}", None), (writer, "GET", "/v1/applications", None),
                                       (writer, "POST", "/v1/query", {"sql": "select 1"}), (nothing, "GET", "/v1/twins", None),
                                       (nothing, "POST", "/v1/twins:bulk", b""), (nothing, "GET", "/v1/status", None)):
        problem(client.request(method, path, body), 403)


def test_another_domains_twins_are_404_before_anything_is_judged(real, admin, twin):
    other = real.application("other", ["other.example"], ["read", "write"])
    admin.put_twin("mine@other.example")
    assert other.get("/v1/twins/mine@other.example").status == 200
    local = twin.split("@")[0]
    for method, path, body in (("GET", "", None), ("PUT", "", {"colour": 1}), ("PUT", "", "{"), ("DELETE", "", None), ("GET", "/properties", None),
                               ("PUT", "/properties/temperature", {"value": "x"}), ("PUT", "/properties/none", "{"),
                               ("POST", "/actions/none", {"x": 1}), ("GET", "/tickets", None), ("GET", "/tickets/abc", None),
                               ("GET", "/timeline?limit=x", None), ("GET", "/history?property=none", None), ("GET", "/td", None)):
        for name in (twin, f"{local}@ACME.example", "absent@acme.example", f"alias-{twin}"):
            problem(other.request(method, f"/v1/twins/{name}{path}", body), 404)
    problem(other.put(f"/v1/twins/{twin}", {}, If_Match='"77"'), 404)
    problem(other.put(f"/v1/twins/{twin}", {}, If_None_Match="*"), 404)
    assert [line["status"] for line in other.bulk([{"id": twin, "colour": 1}, {"id": twin, "tags": {"a": "b"}}])] == [404, 404]
    assert {found["id"] for found in other.get("/v1/twins").json()["twins"]} == {"mine@other.example"}
    assert other.query("select id from thermo") == [["mine@other.example"]]
    assert other.get(f"/v1/events?twin={twin}").status == 404
    assert "b" not in admin.twin(twin)["tags"].values()


def test_an_alias_lets_its_domain_not_take_foreign_names(real, admin, twin):
    other = real.application("aliases", ["third.example"])
    admin.put_twin("own@third.example")
    assert other.put("/v1/twins/own@third.example", {"aliases": [f"stolen-{twin}"]}).status in (403, 404, 422)
    assert other.put("/v1/twins/own@third.example", {"aliases": [twin]}).status in (403, 404, 409, 422)


def test_applications_are_made_shown_and_removed(real, admin, twin):
    made = admin.post("/v1/applications", {"id": "as1", "domains": ["acme.example"], "scopes": ["read"]})
    assert made.status == 201 and set(made.json()) >= {"id", "token"}
    token = made.json()["token"]
    client = real.client(token)
    assert client.get(f"/v1/twins/{twin}").status == 200
    shown = admin.get("/v1/applications/as1").json()
    assert shown["domains"] == ["acme.example"] and shown["scopes"] == ["read"] and "token" not in shown
    assert token not in admin.get("/v1/applications").body.decode()
    newer = admin.post("/v1/applications/as1/token").json()["token"]
    assert client.get(f"/v1/twins/{twin}").status == 401
    client = real.client(newer)
    assert client.get(f"/v1/twins/{twin}").status == 200
    real.restart()
    client.close()
    assert client.get(f"/v1/twins/{twin}").status == 200
    assert admin.delete("/v1/applications/as1").status == 204
    assert client.get(f"/v1/twins/{twin}").status == 401
    problem(admin.get("/v1/applications/as1"), 404)


def test_unknown_paths_and_methods(admin):
    problem(admin.get("/v1/nowhere"), 404)
    answer = admin.delete("/v1/query")
    problem(answer, 405)
    assert "POST" in answer.headers["Allow"]


# ---- secrets ----

def test_secrets_never_come_back_out_of_any_api(real, mme, admin, names):
    name, imsi = next(names)
    msisdn = "49170" + imsi[-7:]
    answer = admin.put(f"/v1/twins/{name}", {"model": "acme/thermo", "imsi": imsi, "msisdn": msisdn,
                                             "secrets": {"calibration": 0.73125, "key": TOKEN_KEY}})
    assert answer.status == 201
    mme.attach(imsi).uplink(imsi, b"\x02\x02\x58")
    admin.put_twin(name, secrets={"calibration": 0.83125})
    texts = [answer.body]
    for path in ("", "/properties", "/tickets", "/timeline?limit=200", "/history?property=period", "/td"):
        texts.append(admin.get(f"/v1/twins/{name}{path}").body)
    for path in ("/v1/twins?limit=500", "/v1/images", f"/v1/images/{real.thermo}", "/v1/dead-letters", "/v1/status", "/v1/peers", "/metrics",
                 "/healthz", "/v1/applications"):
        texts.append(admin.get(path).body)
    texts.append(admin.post("/v1/query", {"sql": f"select * from thermo where id = '{name}'"}).body)
    texts.append(real.log().encode())
    for text in texts:
        for secret in (TOKEN_KEY, "ABCDEFGHIJKLMNOP", b"ABCDEFGHIJKLMNOP".hex(), "0.73125", "0.83125", imsi, msisdn):
            assert secret.encode() not in text, (secret, text[:300])


def test_secrets_are_configured_later_too(mme, admin, thermometer):
    device = thermometer(secrets={"calibration": 1.5})
    device.uplink(thermo_reading(1, 20.0))
    assert device["temperature"] == 21.5 and device.property("temperature")["quality"] == "corrected"
    admin.put_twin(device.id, secrets={"key": TOKEN_KEY})
    device.uplink(thermo_reading(2, 20.0))
    assert device["temperature"] == 21.5  # absent: unchanged
    admin.put_twin(device.id, secrets={"calibration": None})
    device.uplink(thermo_reading(3, 20.0))
    assert device["temperature"] == 20.0 and device.property("temperature")["quality"] == "good"


def test_what_an_answer_acknowledges_the_next_get_and_query_show(admin, names):
    for number in range(30):
        name, _ = next(names)
        admin.put_twin(name, tags={"n": str(number)})
        assert admin.twin(name)["tags"] == {"n": str(number)}
        assert admin.query(f"select tag('n') from thermo where id = '{name}'") == [[str(number)]]
        admin.write(name, "limit", number)
        assert admin.value(name, "limit") == number
        assert admin.query(f"select \"limit\" from thermo where id = '{name}'") == [[number]]


def test_status_and_peers_show_an_application_its_own_only(real, mme, admin, names):
    name, imsi = next(names)
    admin.put_twin(name, imsi=imsi)
    mme.attach(imsi)
    for n in range(3):
        admin.put_twin(f"own{n}@status.example")
    reader = real.application("status", ["status.example"], ["read"])
    whole, own = admin.get("/v1/status").json(), reader.get("/v1/status").json()
    assert own["twins"] == 3 < whole["twins"] and own["dead_letters"] == 0
    assert set(own) == {"version", "uptime_s", "started", "twins", "images", "dead_letters", "keys_in_memfd_secret"}
    assert set(own) < set(whole)
    whole, own = admin.get("/v1/peers").json()["peers"], reader.get("/v1/peers").json()["peers"]
    assert [p["identity"] for p in own] == [p["identity"] for p in whole] and own
    assert all(p["address"] and "requests" in p for p in whole if p["state"] == "open")
    assert all(set(p) == {"identity", "realm", "state", "applications", "roles"} for p in own)
