"""A twin's own schedule: examples/calm asks for its device's sleep, an HSS of python-diameter says what it makes of it
(TS 29.336, 8.2.1), and contacts, tickets and retries follow that."""
import datetime
import itertools

import pytest
from host import BUILD, LIMIT_S, Host, thermo_reading, until
from hss import external, instant, refusal
from mme import PROXIABLE, RIR, T6A, V3GPP, Mme, avp, ends, find, result_of
from parameter_hss import OUT_OF_RANGE, ParameterHss, updated
from t8 import CALLBACKS, path_of

CALM = BUILD / "examples" / "calm.wasm"
NP = "/3gpp-network-parameter-configuration/v1/as1/configurations"
SETTINGS = (CALLBACKS, 'diameter.peers=[{identity="hss1.epc.test",applications=["s6t"]}]', "schedule.pause=1")
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def real():
    with Host(*SETTINGS) as host:
        assert host.push(CALM.read_bytes()).status in (200, 201)
        yield host
        assert "00103" not in host.log(), "an IMSI was logged"


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["parameters"])


@pytest.fixture
def hss(real):
    with ParameterHss(real) as peer:
        yield peer


class Sleeper:
    def __init__(self, host, mme):
        number = next(numbers)
        self.host, self.mme, self.id, self.imsi = host, mme, f"calm{number}@acme.example", f"00103{number:010d}"
        self.sequence = itertools.count()
        assert host.admin.put(f"/v1/twins/{self.id}", {"model": "acme/calm", "imsi": self.imsi}).status == 201
        mme.attach(self.imsi)

    def reading(self, temperature=20.0, battery=3600):
        self.mme.uplink(self.imsi, thermo_reading(next(self.sequence), temperature, 50.0, battery))

    def contact(self):
        return self.host.admin.twin(self.id)["contact"]

    def schedule(self):
        return self.contact()["schedule"]

    def is_in(self, state):
        return until(lambda: self.schedule()["state"] == state and self.schedule(), f"schedule {state}")

    def value(self, name):
        return self.host.admin.value(self.id, name)


@pytest.fixture
def sleeper(real):
    with Mme(real) as mme:
        yield Sleeper(real, mme)


def seconds_between(one, other):
    at = [datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (one, other)]
    return (at[1] - at[0]).total_seconds()


def asked(hss, seconds):
    """The next question, for that periodic TAU timer."""
    cir = hss.cirs.get(timeout=LIMIT_S)
    wanted = {item.code: item.value for item in cir.network.value}
    assert wanted[1619] == seconds, wanted
    return wanted


def test_a_twin_asks_and_its_contacts_follow_what_the_network_made_of_it(hss, sleeper):
    hss.applied = (540, 8, 2)
    sleeper.reading()
    wanted = asked(hss, 600)
    assert wanted[4324] == 10 and 1674 not in wanted
    assert sleeper.is_in("applied") == {"state": "applied", "wanted": {"latency": 600, "response": 10},
                                        "network": {"periodic": 540, "active": 8, "packets": 2}}
    until(lambda: sleeper.value("sleep") == 540 and sleeper.value("listens") == 8, "event 12")
    contact = sleeper.contact()
    assert contact["why"] == "pattern" and seconds_between(contact["last"], contact["next"]) == 540
    assert seconds_between(contact["last"], contact["available_until"]) == 8
    sleeper.reading()
    contact = sleeper.contact()
    assert contact["why"] == "pattern" and seconds_between(contact["last"], contact["next"]) == 540
    events = sleeper.host.admin.get(f"/v1/twins/{sleeper.id}/timeline?network=true").json()["events"]
    assert [event["schedule"]["network"] for event in events if event["kind"] == "schedule" and event["outcome"] == "handled"] \
        == [{"periodic": 540, "active": 8, "packets": 2}]
    assert [event["schedule"]["state"] for event in events if event["kind"] == "uplink" and "schedule" in event] == ["waiting"]


def test_calm_readings_and_a_low_battery_make_it_sleep_longer(hss, sleeper):
    sleeper.reading(21.0)
    reference = asked(hss, 600)[3124]
    for temperature in (21.1, 21.2, 21.3):
        sleeper.reading(temperature)
    assert asked(hss, 3600)[3124] == reference, "the same wish, changed"
    until(lambda: sleeper.value("sleep") == 3600, "the longer sleep")
    sleeper.reading(21.3, battery=2900)
    asked(hss, 14400)
    until(lambda: sleeper.value("sleep") == 14400, "the longest sleep")
    assert list(hss.networks.values()) == [(14400, 10, None)] and sleeper.value("mood") == "tired"


