"""NIDD authorisation over S6t (TS 29.336, 8.2): an HSS of python-diameter, T8 on one side, T6a on the other."""
import itertools
import json
import pathlib
import queue
import re
import signal
import subprocess
import threading
import time

import pytest
from host import BUILD, LIMIT_S, ONE_GATE, Host, end_with_parent, thermo_reading, until
from hss import INCOMPLETE_ANSWER, INCOMPLETE_REQUEST, NO_ENTITY, NO_SERVICE, UNKNOWN, Hss, external, group_of, imsi_of, instant, member, msisdn_of, refusal
from mme import RELEASE, Mme, avp, find, is_asleep, result_of
from sink import Sink
from t8 import CALLBACKS, b64, path_of

NIDD = "/3gpp-nidd/v1/as1/configurations"
HSS_IS_KNOWN = 'diameter.peers=[{identity="hss1.epc.test",applications=["s6t"]},{identity="hss2.epc.test",applications=["s6t"]}]'
LONG_AGO_MS, DAY_MS = 946684800000, 86400000
numbers = itertools.count(1)
IMSI = re.compile(rb"00102\d{10}")


def now_ms():
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def real():
    with Host(CALLBACKS, HSS_IS_KNOWN) as host:
        yield host
        assert host.imsi_in_log() is None, "an IMSI was logged"
        kept = [path for path in pathlib.Path(host.data).rglob("*") if path.is_file()]
        assert kept and not [path for path in kept if IMSI.search(path.read_bytes())], "an IMSI is on the disk"


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["nidd", "read"])


@pytest.fixture
def hss(real):
    with Hss(real) as peer:
        yield peer


class Device:
    """A twin that this host has no IMSI of: the HSS knows it."""

    def __init__(self, real, as1, sink, hss):
        self.real, self.as1, self.sink, self.hss = real, as1, sink, hss
        self.number = next(numbers)
        self.id, self.imsi, self.msisdn = f"s{self.number}@acme.example", f"00102{self.number:010d}", f"4917{self.number:08d}"
        self.path, self.at = f"/s{self.number}", None
        real.admin.put_twin(self.id)

    def post(self, client=None, **members):
        body = {"notificationDestination": self.sink.link(self.path), **members}
        if not {"externalId", "msisdn"} & set(members):
            body["externalId"] = self.id
        answer = (client or self.as1).post(NIDD, body)
        if answer.status == 201:
            location = answer.headers["Location"]
            self.at = path_of(location)
            self.link = location
        return answer

    def granted(self, until_ms=None, **members):
        self.hss.add(self.id, imsi=self.imsi, msisdn=self.msisdn, until_ms=until_ms)
        answer = self.post(**members)
        assert answer.status == 201, answer
        return self

    def status(self):
        return self.as1.get(self.at).json()["status"]

    def told(self, what="status"):
        return [notice[what] for notice in self.sink.taken(self.path) if what in notice]


@pytest.fixture
def device(real, as1, sink, hss):
    return lambda: Device(real, as1, sink, hss)


def test_a_configuration_waits_for_the_hss_and_binds_the_subscription(device, hss, mme):
    made = device()
    hss.add(made.id, imsi=made.imsi, msisdn=made.msisdn, identifiers=[f"other{made.number}@other.example"])
    duration = "2031-05-06T07:08:09Z"
    answer = made.post(mtcProviderId="meters", duration=duration)
    assert answer.status == 201, answer
    question = hss.questions.get(timeout=LIMIT_S)
    assert question.external_identifier == made.id and question.msisdn is None and question.user_name is None
    assert question.provider == "meters" and question.apn is None  # no APN is configured: any
    assert question.valid_until.strftime("%Y-%m-%dT%H:%M:%SZ") == duration
    assert question.destination_realm == b"epc.test" and question.destination_host is None and not question.is_again
    body = answer.json()
    assert body["status"] == "ACTIVE" and made.imsi not in answer.body.decode()
    assert made.as1.get(made.at).json() == body
    mme.attach(made.imsi)  # the IMSI of the NIA leads to the twin
    mme.uplink(made.imsi, thermo_reading(1, 21.5))
    assert made.real.admin.value(made.id, "temperature") == 21.5
    until(lambda: made.told("data"), "a notification")
    twin = made.real.admin.get(f"/v1/twins/{made.id}")
    assert made.imsi not in twin.body.decode()
    assert made.real.admin.value(f"other{made.number}@other.example", "temperature") == 21.5  # an alias by the HSS
    for where in (f"/v1/twins/{made.id}/timeline", "/metrics", "/v1/peers"):
        assert made.imsi not in made.real.admin.get(where).body.decode(), where


