"""Groups of devices: members, what is done to all of them, and T8's group delivery."""
import collections
import datetime
import itertools
import json
import subprocess
import threading
import zlib

import pytest
from host import BUILD, LIMIT_S, Host, thermo_period, thermo_reading, until
from mme import V3GPP, Mme, avp, is_asleep
from t8 import CALLBACKS, b64, path_of

SETTINGS = (CALLBACKS, "t8.group_guard=1")

MEMBERS = 40
paths = itertools.count(1)


def forget(mme):
    """Downlinks that came before."""
    while not mme.downlinks.empty():
        mme.downlinks.get()


def twin_of(name, number):
    return f"{name}{number}@acme.example"


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


# ---- what is done to all members ----

def ticket_of(client, group, number):
    answer = client.get(f"/v1/groups/{group}/tickets/{number}")
    assert answer.status == 200, answer
    return answer.json()


def counts_are(client, group, number, **wanted):
    """Waits until the members of an operation are in these states, and in no other."""
    every = dict.fromkeys(("waiting", "pending", "sent", "delivered", "reported", "failed"), 0) | wanted
    return until(lambda: (found := ticket_of(client, group, number))["counts"] == every and found, f"{wanted} of {group}")


class Fleet:
    """Twins with connected devices, all in one group."""

    def __init__(self, host, mme, group, count, **members):
        self.host, self.client, self.group, self.mme = host, host.admin, group, mme
        self.imsis = {twin_of(group.split("@")[0], n): f"00101{zlib.crc32(group.encode()) % 10000:04d}{n:06d}" for n in range(count)}
        self.twins = sorted(self.imsis)
        lines = self.client.bulk([{"id": twin, "model": "acme/thermo", "imsi": imsi, **members} for twin, imsi in self.imsis.items()])
        assert {line["status"] for line in lines} == {201}
        make(self.client, group)
        assert {line["status"] for line in bulk(self.client, group, [{"id": twin} for twin in self.twins])} == {201}

    def attach(self, twins=None):
        for twin in self.twins if twins is None else twins:
            self.mme.attach(self.imsis[twin])
        return self


@pytest.fixture(scope="module")
def mme(real):
    with Mme(real) as mme:
        yield mme


def test_a_property_is_written_on_all_members(real, mme):
    fleet = Fleet(real, mme, "write@acme.example", 12).attach()
    asked = real.admin.put(f"/v1/groups/{fleet.group}/properties/period", {"value": 300})
    assert asked.status == 202 and asked.json()["members"] == 12, asked
    assert asked.headers["Location"] == f"/v1/groups/{fleet.group}/tickets/{asked.json()['ticket']}"
    sent = [mme.downlinks.get(timeout=LIMIT_S) for _ in fleet.twins]
    assert {each.data for each in sent} == {b"\x81\x01\x2c"} and len({each.imsi for each in sent}) == 12
    done = counts_are(real.admin, fleet.group, asked.json()["ticket"], delivered=12)
    assert (done["property"], done["value"]) == ("period", 300)
    for twin in fleet.twins[:2]:
        mme.uplink(fleet.imsis[twin], thermo_period(300))
    counts_are(real.admin, fleet.group, asked.json()["ticket"], delivered=10, reported=2)
    assert real.admin.property(fleet.twins[0], "period")["value"] == 300
    assert asked.json()["ticket"] in [each["ticket"] for each in real.admin.get(f"/v1/groups/{fleet.group}/tickets").json()["tickets"]]


def test_exceptions_of_an_operation_say_why(real, fleet):
    group = make(real.admin, "exceptions@acme.example")
    bulk(real.admin, group, [{"id": twin} for twin in fleet[:6]])
    for path, body, reason in (("properties/nothing", {"value": 1}, "does not know"), ("properties/period", {"value": 5}, "out of range"),
                               ("properties/temperature", {"value": 5}, "read-only"), ("actions/blink", {"seconds": 0}, "out of range")):
        method = real.admin.post if path.startswith("actions") else real.admin.put
        asked = method(f"/v1/groups/{group}/{path}", body)
        assert asked.status == 202, asked
        number = asked.json()["ticket"]
        assert counts_are(real.admin, group, number, failed=6)["state"] == "ended"
        failed = pages(real.admin, f"/v1/groups/{group}/tickets/{number}/members", limit=4)
        assert sorted(each["id"] for each in failed) == sorted(fleet[:6])
        assert all(reason in each["reason"] for each in failed), failed
        assert pages(real.admin, f"/v1/groups/{group}/tickets/{number}/members?state=pending") == []
    assert real.admin.get(f"/v1/groups/{group}/tickets/{number}/members?state=odd").status == 400
    assert real.admin.get(f"/v1/groups/{group}/tickets/4000000000").status == 404