def test_what_the_network_refuses_the_twin_hears(real, hss, sleeper):
    hss.on_cir = lambda cir: refusal(OUT_OF_RANGE)
    sleeper.reading()
    sleeper.is_in("refused")
    events = lambda: real.admin.get(f"/v1/twins/{sleeper.id}/timeline").json()["events"]
    until(lambda: any(event["notifications"] for event in events()), "the twin's word")


def test_an_applications_parameters_count_while_they_are_there(as1, hss, sleeper):
    sleeper.reading()
    sleeper.is_in("applied")
    answer = as1.post(NP, {"externalId": sleeper.id, "maximumLatency": 1800})
    assert answer.status == 201, answer
    sleeper.is_in("held")
    until(lambda: list(hss.networks.values()) == [(1800, None, None)], "the twin's wish to be withdrawn")
    assert as1.delete(path_of(answer)).status == 204
    sleeper.is_in("applied")
    assert list(hss.networks.values()) == [(600, 10, None)]


@pytest.fixture
def group(real):
    name = f"sleepers{next(numbers)}@acme.example"
    assert real.admin.put(f"/v1/groups/{name}", {}).status in (200, 201)
    yield name
    real.admin.delete(f"/v1/groups/{name}")


def member(real, group, sleeper):
    assert real.admin.put(f"/v1/groups/{group}/members/{sleeper.id}", None).status in (200, 201, 204)


def has_only(hss, *networks):
    until(lambda: sorted(hss.networks.values(), key=str) == sorted(networks, key=str), f"the HSS to have {networks}")


def test_so_do_those_of_a_group(real, as1, hss, sleeper, group):
    member(real, group, sleeper)
    sleeper.reading()
    sleeper.is_in("applied")
    answer = as1.post(NP, {"externalGroupId": group, "maximumLatency": 1800})
    assert answer.status == 201, answer
    sleeper.is_in("held")
    has_only(hss, (1800, None, None))
    assert as1.delete(path_of(answer)).status == 204
    sleeper.is_in("applied")
    has_only(hss, (600, 10, None))


def test_who_joins_or_leaves_such_a_group_is_held_or_free(real, as1, hss, sleeper, group):
    answer = as1.post(NP, {"externalGroupId": group, "maximumLatency": 1800})
    assert answer.status == 201, answer
    sleeper.reading()
    sleeper.is_in("applied")
    member(real, group, sleeper)
    sleeper.is_in("held")
    has_only(hss, (1800, None, None))
    assert real.admin.delete(f"/v1/groups/{group}/members/{sleeper.id}").status == 204
    sleeper.is_in("applied")
    has_only(hss, (1800, None, None), (600, 10, None))
    member(real, group, sleeper)
    sleeper.is_in("held")
    assert real.admin.delete(f"/v1/groups/{group}").status == 204  # its parameters go with it
    sleeper.is_in("applied")
    has_only(hss, (600, 10, None))


def test_a_wish_outlives_a_crash_and_waits_for_an_hss(real, sleeper):
    sleeper.reading()
    assert sleeper.schedule()["state"] == "waiting"
    real.kill()
    real.start()
    assert sleeper.schedule() == {"state": "waiting", "wanted": {"latency": 600, "response": 10}, "network": {}}
    with ParameterHss(real) as hss:
        asked(hss, 600)
        sleeper.is_in("applied")
        until(lambda: sleeper.value("sleep") == 600, "event 12")


def test_a_twin_that_goes_withdraws_what_it_wished(real, hss, sleeper):
    sleeper.reading()
    sleeper.is_in("applied")
    assert real.admin.delete(f"/v1/twins/{sleeper.id}").status == 204
    until(lambda: not hss.networks, "the network to be told")


