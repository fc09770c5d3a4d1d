"""Groups of devices: members, what is done to all of them, and T8's group delivery."""
import json

import pytest
from host import Host, until

MEMBERS = 40


def twin_of(name, number):
    return f"{name}{number}@acme.example"


@pytest.fixture(scope="module")
def real():
    with Host('t8.allow_callbacks=["127.0.0.0/8"]') as host:
        yield host
        assert "00101" not in host.log(), "an IMSI was logged"


@pytest.fixture(scope="module")
def fleet(real):
    """Twins of acme.example, none in a group yet."""
    made = [twin_of("f", n) for n in range(MEMBERS)]
    assert {line["status"] for line in real.admin.bulk([{"id": twin, "model": "acme/thermo"} for twin in made])} == {201}
    return made


def bulk(client, group, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    answer = client.request("POST", f"/v1/groups/{group}/members:bulk", text, Content_Type="application/x-ndjson")
    assert answer.status == 200, answer
    return answer.lines()


def pages(client, path, limit=1000):
    """What all pages of a list of members hold."""
    found, cursor = [], ""
    while cursor is not None:
        answer = client.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor and '&cursor=' + cursor}")
        assert answer.status == 200, answer
        page = answer.json()
        assert len(page["members"]) <= limit
        found += page["members"]
        cursor = page.get("cursor")
    return found


def members(client, group, limit=1000):
    return sorted(each["id"] for each in pages(client, f"/v1/groups/{group}/members", limit))


def make(client, group):
    answer = client.put(f"/v1/groups/{group}", {})
    assert answer.status == 201, answer
    return group


# ---- groups and members ----

def test_a_group_is_made_shown_and_removed(real):
    made = real.admin.put("/v1/groups/g1@acme.example", {})
    assert (made.status, made.headers["Location"]) == (201, "/v1/groups/g1@acme.example")
    assert {k: made.json()[k] for k in ("id", "kind", "members")} == {"id": "g1@acme.example", "kind": "local", "members": 0}
    assert real.admin.put("/v1/groups/g1@acme.example", {}).status == 200
    assert real.admin.get("/v1/groups/g1%40ACME.example").json()["id"] == "g1@acme.example"
    assert "g1@acme.example" in [each["id"] for each in real.admin.get("/v1/groups").json()["groups"]]
    assert real.admin.delete("/v1/groups/g1@acme.example").status == 204
    assert real.admin.get("/v1/groups/g1@acme.example").status == 404


@pytest.mark.parametrize("path, body, status", [("/v1/groups/nothing", {}, 400), ("/v1/groups/g@acme.example", {"members": []}, 422),
                                                ("/v1/groups/g@acme.example", [], 422)])
def test_what_is_no_group_is_refused(real, path, body, status):
    assert real.admin.put(path, body).status == status


def test_members_come_and_go_one_by_one(real, fleet):
    group = make(real.admin, "one@acme.example")
    joined = real.admin.put(f"/v1/groups/{group}/members/{fleet[0]}", None)
    assert (joined.status, joined.json()) == (201, {"id": fleet[0], "group": group})
    assert real.admin.put(f"/v1/groups/{group}/members/{fleet[0]}", None).status == 200
    assert real.admin.twin(fleet[0])["groups"] == [group]
    assert real.admin.get(f"/v1/groups/{group}").json()["members"] == 1
    assert members(real.admin, group) == [fleet[0]]
    assert real.admin.delete(f"/v1/groups/{group}/members/{fleet[0]}").status == 204
    assert real.admin.delete(f"/v1/groups/{group}/members/{fleet[0]}").status == 404
    assert "groups" not in real.admin.twin(fleet[0])
    assert real.admin.put(f"/v1/groups/{group}/members/nobody@acme.example", None).status == 404
    assert real.admin.put(f"/v1/groups/none@acme.example/members/{fleet[0]}", None).status == 404


def test_members_in_bulk_and_in_pages(real, fleet):
    group = make(real.admin, "bulk@acme.example")
    told = bulk(real.admin, group, [{"id": twin} for twin in fleet] + [{"id": "nobody@acme.example"}, {"id": fleet[0]}, {"ids": 1}])
    assert [line["status"] for line in told] == [201] * MEMBERS + [404, 200, 422]
    assert [line["id"] for line in told[:MEMBERS]] == fleet
    assert members(real.admin, group, limit=7) == sorted(fleet)
    told = bulk(real.admin, group, [{"id": twin, "member": False} for twin in fleet[::2]])
    assert {line["status"] for line in told} == {204}
    assert members(real.admin, group, limit=3) == sorted(fleet[1::2])
    bulk(real.admin, group, [{"id": fleet[0]}])
    assert members(real.admin, group) == sorted(fleet[1::2] + [fleet[0]])
    assert real.admin.get(f"/v1/groups/{group}").json()["members"] == MEMBERS // 2 + 1
    assert real.admin.get(f"/v1/groups/{group}/members?cursor=t1").status == 400