def test_sleepers_get_an_action_when_they_come(real, mme):
    fleet = Fleet(real, mme, "sleepers@acme.example", 4)
    fleet.attach(fleet.twins[:1])
    asked = real.admin.post(f"/v1/groups/{fleet.group}/actions/blink", {"seconds": 9})
    number = asked.json()["ticket"]
    assert (asked.json()["action"], asked.json()["value"]) == ("blink", {"seconds": 9})
    assert mme.downlinks.get(timeout=LIMIT_S).data == b"\x82\x09"
    counts_are(real.admin, fleet.group, number, delivered=1, pending=3)
    fleet.attach(fleet.twins[1:2])
    assert mme.downlinks.get(timeout=LIMIT_S).imsi == fleet.imsis[fleet.twins[1]]
    counts_are(real.admin, fleet.group, number, delivered=2, pending=2)
    joined = twin_of("late", 1)
    real.admin.put_twin(joined, model="acme/thermo")
    bulk(real.admin, fleet.group, [{"id": joined}])
    assert ticket_of(real.admin, fleet.group, number)["members"] == 4, "who joins later takes no part"
    assert real.admin.delete(f"/v1/groups/{fleet.group}/tickets/{number}").status == 204
    assert real.admin.get(f"/v1/groups/{fleet.group}/tickets/{number}").status == 404


def test_the_same_key_begins_an_operation_once(real, fleet):
    group = make(real.admin, "key@acme.example")
    bulk(real.admin, group, [{"id": twin} for twin in fleet[:3]])
    first, again = (real.admin.put(f"/v1/groups/{group}/properties/period", {"value": 77}, Idempotency_Key="k1") for _ in range(2))
    assert (first.status, again.status) == (202, 202)
    assert first.json()["ticket"] == again.json()["ticket"]
    assert len(real.admin.get(f"/v1/groups/{group}/tickets").json()["tickets"]) == 1


# ---- T8 (TS 29.122, 4.4.5.3) ----

@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["nidd"])


class GroupNidd:
    """A configuration of an application for a group."""

    base = "/3gpp-nidd/v1/as1/configurations"

    def __init__(self, client, sink, group, **members):
        self.client, self.group, self.sink, self.path = client, group, sink, f"/g{next(paths)}"
        answer = client.post(self.base, {"externalGroupId": group, "notificationDestination": sink.link(self.path), **members})
        assert answer.status == 201, answer
        self.json, self.location = answer.json(), answer.headers["Location"]
        self.at = path_of(self.location)

    def told(self):
        return self.sink.taken(self.path)

    def send(self, data, **members):
        return self.client.post(self.at + "/downlink-data-deliveries", {"externalGroupId": self.group, "data": b64(data), **members})

    def results(self, location):
        """What was told last of each member of a delivery, and how many times something was told of it."""
        found = {}
        for each in self.told():
            if each.get("niddDownlinkDataTransfer") == location:
                for result in each["gmdResults"]:
                    found.setdefault(result["externalId"], []).append(result["deliveryStatus"])
        return found


def test_a_configuration_of_a_group_is_made_shown_and_removed(real, as1, sink):
    group = make(real.admin, "t8@acme.example")
    made = GroupNidd(as1, sink, group, mtcProviderId="meters", requestTestNotification=True)
    assert made.json["self"] == made.location and made.json["externalGroupId"] == group
    assert made.json["status"] == "ACTIVE" and "niddDownlinkDataTransfers" not in made.json
    assert as1.get(made.at).json() == made.json
    assert made.json in as1.get(GroupNidd.base).json()
    until(made.told, "a test notification")
    assert made.told() == [{"subscription": made.location}]
    changed = as1.request("PATCH", made.at, {"pdnEstablishmentOption": "INDICATE_ERROR"}, Content_Type="application/merge-patch+json")
    assert (changed.status, changed.json()["pdnEstablishmentOption"]) == (200, "INDICATE_ERROR")
    assert as1.delete(made.at).status == 204
    assert as1.get(made.at).status == 404 and as1.delete(made.at).status == 404