def test_a_ticket_and_a_retry_follow_the_schedule(real, hss):
    """Of a thermometer, whose application has said how it sleeps."""
    application = real.application("as2", ["acme.example"], ["parameters"])
    name, imsi = "sleepy@acme.example", "001039999999999"
    real.admin.put_twin(name, imsi=imsi)
    with Mme(real) as mme:
        mme.attach(imsi)
        mme.uplink(imsi, thermo_reading(1))
        answer = application.post(NP.replace("as1", "as2"), {"externalId": name, "maximumLatency": 1800, "maximumResponseTime": 30})
        assert answer.status == 201, answer
        mme.on_downlink = lambda downlink: [*refusal(5653)]
        ticket = real.admin.write(name, "period", 600).json()
        contact = until(lambda: not mme.downlinks.empty() and real.admin.twin(name)["contact"], "the downlink")
        assert contact["why"] == "pattern" and seconds_between(contact["last"], contact["next"]) == 1800
        ticket = until(lambda: (now := real.admin.ticket(name, ticket["ticket"]))["state"] == "pending" and now, "the ticket to wait again")
        assert ticket["next"] == contact["next"]
        mme.on_downlink = lambda downlink: 2001
        mme.uplink(imsi, thermo_reading(2))  # it wakes earlier: what waits leaves at once
        real.admin.ticket_is(name, ticket["ticket"], "delivered")


# ---- what the network says on its own ----

PARAMETERS_CANCELLED = 1 << 4  # RIR-Flags


def test_the_network_changes_what_it_applied(real, hss, sleeper):
    sleeper.reading()
    sleeper.is_in("applied")
    (reference,) = hss.networks
    for _ in range(2):  # said twice it is the same
        assert result_of(hss.report(real.identity, updated(real.identity, reference, (900, 12, None)))) == 2001
    until(lambda: sleeper.value("sleep") == 900 and sleeper.value("listens") == 12, "event 12")
    contact = sleeper.contact()
    assert contact["schedule"]["network"] == {"periodic": 900, "active": 12} and contact["schedule"]["state"] == "applied"
    assert seconds_between(contact["last"], contact["next"]) == 900


def test_the_network_cancels_all_of_it(real, hss, sleeper):
    sleeper.reading()
    sleeper.is_in("applied")
    answer = hss.report(real.identity, avp(3102, [external(sleeper.id)], V3GPP), avp(3167, PARAMETERS_CANCELLED, V3GPP, m=False))
    assert result_of(answer) == 2001
    assert sleeper.schedule() == {"state": "cancelled", "wanted": {"latency": 600, "response": 10}, "network": {}}
    for temperature in (20.0, 20.0, 20.0, 20.0):  # its next wish is asked for again
        sleeper.reading(temperature)
    sleeper.is_in("applied")


def test_an_idle_status_in_a_report_says_how_it_sleeps(real, hss):
    watcher = real.application("as3", ["acme.example"], ["monitoring"])
    hss.on_cir = lambda cir: [avp(268, 2001)]
    with Mme(real) as mme:
        sleeper = Sleeper(real, mme)
        answer = watcher.post("/3gpp-monitoring-event/v1/as3/subscriptions", {
            "externalId": sleeper.id, "monitoringType": "UE_REACHABILITY", "reachabilityType": "DATA", "maximumNumberOfReports": 9,
            "idleStatusIndication": True, "notificationDestination": "http://192.0.2.1/x"})
        assert answer.status == 201, answer
        reference = find(hss.cirs.get(timeout=LIMIT_S).message, 3122, 3124)
        mme.uplink(sleeper.imsi, b"\x00")
        soon = 60 + int(datetime.datetime.now().timestamp())
        report = avp(3123, [avp(3124, reference, V3GPP), avp(3125, real.identity.encode(), V3GPP), avp(3127, 8, V3GPP), avp(3140, 1, V3GPP),
                            avp(4322, [avp(4324, 14, V3GPP, m=False), avp(1619, 5400, V3GPP, m=False)], V3GPP, m=False),
                            avp(3329, instant(soon * 1000), V3GPP, m=False)], V3GPP)
        answer = mme.ask(RIR, T6A, [avp(263, f"{mme.identity};9;{next(ends)}"), avp(277, 1), avp(283, mme.destination), report], flags=PROXIABLE)
        assert result_of(answer) == 2001
        contact = until(lambda: "schedule" in sleeper.contact() and sleeper.contact(), "the schedule")
        assert contact["schedule"]["network"] == {"periodic": 5400, "active": 14}
        assert seconds_between(contact["last"], contact["available_until"]) > 40
        until(lambda: sleeper.value("sleep") == 5400, "event 12")