def test_a_device_is_asked_for_by_its_msisdn_too(device, hss):
    made = device()
    made.real.admin.put_twin(made.id, msisdn=made.msisdn)
    hss.add(made.msisdn.encode(), imsi=made.imsi)
    hss.on_question = lambda question: [avp(268, 2001), avp(3151, [imsi_of(made.imsi)], 10415)]
    answer = made.post(msisdn=made.msisdn)
    assert answer.status == 201, answer
    question = hss.questions.get(timeout=LIMIT_S)
    assert question.external_identifier is None
    assert question.msisdn == msisdn_of(made.msisdn).value  # TBCD by test/peers/hss.py


@pytest.mark.parametrize("said,status,cause", [
    (refusal(5001), 404, "USER_UNKNOWN"), (refusal(NO_ENTITY), 403, "NIDD_NOT_AUTHORIZED"), (refusal(NO_SERVICE), 403, "NIDD_NOT_AUTHORIZED"),
    ([avp(268, 3004)], 503, None), ([avp(268, 5012)], 500, None),
])
def test_what_the_hss_refuses_is_refused(device, hss, said, status, cause):
    made = device()
    hss.on_question = lambda question: said
    answer = made.post()
    assert (answer.status, answer.json().get("cause")) == (status, cause), answer
    assert status != 503 or int(answer.headers["Retry-After"]) > 0
    assert made.as1.get(NIDD).status == 200 and made.id not in made.as1.get(NIDD).body.decode()


def test_without_an_hss_to_reach_the_application_is_asked_to_try_again(device, hss):
    made = device()
    hss.close()
    until(lambda: made.real.admin.get("/v1/peers").json()["peers"][0]["state"] == "closed", "the end of the HSS's connection")
    answer = made.post()
    assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0, answer


def test_peers_have_roles(real, hss, mme):
    peers = until(lambda: (found := {peer["identity"]: peer for peer in real.admin.get("/v1/peers").json()["peers"]}) and
                  mme.identity in found and found[hss.identity]["state"] == "open" and found, "both peers")
    assert (peers[hss.identity]["roles"], peers[mme.identity]["roles"]) == (["hss"], ["mme"])
    assert peers["hss2.epc.test"]["roles"] == ["hss"] and peers["hss2.epc.test"]["state"] == "closed"