def test_an_unknown_or_foreign_group_is_refused(real, as1, sink):
    make(real.admin, "foreign@other.example")
    for group in ("nobody@acme.example", "foreign@other.example"):
        refused = as1.post(GroupNidd.base, {"externalGroupId": group, "notificationDestination": sink.link()})
        assert (refused.status, refused.json()["cause"]) == (404, "USER_UNKNOWN")
    made = GroupNidd(as1, sink, make(real.admin, "refuse@acme.example"))
    assert made.send(bytes(1359)).json()["cause"] == "DATA_TOO_LARGE"
    assert made.send(b"x", externalGroupId="nobody@acme.example").json()["cause"] == "USER_UNKNOWN"
    assert made.send(b"x", externalGroupId="t8@acme.example").status in (400, 404)
    assert as1.get(made.at + "/downlink-data-deliveries/0008000000ffffff").status == 404


def test_uplinks_of_members_are_told_to_the_groups_configuration(real, mme, as1, sink):
    fleet = Fleet(real, mme, "up@acme.example", 3).attach()
    made = GroupNidd(as1, sink, fleet.group)
    frames = {twin: thermo_reading(1, 10.0 + n) for n, twin in enumerate(fleet.twins)}
    for twin, frame in frames.items():
        mme.uplink(fleet.imsis[twin], frame)
    until(lambda: len(made.told()) == 3, "all notifications")
    assert {(told["niddConfiguration"], told["externalId"], told["data"]) for told in made.told()} == \
        {(made.location, twin, b64(frame)) for twin, frame in frames.items()}


def test_one_downlink_reaches_all_members_and_results_come_together(real, mme, as1, sink):
    fleet = Fleet(real, mme, "down@acme.example", 30).attach()
    made = GroupNidd(as1, sink, fleet.group)
    mme.on_downlink = lambda downlink: [avp(268, 2001), avp(4321, 1, V3GPP, m=False)]
    sent = made.send(b"hello all")
    assert sent.status == 201 and sent.json()["self"] == sent.headers["Location"], sent
    came = [mme.downlinks.get(timeout=LIMIT_S) for _ in fleet.twins]
    assert {each.data for each in came} == {b"hello all"} and {each.imsi for each in came} == set(fleet.imsis.values())
    results = until(lambda: len(found := made.results(sent.json()["self"])) == 30 and found, "all results")
    assert results == {twin: ["SUCCESS_NEXT_HOP_ACKNOWLEDGED"] for twin in fleet.twins}
    assert len(made.told()) <= 3, "together: one notification of each core"
    shown = as1.get(path_of(sent))
    assert (shown.json()["deliveryStatus"], shown.json()["data"]) == ("SUCCESS", b64(b"hello all"))
    assert as1.delete(path_of(sent)).status == 404, "it has ended for all"
    assert mme.downlinks.empty()
    mme.on_downlink = lambda downlink: 2001


def test_sleepers_are_buffered_and_told_of_at_the_guard_time(real, mme, as1, sink):
    fleet = Fleet(real, mme, "guard@acme.example", 4)
    fleet.attach(fleet.twins[:3])
    made = GroupNidd(as1, sink, fleet.group)
    asleep = fleet.imsis[fleet.twins[1]]
    mme.on_downlink = lambda downlink: is_asleep() if downlink.imsi == asleep else 2001
    sent = made.send(b"later")
    link = sent.json()["self"]
    first = until(lambda: len(found := made.results(link)) == 4 and found, "results at the guard time")
    assert first == {fleet.twins[0]: ["SUCCESS_NEXT_HOP_UNACKNOWLEDGED"], fleet.twins[1]: ["BUFFERING_TEMPORARILY_NOT_REACHABLE"],
                     fleet.twins[2]: ["SUCCESS_NEXT_HOP_UNACKNOWLEDGED"], fleet.twins[3]: ["BUFFERING"]}
    assert as1.get(path_of(link)).json()["deliveryStatus"] == "BUFFERING"
    assert [each["self"] for each in as1.get(made.at).json()["niddDownlinkDataTransfers"]] == [link]
    mme.on_downlink = lambda downlink: 2001
    fleet.attach(fleet.twins[3:])
    mme.uplink(asleep, thermo_reading(1))
    until(lambda: [v[-1] for v in made.results(link).values()] == ["SUCCESS_NEXT_HOP_UNACKNOWLEDGED"] * 4, "the late results")
    assert as1.get(path_of(link)).json()["deliveryStatus"] == "SUCCESS"