def test_a_twin_that_goes_leaves_its_groups_and_a_group_that_goes_leaves_its_twins(real):
    first, second = make(real.admin, "a1@acme.example"), make(real.admin, "a2@acme.example")
    gone, stays = twin_of("gone", 1), twin_of("stays", 1)
    for twin in (gone, stays):
        real.admin.put_twin(twin, model="acme/thermo")
        for group in (first, second):
            assert real.admin.put(f"/v1/groups/{group}/members/{twin}", None).status == 201
    assert real.admin.delete(f"/v1/twins/{gone}").status == 204
    assert members(real.admin, first) == [stays]
    assert real.admin.delete(f"/v1/groups/{first}").status == 204
    assert real.admin.twin(stays)["groups"] == [second]
    make(real.admin, first)
    assert members(real.admin, first) == [], "a new group of the same name begins empty"


def test_the_property_of_each_member(real, fleet):
    group = make(real.admin, "read@acme.example")
    bulk(real.admin, group, [{"id": twin} for twin in fleet[:5]])
    found = pages(real.admin, f"/v1/groups/{group}/properties/period", limit=2)
    assert sorted(each["id"] for each in found) == sorted(fleet[:5])
    assert all("value" in each["property"] for each in found)
    assert all(each["property"] is None for each in pages(real.admin, f"/v1/groups/{group}/properties/nothing"))


# ---- whose ----

def test_a_domain_sees_its_own_groups_only(real, fleet):
    make(real.admin, "mine@acme.example")
    real.admin.put_twin("t1@other.example", model="acme/thermo")
    mine, other = real.application("gs1", ["acme.example"]), real.application("gs2", ["other.example"])
    reads = real.application("gs3", ["acme.example"], ["read"])
    assert mine.get("/v1/groups/mine@acme.example").status == 200
    assert other.get("/v1/groups/mine@acme.example").status == 404
    assert other.put("/v1/groups/other@acme.example", {}).status == 404
    assert other.put(f"/v1/groups/mine@acme.example/members/{fleet[0]}", None).status == 404
    assert other.get("/v1/groups").json()["groups"] == []
    assert reads.put("/v1/groups/mine2@acme.example", {}).status == 403
    assert mine.put("/v1/groups/mine@acme.example/members/t1@other.example", None).status == 404
    refused = real.admin.put("/v1/groups/mine@acme.example/members/t1@other.example", None)
    assert refused.status == 422 and refused.json()["type"] == "other_domain"
    assert [line["status"] for line in bulk(mine, "mine@acme.example", [{"id": "t1@other.example"}, {"id": fleet[0]}])] == [404, 201]


# ---- it survives ----

@pytest.mark.parametrize("cores", [1, 3])
def test_groups_and_members_survive_a_crash_and_another_number_of_cores(cores):
    fleet = [twin_of("s", n) for n in range(30)]
    with Host(f"host.cores={cores}") as host:
        host.admin.bulk([{"id": twin, "model": "acme/thermo"} for twin in fleet])
        kept, gone = make(host.admin, "kept@acme.example"), make(host.admin, "gone@acme.example")
        assert {line["status"] for line in bulk(host.admin, kept, [{"id": twin} for twin in fleet])} == {201}
        bulk(host.admin, gone, [{"id": twin} for twin in fleet])
        bulk(host.admin, kept, [{"id": fleet[0], "member": False}])
        assert host.admin.get(f"/v1/groups/{kept}").json()["members"] == 29
        assert members(host.admin, kept, limit=4) == sorted(fleet[1:])
        assert host.admin.delete(f"/v1/groups/{gone}").status == 204
        host.kill()
        host.start()
        assert members(host.admin, kept, limit=4) == sorted(fleet[1:])
        assert host.admin.twin(fleet[1])["groups"] == [kept]
        assert host.admin.get(f"/v1/groups/{gone}").status == 404
        host.kill()
        host.settings = [f"host.cores={4 - cores}"]
        host.start()
        until(lambda: host.admin.get(f"/v1/groups/{kept}").json()["members"] == 29, "all members of all cores")
        assert members(host.admin, kept) == sorted(fleet[1:])