def test_what_an_hss_is_asked_is_counted_by_peer_and_procedure(device, hss):
    def count(metric, **labels):
        wanted = [f'{name}="{value}"' for name, value in {"peer": hss.identity, "application": 16777345, **labels}.items()]
        lines = [line for line in hss_metrics().splitlines() if line.startswith(metric + "{") and all(label in line for label in wanted)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def hss_metrics():
        return made.real.metrics()

    made = device()
    names = [(f"dromio_diameter_peer_{what}_total", direction) for what in ("requests", "answers", "errors") for direction in ("in", "out")]
    before = {name: count(name[0], direction=name[1], command="NIR") for name in names}
    made.granted()
    hss.on_question = lambda question: refusal(NO_SERVICE)
    assert made.post().status == 403
    assert result_of(hss.update([external("nobody@acme.example")], [(None, LONG_AGO_MS)])) == 5001
    after = {name: count(name[0], direction=name[1], command="NIR") for name in names}
    grown = {name: after[name] - before[name] for name in names}
    requests, answers, errors = (f"dromio_diameter_peer_{what}_total" for what in ("requests", "answers", "errors"))
    if ONE_GATE:
        assert grown == {(requests, "in"): 1, (requests, "out"): 2, (answers, "in"): 2, (answers, "out"): 1, (errors, "in"): 1, (errors, "out"): 1}


def test_a_request_lost_with_its_connection_goes_through_the_other_hss(device, real, hss):
    made = device()
    with Hss(real, "hss2.epc.test") as second:
        until(lambda: [peer["state"] for peer in real.admin.get("/v1/peers").json()["peers"] if "hss" in peer["roles"]] == ["open", "open"], "both HSSs")
        second.add(made.id, imsi=made.imsi)
        hss.on_question = lambda question: None
        answers = queue.Queue()
        threading.Thread(target=lambda: answers.put(made.post()), daemon=True).start()
        first = hss.questions.get(timeout=LIMIT_S)  # the first of the configuration
        hss.close()
        again = second.questions.get(timeout=LIMIT_S)
        assert answers.get(timeout=LIMIT_S).status == 201
        assert again.is_again and not first.is_again
        assert (again.end_to_end, again.external_identifier) == (first.end_to_end, first.external_identifier)
        assert second.questions.empty()


def both_are_open(real):
    return [peer["state"] for peer in real.admin.get("/v1/peers").json()["peers"] if "hss" in peer["roles"]] == ["open", "open"]


def test_a_question_that_an_hss_leaves_unanswered_goes_to_the_other_one(device, real, hss):
    made, *others = (device() for _ in range(4))
    with Hss(real, "hss2.epc.test") as second:
        until(lambda: both_are_open(real), "both HSSs")
        for each in (made, *others):
            second.add(each.id, imsi=each.imsi)
        hss.on_question = lambda question: None  # it is connected, and answers watchdogs
        before = real.metric('dromio_diameter_drops_total{reason="unknown_answer"}')
        assert made.post().status == 201
        first, again = hss.questions.get(timeout=LIMIT_S), second.questions.get(timeout=LIMIT_S)
        assert again.is_again and (again.end_to_end, again.external_identifier) == (first.end_to_end, first.external_identifier)
        hss.answer(first, refusal(UNKNOWN))  # too late
        until(lambda: not ONE_GATE or real.metric('dromio_diameter_drops_total{reason="unknown_answer"}') == before + 1, "the late answer")
        assert made.status() == "ACTIVE"
        was_again = []
        while not was_again or (was_again[-1] and others):  # who was silent is not asked first again, once a device's core knows
            assert others.pop().post().status == 201
            was_again.append(second.questions.get(timeout=LIMIT_S).is_again)
        assert not was_again[-1] and hss.questions.qsize() == sum(was_again)


def test_no_hss_that_answers_is_said_in_time(device, real, hss):
    made = device()
    with Hss(real, "hss2.epc.test", on_question=lambda question: None) as second:
        until(lambda: both_are_open(real), "both HSSs")
        hss.on_question = lambda question: None
        answer = made.post()
        assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0, answer
        assert (hss.questions.qsize(), second.questions.qsize()) == (1, 1), "each was asked, once"
        until(lambda: real.metric("dromio_diameter_pending{direction=\"out\"}") == 0, "nothing asked any more")


def test_an_hss_that_leaves_in_peace_is_not_asked_again(device, real, hss):
    made = device()
    with Hss(real, "hss2.epc.test") as second:
        second.add(made.id, imsi=made.imsi)
        hss.leave()
        assert made.post().status == 201
        assert not second.questions.get(timeout=LIMIT_S).is_again


def test_revocation_ends_configurations_and_the_connection(device, hss, mme):
    made = device().granted()
    mme.attach(made.imsi)
    mme.on_downlink = lambda downlink: is_asleep()
    waiting = made.as1.post(made.at + "/downlink-data-deliveries", {"externalId": made.id, "data": b64(b"later")})
    assert waiting.status == 201
    answer = hss.update([external(made.id)], [(None, LONG_AGO_MS)])
    assert result_of(answer) == 2001, answer
    release = mme.releases.get(timeout=LIMIT_S)
    assert release.header.command_code == 8388732 and find(release, 4314) == RELEASE
    assert (find(release, 3102, 1), find(release, 1020), find(release, 293)) == (made.imsi, b"\x05", mme.identity.encode())
    assert made.status() == "TERMINATED_UE_NOT_AUTHORIZED"
    again = hss.update([external(made.id)], [(None, LONG_AGO_MS)], is_again=True)
    assert result_of(again) == 2001
    until(lambda: made.told() == ["TERMINATED_UE_NOT_AUTHORIZED"], "the notification")
    until(lambda: made.told("deliveryStatus")[-1:] == ["FAILURE"], "the end of what waited")
    assert result_of(mme.odr(made.imsi, b"after")) == 5651
    assert result_of(mme.cmr(made.imsi)) == 5652  # it may not come back by itself
    assert made.as1.post(made.at + "/downlink-data-deliveries", {"externalId": made.id, "data": b64(b"x")}).status == 403
    assert made.post().status == 201  # the HSS grants it anew
    assert result_of(mme.cmr(made.imsi)) == 2001


def test_an_hss_speaks_of_a_device_by_any_of_its_names(device, hss):
    made = device().granted()
    for user in ([imsi_of(made.imsi)], [msisdn_of(made.msisdn)], [external(made.id.upper().replace("S", "s", 1))]):
        assert result_of(hss.update(user, [(None, now_ms() + DAY_MS)])) == 2001, user
    assert made.status() == "ACTIVE"
    for user in ([imsi_of("999999999999999")], [msisdn_of("99999999")], [external("nobody@acme.example")]):
        assert result_of(hss.update(user, [(None, LONG_AGO_MS)])) == 5001, user


def test_a_new_imsi_of_a_device_takes_the_place_of_the_old_one(device, hss, mme):
    made = device().granted()
    mme.attach(made.imsi)
    new = made.imsi[:5] + "9" + made.imsi[6:]
    assert result_of(hss.update([external(made.id), imsi_of(new)])) == 2001
    assert find(mme.releases.get(timeout=LIMIT_S), 3102, 1) == made.imsi
    assert result_of(mme.odr(made.imsi, b"x")) == 5001
    mme.attach(new).uplink(new, thermo_reading(1, 18.25))
    assert made.real.admin.value(made.id, "temperature") == 18.25
    assert made.status() == "ACTIVE" and made.told() == []


def test_a_new_external_identifier_becomes_an_alias(device, hss):
    made = device().granted()
    alias = f"renamed{made.number}@acme.example"
    assert result_of(hss.update([imsi_of(made.imsi), external(alias)])) == 2001
    assert made.real.admin.get(f"/v1/twins/{alias}").json()["id"] == made.id


def test_a_subscription_of_another_twin_is_not_taken_from_it(device, hss, mme):
    first, second = device().granted(), device()
    hss.add(second.id, imsi=first.imsi)
    assert second.post().status == 409
    assert result_of(hss.update([external(second.id), imsi_of(first.imsi)])) == 5012
    mme.attach(first.imsi).uplink(first.imsi, thermo_reading(1, 11.0))
    assert first.real.admin.value(first.id, "temperature") == 11.0


def test_a_grant_is_asked_for_again_before_it_ends(device, hss):
    made = device().granted(until_ms=now_ms() + 4000)
    hss.questions.get(timeout=LIMIT_S)
    hss.add(made.id, imsi=made.imsi, until_ms=now_ms() + DAY_MS)
    again = hss.questions.get(timeout=LIMIT_S)
    assert again.external_identifier == made.id and not again.is_again
    until(lambda: made.real.metric("dromio_nidd_authorizations_granted_total") >= 2, "the second grant")
    assert made.status() == "ACTIVE" and made.told() == []


def test_a_grant_that_is_not_given_again_ends_with_the_reason(device, hss):
    made = device().granted(until_ms=now_ms() + 4000)
    hss.subscribers.clear()
    until(lambda: made.told() == ["TERMINATED_UE_NOT_AUTHORIZED"], "the notification")
    assert made.status() == "TERMINATED_UE_NOT_AUTHORIZED"


def test_a_grant_ends_when_no_hss_can_be_asked(device, hss):
    made = device().granted(until_ms=now_ms() + 3000)
    hss.close()
    until(lambda: made.told() == ["TERMINATED"], "the notification")
    assert made.status() == "TERMINATED"


def test_a_grant_and_what_it_bound_survive_a_crash(tmp_path):
    with Host(CALLBACKS, HSS_IS_KNOWN, directory=tmp_path) as host, Sink() as sink:
        as1 = host.application("as1", ["acme.example"], ["nidd", "read"])
        with Hss(host) as hss:
            made = Device(host, as1, sink, hss).granted(until_ms=now_ms() + DAY_MS)
        host.kill()
        host.start()
        with Hss(host) as hss, Mme(host) as mme:
            assert made.status() == "ACTIVE"
            mme.attach(made.imsi).uplink(made.imsi, thermo_reading(1, 9.5))
            assert host.admin.value(made.id, "temperature") == 9.5
            assert result_of(hss.update([msisdn_of(made.msisdn)], [(None, LONG_AGO_MS)])) == 2001
            host.kill()
            host.start()
            until(lambda: set(made.told()) == {"TERMINATED_UE_NOT_AUTHORIZED"}, "the notification")
            assert len(made.told()) <= 2  # the kill may have come between its way out and the word that it was taken
            assert made.status() == "TERMINATED_UE_NOT_AUTHORIZED"


def test_an_hss_that_nobody_configured_is_the_authority_once_it_came():
    with Host(CALLBACKS) as host, Sink() as sink:
        as1 = host.application("as1", ["acme.example"], ["nidd", "read"])
        host.admin.put_twin("local@acme.example", imsi="001020000000009")
        body = {"externalId": "local@acme.example", "notificationDestination": sink.link()}
        assert as1.post(NIDD, body).status == 201  # this host's provisioning decides
        with Hss(host):
            until(lambda: any(peer["roles"] == ["hss"] for peer in host.admin.get("/v1/peers").json()["peers"]), "the HSS")
            assert as1.post(NIDD, body).status == 404  # the HSS does not know it


APNS = """t8.apns=[{application="as1",apn="meters.acme",without_configuration="refuse"},
{domain="open.example",apn="open"},{domain="acme.example",apn="welcome",without_configuration="accept"}]"""


def test_the_apn_of_a_configuration_is_configured_and_compared():
    with Host(CALLBACKS, HSS_IS_KNOWN, APNS, 't8.apn="iot"', "t8.without_configuration=refuse") as host, Sink() as sink:
        as1 = host.application("as1", ["acme.example"], ["nidd", "read"])
        as2 = host.application("as2", ["acme.example", "rest.example"], ["nidd", "read"])
        with Hss(host) as hss, Mme(host) as mme:
            made = Device(host, as1, sink, hss).granted()
            assert hss.questions.get(timeout=LIMIT_S).apn == "meters.acme"
            assert result_of(mme.cmr(made.imsi, apn="other")) == 5652
            assert result_of(mme.cmr(made.imsi, apn="Meters.ACME.mnc001.mcc001.gprs")) == 2001
            assert result_of(mme.cmr(made.imsi, apn="welcome")) == 2001  # needs no configuration
            assert result_of(hss.update([external(made.id)], [("iot", LONG_AGO_MS)])) == 2001  # not its APN
            assert made.status() == "ACTIVE"
            assert result_of(hss.update([external(made.id)], [("meters.acme", LONG_AGO_MS)])) == 2001
            assert made.status() == "TERMINATED_UE_NOT_AUTHORIZED"
            host.admin.put_twin("r@rest.example")
            hss.add("r@rest.example", imsi="001029999999999")
            answer = as2.post(NIDD.replace("as1", "as2"), {"externalId": "r@rest.example", "notificationDestination": sink.link()})
            assert answer.status == 201, answer
            assert hss.questions.get(timeout=LIMIT_S).apn == "iot"
            assert result_of(mme.cmr("001029999999999", apn="iot")) == 2001


def test_the_simulators_hss_authorises_refuses_and_revokes(tmp_path):
    with Host(CALLBACKS, directory=tmp_path) as host, Sink() as sink:
        as1 = host.application("as1", ["demo.example"], ["nidd", "read"])
        for number in range(1, 21):
            host.admin.put_twin(f"thermo-{number}@demo.example")
        arguments = [str(BUILD / "dromio-sim"), "--connect", f"127.0.0.1:{host.diameter_port}", "--devices", "20", "--period", "60", "--speed", "60",
                     "--hss", "2", "--hss-refuse", "0.3", "--hss-revoke", "1", "--seed", "7"]
        sim = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=end_with_parent)
        try:
            until(lambda: sum(peer["roles"] == ["hss"] for peer in host.admin.get("/v1/peers").json()["peers"]) == 2, "both HSSs")
            answers = [as1.post(NIDD, {"externalId": f"thermo-{number}@demo.example", "notificationDestination": sink.link()}).status
                       for number in range(1, 21)]
            assert set(answers) == {201, 403} and answers.count(201) >= 8
            until(lambda: host.admin.query("select count(temperature) from thermo")[0][0] > 0, "a reading of a device whose IMSI only the HSS knew")

            def revoked():
                return {c["externalId"] for c in as1.get(NIDD).json() if c["status"] == "TERMINATED_UE_NOT_AUTHORIZED"}

            def connected():
                return {row[0] for row in host.admin.query("select id from thermo where temperature is not null")}
            until(lambda: len(revoked()) >= 3 and revoked() & connected(), "revocations, one of a connected device")
        finally:
            sim.send_signal(signal.SIGINT)
            told = json.loads(sim.communicate(timeout=LIMIT_S)[0])
        assert told["authorizations"] == answers.count(201) and told["authorizations_refused"] == answers.count(403)
        assert told["revocations_taken"] >= 2 and told["released"] >= 1