def test_a_twin_shapes_and_refuses_a_groups_downlink(real, mme, as1, sink):
    """thermo leaves raw downlinks alone; a member without a device's subscription, or too late, fails."""
    fleet = Fleet(real, mme, "fails@acme.example", 3)
    fleet.attach(fleet.twins[:1])
    real.admin.put_twin(twin_of("nosub", 1), model="acme/thermo")
    bulk(real.admin, fleet.group, [{"id": twin_of("nosub", 1)}])
    made = GroupNidd(as1, sink, fleet.group)
    sent = made.send(b"quick", maximumLatency=1)
    results = until(lambda: len(found := made.results(sent.json()["self"])) == 4 and
                    all(not each[-1].startswith("BUFFERING") for each in found.values()) and found, "all results")
    assert {twin: each[-1] for twin, each in results.items()} == {
        fleet.twins[0]: "SUCCESS_NEXT_HOP_UNACKNOWLEDGED", fleet.twins[1]: "FAILURE_TIMEOUT", fleet.twins[2]: "FAILURE_TIMEOUT",
        twin_of("nosub", 1): "FAILURE"}
    sent = made.send(b"now", maximumLatency=0)
    results = until(lambda: len(found := made.results(sent.json()["self"])) == 4 and found, "all results")
    assert results[fleet.twins[1]] == ["FAILURE_TEMPORARILY_NOT_REACHABLE"]
    mme.on_downlink = lambda downlink: is_asleep()
    sent = made.send(b"now", maximumLatency=0)
    results = until(lambda: len(found := made.results(sent.json()["self"])) == 4 and found, "all results")
    mme.on_downlink = lambda downlink: 2001
    assert results[fleet.twins[0]][-1] == "FAILURE_TEMPORARILY_NOT_REACHABLE", "it turned out to sleep"
    assert real.admin.twin(fleet.twins[0])["mailbox"] == 0


@pytest.mark.parametrize("option, status", [("WAIT_FOR_UE", "BUFFERING"), ("SEND_TRIGGER", "BUFFERING"), ("INDICATE_ERROR", "FAILURE")])
def test_what_becomes_of_members_without_a_connection(real, mme, as1, sink, option, status):
    """TS 29.122, 5.6.2.3.6: BUFFERING is for want of a connection, no failure is; ..._TEMPORARILY_NOT_REACHABLE is of a device that sleeps."""
    fleet = Fleet(real, mme, f"{option.lower().replace('_', '')}@acme.example", 2)
    fleet.attach(fleet.twins[:1])
    made = GroupNidd(as1, sink, fleet.group, pdnEstablishmentOption=option)
    sent = made.send(b"to all")
    results = until(lambda: len(found := made.results(sent.json()["self"])) == 2 and found, "all results")
    assert results == {fleet.twins[0]: ["SUCCESS_NEXT_HOP_UNACKNOWLEDGED"], fleet.twins[1]: [status]}
    assert real.admin.twin(fleet.twins[1])["mailbox"] == (0 if status == "FAILURE" else 1)


def test_downlinks_of_a_group_are_for_it_and_have_bytes(real, as1, sink):
    group, other = make(real.admin, "named@acme.example"), make(real.admin, "named2@acme.example")
    real.admin.put_twin(twin_of("named", 1), imsi="001010000777001")
    bulk(real.admin, group, [{"id": twin_of("named", 1)}])
    made = GroupNidd(as1, sink, group)
    assert made.send(b"").status == 400
    at = path_of(made.send(b"waits"))
    assert as1.put(at, {"externalGroupId": other, "data": b64(b"x")}).status == 400
    assert as1.put(at, {"externalId": twin_of("named", 1), "data": b64(b"x")}).status == 404
    assert as1.get(at).json()["data"] == b64(b"waits")
    body = {"externalGroupId": group, "notificationDestination": sink.link()}
    assert as1.post(GroupNidd.base, {**body, "niddDownlinkDataTransfers": [{"externalGroupId": other, "data": b64(b"x")}]}).status == 400
    assert as1.post(GroupNidd.base, {**body, "niddDownlinkDataTransfers": [{"externalGroupId": group, "data": ""}]}).status == 400