def test_a_connection_ends_with_the_last_configuration_over_its_apn():
    apns = 't8.apns=[{application="as1",apn="meters"},{application="as2",apn="iot"}]'
    with Host(CALLBACKS, HSS_IS_KNOWN, apns) as host, Sink() as sink:
        clients = [host.application(name, ["acme.example"], ["nidd", "read"]) for name in ("as1", "as2")]
        with Hss(host) as hss, Mme(host) as mme:
            made = Device(host, clients[0], sink, hss).granted()
            body = {"externalId": made.id, "notificationDestination": sink.link()}
            assert clients[1].post(NIDD.replace("as1", "as2"), body).status == 201
            mme.attach(made.imsi, apn="meters")
            assert result_of(hss.update([external(made.id)], [("iot", LONG_AGO_MS)])) == 2001
            mme.uplink(made.imsi, b"still there")
            assert clients[1].post(NIDD.replace("as1", "as2"), body).status == 201
            assert result_of(hss.update([external(made.id)], [("meters", LONG_AGO_MS)])) == 2001
            assert find(mme.releases.get(timeout=LIMIT_S), 4314) == RELEASE  # although iot is granted
            assert result_of(mme.odr(made.imsi, b"gone")) == 5651


# ---- groups ----

class Group:
    """A group that only the HSS knows; its members are twins here."""

    def __init__(self, real, as1, sink, hss):
        self.real, self.as1, self.sink, self.hss = real, as1, sink, hss
        self.number = next(numbers)
        self.id, self.path = f"g{self.number}@acme.example", f"/g{self.number}"
        self.twins = [f"m{self.number}-{n}@acme.example" for n in range(6)]
        self.imsis = [f"00102{self.number:05d}{n:05d}" for n in range(6)]
        for twin, imsi in zip(self.twins, self.imsis):
            real.admin.put_twin(twin, imsi=imsi, msisdn=imsi[5:])
        self.at = None

    def post(self, **members):
        answer = self.as1.post(NIDD, {"externalGroupId": self.id, "notificationDestination": self.sink.link(self.path), **members})
        if answer.status == 201:
            self.at = path_of(answer)
        return answer

    def answers(self, *more, until_ms=None):
        granted = [avp(3151, [avp(3160, instant(until_ms), 10415, m=False)] if until_ms is not None else [], 10415)]
        self.hss.on_question = lambda question: [avp(268, 2001), *granted, *more]

    def members(self):
        return sorted(each["id"] for each in self.real.admin.get(f"/v1/groups/{self.id}/members").json()["members"])

    def told(self):
        return [notice["status"] for notice in self.sink.taken(self.path) if "status" in notice]

    def status(self):
        return self.as1.get(self.at).json()["status"]


@pytest.fixture
def group(real, as1, sink, hss):
    return lambda: Group(real, as1, sink, hss)


def test_the_hss_says_who_is_in_a_group_in_segments(group, hss, mme):
    made = group()
    made.answers(member(name=made.twins[0]), member(msisdn=made.imsis[1][5:]), INCOMPLETE_ANSWER)
    answer = made.post()
    assert answer.status == 201, answer
    question = hss.questions.get(timeout=LIMIT_S)
    assert question.is_group and question.external_identifier == made.id
    assert made.members() == made.twins[:2]
    more = [member(imsi=made.imsis[2]), member(name=made.twins[3], imsi="999999999999999"), INCOMPLETE_REQUEST]
    assert result_of(hss.update(group_of(made.id), extra=more)) == 2001
    assert made.members() == made.twins[:4]
    assert result_of(hss.update(group_of(made.id), extra=[member(name=made.twins[4]), member(name="nobody@acme.example")])) == 2001
    assert made.members() == made.twins[:5]
    shown = made.real.admin.get(f"/v1/groups/{made.id}").json()
    assert (shown["kind"], shown["members"], shown["unknown"]) == ("hss", 5, 1)
    for imsi in made.imsis[:5]:
        mme.attach(imsi)
    sent = made.as1.post(made.at + "/downlink-data-deliveries", {"externalGroupId": made.id, "data": b64(b"all")})
    assert sent.status == 201, sent
    assert sorted(mme.downlinks.get(timeout=LIMIT_S).imsi for _ in range(5)) == made.imsis[:5]