def test_what_waits_of_a_group_that_is_removed_is_taken_back(real, as1, sink):
    twins = [twin_of("taken", n) for n in range(20)]
    group = make(real.admin, "taken@acme.example")
    for n, twin in enumerate(twins):
        real.admin.put_twin(twin, imsi=f"0010100007775{n:02d}")
    bulk(real.admin, group, [{"id": twin} for twin in twins])
    made = GroupNidd(as1, sink, group)
    assert [made.send(data).status for data in (b"one", b"two")] == [201, 201]
    until(lambda: all(real.admin.twin(twin)["mailbox"] == 2 for twin in twins), "downlinks that wait")
    assert real.admin.delete(f"/v1/groups/{group}").status == 204
    until(lambda: all(real.admin.twin(twin)["mailbox"] == 0 for twin in twins), "empty mailboxes")


def test_what_waits_of_groups_is_bounded_by_memory(sink):
    """64 bytes for each member of each downlink that has not left: 64 KiB are 25 downlinks to 40 members."""
    with Host('t8.allow_callbacks=["127.0.0.0/8"]', 'downlink.memory="64KiB"', thermo=False) as host:
        as1 = host.application("as1", ["acme.example"], ["nidd"])
        group, twins = make(host.admin, "many@acme.example"), [twin_of("many", n) for n in range(40)]
        imsis = [f"0010100008880{n:02d}" for n in range(40)]
        for twin, imsi in zip(twins, imsis):
            assert host.admin.put(f"/v1/twins/{twin}", {"imsi": imsi}).status == 201
        bulk(host.admin, group, [{"id": twin} for twin in twins])
        made = GroupNidd(as1, sink, group)
        answers = [made.send(b"%02d" % n) for n in range(26)]
        assert [answer.status for answer in answers] == [201] * 25 + [503], answers[-1]
        assert "downlink.memory" in answers[-1].json()["detail"]
        assert as1.delete(path_of(answers[0].headers["Location"])).status == 204
        until(lambda: all(host.admin.twin(twin)["mailbox"] == 24 for twin in twins), "room")
        assert made.send(b"25").status == 201 and made.send(b"26").status == 503
        host.kill()
        host.start()
        as1.close()
        with Mme(host) as mme:
            mme.attach(imsis[0])
            assert [mme.downlinks.get(timeout=LIMIT_S).data for _ in range(25)] == [b"%02d" % n for n in range(1, 26)]
        until(lambda: made.send(b"26").status == 201, "room")  # 25 * 39 wait, and 40 more come
        assert made.send(b"27").status == 503
        as1.close()


def test_what_an_application_configured_of_groups_goes_with_it(real, sink):
    group = make(real.admin, "orphan@acme.example")
    real.admin.put_twin(twin_of("orphan", 1), imsi="001010000777002")
    bulk(real.admin, group, [{"id": twin_of("orphan", 1)}])
    leaves = real.application("leaves", ["acme.example"], ["nidd"])
    body = {"externalGroupId": group, "notificationDestination": sink.link("/leaves")}
    made = leaves.post("/3gpp-nidd/v1/leaves/configurations", body)
    at = path_of(made) + "/downlink-data-deliveries"
    assert leaves.post(at, {"externalGroupId": group, "data": b64(b"x")}).status == 201
    until(lambda: real.admin.twin(twin_of("orphan", 1))["mailbox"] == 1, "a downlink that waits")
    assert real.admin.delete("/v1/applications/leaves").status == 204
    until(lambda: real.admin.twin(twin_of("orphan", 1))["mailbox"] == 0, "an empty mailbox")