def test_a_new_list_takes_the_place_of_the_old_one(group, hss):
    made = group()
    made.answers(*[member(name=twin) for twin in made.twins])
    assert made.post().status == 201
    assert made.members() == made.twins
    assert result_of(hss.update(group_of(made.id), extra=[member(name=made.twins[0]), INCOMPLETE_REQUEST])) == 2001
    assert made.members() == made.twins  # the list has not ended
    assert result_of(hss.update(group_of(made.id), extra=[member(name=made.twins[5])])) == 2001
    assert made.members() == [made.twins[0], made.twins[5]]
    assert result_of(hss.update(group_of(made.id), [(None, now_ms() + DAY_MS)])) == 2001  # says nothing of members
    assert made.members() == [made.twins[0], made.twins[5]]


def test_names_that_no_twin_has_are_counted_over_segments_and_a_restart():
    """However the members are spread over cores, and whoever is named twice."""
    with Host(CALLBACKS, HSS_IS_KNOWN) as host, Sink() as sink:
        as1 = host.application("as1", ["acme.example"], ["nidd", "read"])
        shown = lambda: (lambda found: (found["members"], found["unknown"]))(host.admin.get(f"/v1/groups/{made.id}").json())
        with Hss(host) as hss:
            made = Group(host, as1, sink, hss)
            made.answers(*[member(name=twin) for twin in made.twins], member(name="no1@acme.example"), INCOMPLETE_ANSWER)
            assert made.post().status == 201
            more = [member(imsi=made.imsis[0]), member(name=made.twins[1]), member(name="no2@acme.example"), member(msisdn="990000000001")]
            assert result_of(hss.update(group_of(made.id), extra=more)) == 2001
            until(lambda: shown() == (6, 3), "members and unknown names")
            assert result_of(hss.update(group_of(made.id), extra=[member(name=twin) for twin in made.twins[:3]])) == 2001
            until(lambda: shown() == (3, 0), "the list after it")
            assert result_of(hss.update(group_of(made.id), extra=[member(name=made.twins[0]), member(name="no3@acme.example")])) == 2001
            until(lambda: shown() == (1, 1), "the last list")
            host.kill()
        host.start()
        until(lambda: shown() == (1, 1), "the same after a crash")


@pytest.mark.parametrize("said,status,cause", [(refusal(5001), 404, "USER_UNKNOWN"), (refusal(NO_SERVICE), 403, "NIDD_NOT_AUTHORIZED"),
                                               ([avp(268, 3004)], 503, None)])
def test_a_group_that_the_hss_refuses_is_not_left_behind(group, hss, said, status, cause):
    made = group()
    hss.on_question = lambda question: said
    answer = made.post()
    assert (answer.status, answer.json().get("cause")) == (status, cause), answer
    assert cause != "USER_UNKNOWN" or answer.json()["detail"] == "the HSS does not know the group"
    assert made.real.admin.get(f"/v1/groups/{made.id}").status == 404
    assert result_of(hss.update(group_of(made.id), extra=[member(name=made.twins[0])])) == 5001


def test_what_is_granted_for_a_group_is_revoked_once(group, hss):
    made = group()
    made.answers(member(name=made.twins[0]))
    assert made.post().status == 201
    for _ in range(2):
        assert result_of(hss.update(group_of(made.id), [(None, LONG_AGO_MS)])) == 2001
    until(lambda: made.told() == ["TERMINATED_UE_NOT_AUTHORIZED"], "the notification")
    assert made.status() == "TERMINATED_UE_NOT_AUTHORIZED"