def test_what_has_not_left_is_replaced_and_cancelled(real, mme, as1, sink):
    fleet = Fleet(real, mme, "change@acme.example", 4)
    fleet.attach(fleet.twins[:1])
    made = GroupNidd(as1, sink, fleet.group)
    forget(mme)
    sent = made.send(b"first")
    at = path_of(sent)
    assert mme.downlinks.get(timeout=LIMIT_S).data == b"first"
    until(lambda: as1.get(at).json()["deliveryStatus"] == "BUFFERING", "all but one waiting")
    changed = as1.put(at, {"externalGroupId": fleet.group, "data": b64(b"second")})
    assert (changed.status, changed.json()["data"]) == (200, b64(b"second"))
    fleet.attach(fleet.twins[1:2])
    assert mme.downlinks.get(timeout=LIMIT_S).data == b"second"
    changed = as1.request("PATCH", at, {"priority": 3}, Content_Type="application/json")
    assert (changed.status, changed.json()["priority"], changed.json()["data"]) == (200, 3, b64(b"second"))
    fleet.attach(fleet.twins[2:3])
    assert mme.downlinks.get(timeout=LIMIT_S).data == b"second"
    assert as1.delete(at).status == 204 and as1.get(at).status == 404
    until(lambda: real.admin.twin(fleet.twins[3])["mailbox"] == 0, "an empty mailbox")
    fleet.attach(fleet.twins[3:])
    made.send(b"third")
    came = [mme.downlinks.get(timeout=LIMIT_S) for _ in fleet.twins]
    assert {each.data for each in came} == {b"third"} and len({each.imsi for each in came}) == 4


def test_a_downlink_with_its_configuration_is_sent(real, mme, as1, sink):
    fleet = Fleet(real, mme, "first@acme.example", 2).attach()
    made = GroupNidd(as1, sink, fleet.group, niddDownlinkDataTransfers=[{"externalGroupId": fleet.group, "data": b64(b"with it")}])
    assert {mme.downlinks.get(timeout=LIMIT_S).data for _ in fleet.twins} == {b"with it"}
    assert len(as1.get(made.at + "/downlink-data-deliveries").json()) == 1


def test_the_end_of_a_groups_configuration_is_told_once(real, as1, sink):
    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)).isoformat()
    made = GroupNidd(as1, sink, make(real.admin, "ends@acme.example"), duration=soon)
    until(made.told, "its end")
    assert made.told() == [{"niddConfiguration": made.location, "status": "TERMINATED"}]
    assert as1.get(made.at).json()["status"] == "TERMINATED"
    assert made.send(b"x").status == 403


# ---- it goes on ----

@pytest.mark.parametrize("cores", [1, 3])
def test_a_groups_downlink_goes_on_after_a_crash_in_its_middle(sink, cores):
    count, before, seen = 600, 120, collections.Counter()
    with Host(CALLBACKS, "t8.group_guard=1", f"host.cores={cores}") as host:
        with Mme(host) as mme:
            fleet = Fleet(host, mme, "crash@acme.example", count).attach()
            made = GroupNidd(host.application("as1", ["acme.example"], ["nidd"]), sink, fleet.group)
            enough = threading.Event()

            def half(downlink):
                seen[downlink.imsi] += 1
                if len(seen) >= before:
                    enough.set()
                return None if len(seen) > before else 2001

            mme.on_downlink = half
            link = made.send(b"once").json()["self"]
            assert enough.wait(LIMIT_S)
            answered = {twin for twin, imsi in fleet.imsis.items() if imsi in list(seen)[:before]}
            until(lambda: any(host.admin.twin(twin)["mailbox"] == 0 for twin in answered), "one whose end is kept")
            host.kill()
        host.start()
        with Mme(host, on_downlink=lambda downlink: seen.update([downlink.imsi]) or 2001):
            results = until(lambda: len(found := made.results(link)) == count and
                            all(each[-1].startswith("SUCCESS") for each in found.values()) and found, "all results")
            assert set(results) == set(fleet.twins)
            assert set(seen) == set(fleet.imsis.values())
            assert max(seen.values()) <= 2, "twice is only who was being sent to when it crashed"
            assert sum(times == 2 for times in seen.values()) < count, "those that were done before stay done"
            until(lambda: made.client.get(path_of(link)).json()["deliveryStatus"] == "SUCCESS", "success for all")