def test_connections_of_a_groups_members_end_with_its_last_configuration(device, group, hss, mme):
    """As with a device: what else is granted over the APN keeps the connection."""
    made, also, alone = group(), group(), device()
    made.answers(*[member(name=twin) for twin in [*made.twins[:4], alone.id]])
    assert made.post().status == 201
    also.answers(member(name=made.twins[0]))
    assert also.post().status == 201  # another group that the first member is in
    hss.on_question = hss.grant
    alone.granted()                   # and a member with a configuration of its own
    for imsi in [*made.imsis[:3], alone.imsi]:
        mme.attach(imsi)
    mme.on_downlink = lambda downlink: is_asleep()
    sent = made.as1.post(made.at + "/downlink-data-deliveries", {"externalGroupId": made.id, "data": b64(b"all")})
    assert sent.status == 201, sent
    until(lambda: all(made.real.admin.twin(twin)["mailbox"] == 1 for twin in [*made.twins[:4], alone.id]), "downlinks that wait")
    assert result_of(hss.update(group_of(made.id), [(None, LONG_AGO_MS)])) == 2001
    released = [mme.releases.get(timeout=LIMIT_S) for _ in range(2)]
    assert sorted(find(each, 3102, 1) for each in released) == made.imsis[1:3]
    assert {find(each, 4314) for each in released} == {RELEASE}
    until(lambda: all(made.real.admin.twin(twin)["mailbox"] == 0 for twin in [*made.twins[:4], alone.id]), "empty mailboxes")
    results = lambda: {r["externalId"]: r["deliveryStatus"] for n in made.sink.taken(made.path) for r in n.get("gmdResults", [])}
    until(lambda: set(results().values()) == {"FAILURE"} and len(results()) == 5, "failures")
    mme.uplink(made.imsis[0], b"still there")
    mme.uplink(alone.imsi, b"still there")
    assert [result_of(mme.odr(imsi, b"gone")) for imsi in made.imsis[1:3]] == [5651, 5651]
    assert {result_of(mme.cmr(imsi, 0)) for imsi in made.imsis[1:4]} == {5652}
    assert mme.releases.empty()
    made.answers(*[member(name=twin) for twin in made.twins[:4]])
    assert made.post().status == 201  # granted anew
    assert result_of(mme.cmr(made.imsis[1], 0)) == 2001


@pytest.mark.parametrize("ending", ["to its end", "by a crash"])
def test_a_large_groups_revocation_reaches_all_members(ending):
    """Some at a time; after a crash the members of what was revoked are looked at again."""
    with Host(CALLBACKS, HSS_IS_KNOWN) as host, Sink() as sink:
        as1 = host.application("as1", ["acme.example"], ["nidd", "read"])
        imsis = {f"large{n}@acme.example": f"0010299990{n:05d}" for n in range(200)}
        assert {line["status"] for line in host.admin.bulk([{"id": twin, "imsi": imsi} for twin, imsi in imsis.items()])} == {201}
        with Hss(host) as hss, Mme(host) as mme:
            made = Group(host, as1, sink, hss)
            made.answers(*[member(name=twin) for twin in imsis])
            assert made.post().status == 201
            for imsi in imsis.values():
                mme.attach(imsi)
            hss.update(group_of(made.id), [(None, LONG_AGO_MS)])
            if ending == "to its end":
                released = {find(mme.releases.get(timeout=LIMIT_S), 3102, 1) for _ in imsis}
                assert released == set(imsis.values()) and mme.releases.empty()
                return
            host.kill()
        host.start()
        with Hss(host), Mme(host) as mme:
            assert made.status() == "TERMINATED_UE_NOT_AUTHORIZED"
            until(lambda: {result_of(mme.odr(imsi, b"gone")) for imsi in imsis.values()} == {5651}, "the end of all connections")


def test_a_group_lets_its_members_connect():
    with Host(CALLBACKS, 't8.without_configuration="refuse"') as host, Sink() as sink, Mme(host) as mme:
        as1 = host.application("as1", ["acme.example"], ["nidd", "read"])
        made = Group(host, as1, sink, None)
        assert host.admin.put(f"/v1/groups/{made.id}", {}).status == 201
        assert host.admin.put(f"/v1/groups/{made.id}/members/{made.twins[0]}", {}).status in (200, 201)
        assert result_of(mme.cmr(made.imsis[0], 0)) == 5652
        assert made.post().status == 201
        until(lambda: result_of(mme.cmr(made.imsis[0], 0)) == 2001, "the configuration in its core")
        assert result_of(mme.cmr(made.imsis[1], 0)) == 5652


def test_a_groups_grant_is_asked_for_again_with_its_list(group, hss):
    made = group()
    made.answers(member(name=made.twins[0]), until_ms=now_ms() + 4000)
    assert made.post().status == 201
    hss.questions.get(timeout=LIMIT_S)
    made.answers(member(name=made.twins[1]), until_ms=now_ms() + DAY_MS)
    assert hss.questions.get(timeout=LIMIT_S).is_group
    until(lambda: made.members() == [made.twins[1]], "the list of the second answer")
    assert made.status() == "ACTIVE" and made.told() == []


def test_a_group_of_this_host_is_none_of_the_hsss(real, as1, sink, hss, group):
    made = group()
    assert real.admin.put(f"/v1/groups/{made.id}", {}).status == 201
    assert made.post().status == 201
    assert hss.questions.empty()
    assert result_of(hss.update(group_of(made.id), extra=[member(name=made.twins[0])])) == 5012
    assert made.members() == []