@pytest.mark.long
def test_a_hundred_thousand_members_never_stop_the_host(sink):
    """Bulk, one downlink to all while they sleep, a kill in its middle, and all of it taken back."""
    count = 100_000
    with Host(CALLBACKS, "t8.group_guard=1", "host.cores=2") as host:
        twins = [twin_of("m", n) for n in range(count)]
        lines = [{"id": twin, "model": "acme/thermo", "imsi": f"00101{n:010d}"} for n, twin in enumerate(twins)]
        assert {line["status"] for line in host.admin.bulk(lines)} == {201}
        group = make(host.admin, "all@acme.example")
        assert {line["status"] for line in bulk(host.admin, group, [{"id": twin} for twin in twins])} == {201}
        until(lambda: host.admin.get(f"/v1/groups/{group}").json()["members"] == count, "all members")
        made = GroupNidd(host.application("as1", ["acme.example"], ["nidd"]), sink, group)
        link = made.send(b"to all").json()["self"]
        host.kill()
        host.start()
        asked = 0
        while made.client.get(path_of(link)).json()["deliveryStatus"] == "SENDING":
            assert host.admin.get(f"/v1/twins/{twins[asked % count]}").status == 200
            asked += 1
        assert made.client.get(path_of(link)).json()["deliveryStatus"] == "BUFFERING"
        until(lambda: host.metric("dromio_mailbox_downlinks") == count, "a downlink for each")
        results = until(lambda: len(found := made.results(link)) == count and found, "all results at the guard time")
        assert {status for each in results.values() for status in each} == {"BUFFERING"}
        assert made.client.delete(path_of(link)).status == 204
        until(lambda: host.metric("dromio_mailbox_downlinks") == 0, "empty mailboxes")
        ticket = host.admin.put(f"/v1/groups/{group}/properties/period", {"value": 900}).json()["ticket"]
        counts_are(host.admin, group, ticket, pending=count)
        host.kill()
        host.start()
        counts_are(host.admin, group, ticket, pending=count)
        assert len(members(host.admin, group)) == count


# ---- dromio group ----

def dromio(host, *arguments, stdin=None):
    env = {"PATH": "/usr/bin:/bin", "DROMIO_HOST": f"http://127.0.0.1:{host.http_port}", "DROMIO_TOKEN": host.admin.token}
    done = subprocess.run([str(BUILD / "dromio"), "group", *arguments], env=env, input=stdin, capture_output=True, timeout=LIMIT_S, encoding="utf-8")
    return done.returncode, done.stdout


def test_the_command_line_does_all_of_it(real, fleet):
    group, few = "cli@acme.example", fleet[:6]
    assert dromio(real, "put", group)[0] == 0
    assert dromio(real, "join", group, few[0], few[1]) == (0, "")
    code, summary = dromio(real, "join", group, "--from", "-", stdin="".join(json.dumps({"id": twin}) + "\n" for twin in few))
    assert code == 0 and summary.split()[:3] == ["MADE", "CHANGED", "FAILED"] and summary.split()[3:] == ["4", "2", "0"]
    assert dromio(real, "leave", group, few[5]) == (0, "")
    assert dromio(real, "leave", group, few[5])[0] == 3
    assert sorted(dromio(real, "members", group)[1].split()[1:]) == sorted(few[:5])
    assert len(json.loads(dromio(real, "members", group, "-o", "json")[1])["members"]) == 5
    assert json.loads(dromio(real, "show", group, "-o", "json")[1])["members"] == 5
    assert group in dromio(real, "list")[1]
    assert len(dromio(real, "get", group, "period", "--limit", "2", "-o", "ndjson")[1].splitlines()) == 2
    code, text = dromio(real, "set", group, "period", "5", "-o", "json")
    ticket = json.loads(text)["ticket"]
    assert code == 0
    counts_are(real.admin, group, ticket, failed=5)
    assert "out of range" in dromio(real, "exceptions", group, ticket)[1]
    assert dromio(real, "exceptions", group, ticket, "--state", "sent")[1] == ""
    assert dromio(real, "call", group, "blink", "seconds=5", "-o", "json")[0] == 0
    assert len(dromio(real, "tickets", group)[1].splitlines()) == 3
    assert ticket in dromio(real, "tickets", group, ticket)[1]
    assert dromio(real, "rm", group) == (0, "")
    assert dromio(real, "show", group)[0] == 3
