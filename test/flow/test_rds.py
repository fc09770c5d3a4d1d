"""The Reliable Data Service (TS 24.250) between this host and a device that has a codec and procedure of its own.
The bits of both are unverified; what is tested is the procedure, and that T8 says what became of a downlink."""
import base64
import itertools
import subprocess

import pytest
from host import BUILD, Host, until
from mme import Mme, is_asleep
from rds import (ACCEPTED, ACK, IN_USE, MANAGE_PORT, NOTIFY, QUERY, RELEASE, RESERVE, SET_ACK_MODE, SET_UNACK_MODE, UNKNOWN,
                 Device, Frame, Ports)
from sink import Sink
from t8 import CALLBACKS, b64, path_of

paths = itertools.count(1)
SETTINGS = (CALLBACKS, "t8.reliable_data_service=true", "t8.reliable_data_timer=1")


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["nidd"])


class Nidd:
    """A device's configuration."""

    def __init__(self, client, sink, name, owner="as1", **members):
        self.client, self.sink, self.name, self.path = client, sink, name, f"/r{next(paths)}"
        answer = client.post(f"/3gpp-nidd/v1/{owner}/configurations", {
            "externalId": name, "notificationDestination": sink.link(self.path), "reliableDataService": True, **members})
        assert answer.status == 201, answer
        self.json, self.location = answer.json(), answer.headers["Location"]
        self.at = path_of(self.location)

    def send(self, data, **members):
        return self.client.post(self.at + "/downlink-data-deliveries", {"externalId": self.name, "data": b64(data), **members})

    def told(self, member):
        return [notice for notice in self.sink.taken(self.path) if member in notice]

    def status(self, answer):
        return self.client.get(path_of(answer)).json()["deliveryStatus"]

    def port(self, device, own):
        return f"{self.at}/rds-ports/ue{device}-ef{own}"

    def reserve(self, device, own, **members):
        return self.client.put(self.port(device, own), {"appId": "meter", **members})

    def data(self):
        return [base64.b64decode(notice["data"]) for notice in self.told("data")]


@pytest.fixture
def device(real, mme, names):
    """A device behind a twin, which is plain or a thermometer."""
    def make(with_code=False):
        name, imsi = next(names)
        if with_code:
            real.admin.put_twin(name, imsi=imsi)
        else:
            assert real.admin.put(f"/v1/twins/{name}", {"imsi": imsi}).status == 201
        mme.attach(imsi)
        made = Device(mme, imsi)
        made.name = name
        return made
    return make


@pytest.fixture
def both(device, as1, sink):
    """A device and its configuration."""
    def make(with_code=False, **members):
        made = device(with_code)
        return made, Nidd(as1, sink, made.name, **members)
    return make


# ---- downlinks ----

def test_a_downlink_succeeds_at_the_devices_acknowledgement(both):
    device, nidd = both()
    answer = nidd.send(b"hello")
    assert (answer.status, answer.json()["deliveryStatus"]) == (200, "SUCCESS_ACKNOWLEDGED"), answer
    assert device.taken == [(b"hello", None, None)]
    assert [frame.kind for frame in device.frames] == ["U", "I"] and device.frames[0].function == SET_ACK_MODE
    assert device.frames[1].asks and device.frames[1].sent == 0
    for number in range(1, 12):  # around the modulus; the link stays
        assert nidd.send(b"%d" % number).json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
    assert [frame.sent for frame in device.came("I")] == [n % 8 for n in range(12)]
    assert len(device.came("U")) == 1 and len(device.taken) == 12


def test_a_lost_downlink_goes_again(both, real):
    device, nidd = both()
    lost = []
    device.loses_down = lambda frame: frame.kind == "I" and len(lost) < 2 and not lost.append(frame)
    before = real.metric("dromio_rds_retransmissions_total")
    answer = nidd.send(b"twice lost")
    if answer.status == 201:  # the application was answered before T200 was over twice
        assert answer.json()["deliveryStatus"] == "SENDING"
        until(lambda: nidd.status(answer) == "SUCCESS_ACKNOWLEDGED", "the acknowledgement")
        until(lambda: nidd.told("deliveryStatus"), "the delivery's notification")
        assert nidd.told("deliveryStatus")[-1]["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
    assert device.taken == [(b"twice lost", None, None)]
    assert [frame.sent for frame in device.came("I")] == [0, 0, 0]
    assert real.metric("dromio_rds_retransmissions_total") >= before + 2


def test_a_lost_acknowledgement_costs_a_repetition_that_the_device_drops(both):
    device, nidd = both()
    lost = []
    device.loses_up = lambda frame: frame.kind == "S" and not lost and not lost.append(frame)
    answer = nidd.send(b"once")
    until(lambda: answer.status == 200 or nidd.status(answer) == "SUCCESS_ACKNOWLEDGED", "the acknowledgement")
    assert device.taken == [(b"once", None, None)] and len(device.came("I")) == 2
    assert nidd.send(b"next").status in (200, 201)
    until(lambda: (b"next", None, None) in device.taken, "the next downlink")
    assert device.came("I")[-1].sent == 1


def test_it_is_given_up_after_n200_and_is_no_success_of_the_device(both):
    device, nidd = both()
    assert nidd.send(b"first").json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
    device.loses_up = lambda frame: frame.kind == "S"
    answer = nidd.send(b"heard, never acknowledged")
    assert (answer.status, answer.json()["deliveryStatus"]) == (201, "SENDING"), answer
    until(lambda: nidd.status(answer) != "SENDING", "the end")
    assert nidd.status(answer) == "SUCCESS_UNACKNOWLEDGED"  # T8: not acknowledged by the UE
    assert len(device.came("I", sent=1)) == 4  # N200 is 3
    device.loses_up = lambda frame: False
    device.frames.clear()
    assert nidd.send(b"anew").json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
    assert [frame.kind for frame in device.frames] == ["U", "I"]  # whether 1 was used is not known: numbers begin anew
    assert device.frames[1].sent == 0


def test_a_device_that_never_answers_gets_no_data_and_the_application_is_told(both):
    device, nidd = both()
    device.loses_down = lambda frame: True
    answer = nidd.send(b"unheard")
    assert (answer.status, answer.json()["deliveryStatus"]) == (201, "SENDING"), answer
    until(lambda: nidd.told("deliveryStatus"), "the end")
    assert nidd.told("deliveryStatus")[-1]["deliveryStatus"] == "FAILURE_TIMEOUT"
    assert not device.came("I") and len(device.came("U", function=SET_ACK_MODE)) == 4


def test_a_device_may_refuse_acknowledged_transfer(both):
    device, nidd = both()
    device.refuses = True
    answer = nidd.send(b"no")
    assert answer.status == 500 and answer.json()["problemDetail"]["cause"] == "FAILURE_RDS_DISABLED", answer


def test_without_acknowledgement_it_is_an_unconfirmed_frame(both):
    device, nidd = both()
    answer = nidd.send(b"just so", reliableDataService=False)
    assert (answer.status, answer.json()["deliveryStatus"]) == (200, "SUCCESS_NEXT_HOP_UNACKNOWLEDGED"), answer
    assert [frame.kind for frame in device.frames] == ["UI"] and device.taken == [(b"just so", None, None)]


def test_a_sleeping_device_gets_it_at_its_next_contact_under_the_same_number(both):
    device, nidd = both()
    assert nidd.send(b"awake").json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
    device.answers = is_asleep()
    answer = nidd.send(b"later")
    assert (answer.status, answer.json()["deliveryStatus"]) == (201, "BUFFERING_TEMPORARILY_NOT_REACHABLE"), answer
    device.answers = 2001
    device.put(Frame("UI", b"awake again"))
    until(lambda: nidd.status(answer) == "SUCCESS_ACKNOWLEDGED", "the acknowledgement")
    assert device.taken == [(b"awake", None, None), (b"later", None, None)]
    assert [frame.sent for frame in device.came("I")] == [0, 1, 1]


def test_one_is_out_at_a_time_and_priorities_do_not_break_the_numbers(both):
    device, nidd = both()
    assert nidd.send(b"a").json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
    device.answers = is_asleep()
    low = nidd.send(b"low", priority=1)
    assert low.status == 201  # it went as N(S) 1: the device may have it
    high = nidd.send(b"high", priority=9)
    device.answers = 2001
    device.put(Frame("UI", b"here"))
    until(lambda: nidd.status(high) == "SUCCESS_ACKNOWLEDGED" and nidd.status(low) == "SUCCESS_ACKNOWLEDGED", "both")
    assert [data for data, *_ in device.taken] == [b"a", b"low", b"high"]
    assert [frame.sent for frame in device.came("I")] == [0, 1, 1, 2]


def test_what_is_being_acknowledged_cannot_be_changed(both):
    device, nidd = both()
    device.loses_down = lambda frame: frame.kind == "I"
    answer = nidd.send(b"out")
    assert nidd.client.delete(path_of(answer)).status == 409
    until(lambda: nidd.status(answer) == "SUCCESS_UNACKNOWLEDGED", "the end")


# ---- uplinks ----

def test_an_uplink_is_told_and_acknowledged(both):
    device, nidd = both()
    device.set_ack_mode()
    until(lambda: device.numbers, "the link")
    device.send(b"one")
    until(nidd.data, "the notification")
    assert nidd.told("data") == [{"niddConfiguration": nidd.location, "externalId": device.name, "data": b64(b"one"), "reliableDataService": True}]
    until(lambda: device.came("S", supervisory=ACK, received=1), "the acknowledgement")


def test_a_repeated_uplink_is_acknowledged_again_and_told_once(both, real):
    device, nidd = both()
    device.set_ack_mode()
    until(lambda: device.numbers, "the link")
    before = real.metric("dromio_rds_repeated_total")
    device.send(b"one")
    until(lambda: len(device.came("S", received=1)) == 1, "the first acknowledgement")
    device.send(b"one", again=True)
    until(lambda: len(device.came("S", received=1)) == 2, "the second")
    device.send(b"two")
    until(lambda: len(nidd.data()) == 2, "the other uplink")
    assert nidd.data() == [b"one", b"two"] and real.metric("dromio_rds_repeated_total") == before + 1


def test_a_frame_behind_a_lost_one_is_not_taken(both):
    device, nidd = both()
    device.set_ack_mode()
    until(lambda: device.numbers, "the link")
    device.put(Frame("I", b"three", asks=True, sent=2))
    until(lambda: device.came("S", received=0), "what is expected")
    for number, data in enumerate((b"one", b"two", b"three")):
        device.put(Frame("I", data, asks=True, sent=number))
    until(lambda: len(nidd.data()) == 3, "all three")
    assert nidd.data() == [b"one", b"two", b"three"]


def test_many_uplinks_at_once_are_told_in_order(both):
    device, nidd = both(with_code=True)
    device.set_ack_mode()
    until(lambda: device.numbers, "the link")
    boxes = [device.mme.begin_odr(device.imsi, Frame("I", b"%d" % n, asks=n == 29, sent=n % 8).encode()) for n in range(30)]
    assert all(box.get(timeout=20) is not None for box in boxes)
    until(lambda: len(nidd.data()) == 30, "all")
    assert nidd.data() == [b"%d" % n for n in range(30)]
    until(lambda: device.came("S", received=30 % 8), "the acknowledgement")


def test_an_i_frame_acknowledges_too(both):
    device, nidd = both()
    device.loses_up = lambda frame: frame.kind == "S"
    answer = nidd.send(b"down")
    until(lambda: device.taken, "the downlink")
    device.send(b"up")
    until(lambda: answer.status == 200 or nidd.status(answer) == "SUCCESS_ACKNOWLEDGED", "the acknowledgement")
    until(lambda: nidd.data() == [b"up"], "the uplink")


def test_a_device_that_begins_anew_begins_with_zero(both):
    device, nidd = both()
    for data in (b"one", b"two"):
        assert nidd.send(data).json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
    device.numbers.clear()
    device.set_ack_mode()
    until(lambda: device.numbers, "the link")
    device.send(b"up")
    until(lambda: nidd.data() == [b"up"], "the uplink")
    assert nidd.send(b"three").json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
    assert device.came("I")[-1].sent == 0


def test_bad_frames_are_answered_and_named_and_change_nothing(both, real):
    device, nidd = both()
    before = real.metric("dromio_rds_refused_total")
    bad = [b"", b"\x80", b"\xff\xff\xff", b"\x20", b"\x28\x00", b"\x10", b"\x10\x00x", b"\x1f", b"\x3c", Frame("UI", b"x" * 1356).encode(),
           Frame("I", b"no link", asks=True).encode(), Frame("UI", b"nobody's", source=3, destination=4).encode()]
    for octets in bad:
        device.mme.uplink(device.imsi, octets)
    assert real.metric("dromio_rds_refused_total") == before + len(bad)
    words = [str(BUILD / "dromio"), "doctor", "-o", "json", "--host", f"http://127.0.0.1:{real.http_port}", "--token-file", str(real.data / "admin.token")]
    told = subprocess.run(words, capture_output=True, text=True, timeout=60).stdout
    assert '"reliable data"' in told and f"{before + len(bad):.0f} times" in told, told
    reasons = str(real.admin.get(f"/v1/twins/{device.name}/timeline").json())
    for reason in ("it is empty", "shorter than its header", "its function is unknown", "nobody has its ports", "not established"):
        assert reason in reasons, reason
    assert nidd.data() == []
    assert nidd.send(b"still").json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"


# ---- ports ----

def test_ports_lead_to_applications(device, as1, real, sink):
    as2 = real.application("as2", ["acme.example"], ["nidd"])
    made = device()
    one = Nidd(as1, sink, made.name, rdsPorts=[{"portUE": 1, "portSCEF": 2}])
    two = Nidd(as2, sink, made.name, owner="as2", rdsPorts=[{"portUE": 3, "portSCEF": 4}, {"portUE": 3, "portSCEF": 5}])
    made.put(Frame("UI", b"for one"), (1, 2))
    made.put(Frame("UI", b"for two"), (3, 5))
    until(lambda: one.data() and two.data(), "both")
    assert (one.data(), two.data()) == ([b"for one"], [b"for two"])
    assert one.told("data")[0]["rdsPort"] == {"portUE": 1, "portSCEF": 2} and two.told("data")[0]["rdsPort"] == {"portUE": 3, "portSCEF": 5}
    answer = one.send(b"hello")  # its only pair
    assert answer.json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED" and made.taken == [(b"hello", 1, 2)]


def test_each_pair_has_numbers_of_its_own(both):
    device, nidd = both(rdsPorts=[{"portUE": 0, "portSCEF": 15}, {"portUE": 15, "portSCEF": 0}])
    for pair in ({"portUE": 0, "portSCEF": 15}, {"portUE": 15, "portSCEF": 0}, {"portUE": 0, "portSCEF": 15}):
        assert nidd.send(b"x", rdsPort=pair).json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
    assert [(frame.source, frame.destination, frame.sent) for frame in device.came("I")] == [(15, 0, 0), (0, 15, 0), (15, 0, 1)]


def test_unknown_ports_are_refused_on_both_sides(both):
    device, nidd = both(rdsPorts=[{"portUE": 1, "portSCEF": 1}])
    answer = nidd.send(b"x", rdsPort={"portUE": 2, "portSCEF": 2})
    assert answer.status == 403 and answer.json()["cause"] == "RDS_PORT_UNKNOWN", answer
    device.set_ack_mode((2, 2))
    until(lambda: device.came("U", is_response=True, function=SET_UNACK_MODE), "the refusal")


def test_a_frame_has_less_room(both):
    device, nidd = both()
    assert nidd.json["maximumPacketSize"] == 1355
    assert nidd.send(b"x" * 1356).json()["cause"] == "DATA_TOO_LARGE"
    assert nidd.send(b"x" * 1355).json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"


# ---- ports while a configuration is in force ----

def test_ports_are_reserved_once_the_device_agrees(both):
    device, nidd = both()
    answer = nidd.reserve(3, 7, supportedFormats=["CBOR", "JSON"], configuredFormat="JSON")
    assert answer.status == 202, answer
    until(lambda: nidd.told("managedPorts"), "the notification")
    port = {"self": nidd.location + "/rds-ports/ue3-ef7", "appId": "meter", "manageEntity": "AS", "supportedFormats": ["CBOR", "JSON"], "configuredFormat": "JSON"}
    assert nidd.told("managedPorts") == [{"niddConfiguration": nidd.location, "externalId": device.name, "managedPorts": [port]}]
    assert device.managed == [(False, Ports(RESERVE, 0, ((7, 3, 3, "meter"),)))]
    assert nidd.client.get(nidd.port(3, 7)).json() == port and nidd.client.get(nidd.at + "/rds-ports").json() == [port]
    assert nidd.send(b"hello", rdsPort={"portUE": 3, "portSCEF": 7}).json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
    assert device.taken == [(b"hello", 3, 7)]
    device.put(Frame("UI", b"up"), (3, 7))
    until(nidd.data, "the uplink")
    assert nidd.reserve(3, 7).status == 409
    assert nidd.client.delete(nidd.port(3, 7)).status == 204
    until(lambda: device.managed[-1][1].action == RELEASE, "the release")
    assert nidd.client.get(nidd.port(3, 7)).status == 404 and nidd.client.delete(nidd.port(3, 7)).status == 404
    assert nidd.client.get(nidd.at + "/rds-ports").json() == []
    assert nidd.send(b"x", rdsPort={"portUE": 3, "portSCEF": 7}).json()["cause"] == "RDS_PORT_UNKNOWN"


def test_a_device_may_refuse_ports(both):
    device, nidd = both()
    device.manages = lambda ports: IN_USE
    assert nidd.reserve(1, 1).status == 202
    told = lambda: [notice for notice in nidd.sink.taken(nidd.path)]  # noqa: E731
    until(told, "the notification")
    assert told() == [{"niddConfiguration": nidd.location, "externalId": device.name}]  # none is reserved
    assert nidd.client.get(nidd.port(1, 1)).status == 404
    device.manages = lambda ports: ACCEPTED
    assert nidd.reserve(1, 1).status == 202
    until(lambda: nidd.client.get(nidd.port(1, 1)).status == 200, "the reservation")


def test_a_question_that_was_lost_is_asked_again_and_given_up(both):
    device, nidd = both()
    lost = []
    device.loses_down = lambda frame: frame.function == MANAGE_PORT and len(lost) < 2 and not lost.append(frame)
    assert nidd.reserve(1, 2).status == 202
    until(lambda: nidd.client.get(nidd.port(1, 2)).status == 200, "the reservation")
    device.loses_down = lambda frame: frame.function == MANAGE_PORT
    device.frames.clear()
    assert nidd.reserve(2, 2).status == 202
    until(lambda: len(nidd.told("managedPorts")) == 2, "the notification")
    assert [port["self"] for port in nidd.told("managedPorts")[-1]["managedPorts"]] == [nidd.location + "/rds-ports/ue1-ef2"]
    assert len(device.came("U", function=MANAGE_PORT)) == 4


def test_the_device_need_not_be_asked(both):
    device, nidd = both()
    answer = nidd.reserve(15, 0, skipUeInquiry=True)
    assert answer.status == 201 and answer.headers["Location"] == nidd.location + "/rds-ports/ue15-ef0" == answer.json()["self"]
    assert answer.json()["skipUeInquiry"] is True
    until(lambda: device.managed, "the notice")
    assert device.managed == [(False, Ports(NOTIFY, 0, ((0, 15, 0, "meter"),)))]
    assert nidd.send(b"x", rdsPort={"portUE": 15, "portSCEF": 0}).json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"


def test_a_device_reserves_asks_and_releases(both):
    device, nidd = both(rdsPorts=[{"portUE": 9, "portSCEF": 9}])

    def ask(action, *pairs):
        device.managed.clear()
        device.put(Frame("U", Ports(action, 0, pairs).encode(), function=MANAGE_PORT))
        until(lambda: device.managed, "the answer")
        assert device.managed[0][0], "a response"
        return device.managed[0][1]

    assert ask(RESERVE, (4, 5, 1, "pump")) == Ports(RESERVE, ACCEPTED, ((5, 4, 1, "pump"),))
    until(lambda: nidd.told("managedPorts"), "the notification")
    assert nidd.told("managedPorts")[0]["managedPorts"] == [
        {"self": nidd.location + "/rds-ports/ue4-ef5", "appId": "pump", "manageEntity": "UE", "supportedFormats": ["CBOR"]}]
    assert ask(RESERVE, (4, 5, 1, "pump")).status == ACCEPTED  # it had not heard the first answer
    assert ask(RESERVE, (8, 8, 0, "x"), (9, 9, 0, "y")).status == IN_USE  # all or none
    assert ask(QUERY).pairs == ((5, 4, 1, "pump"),)
    assert nidd.reserve(4, 5).status == 409
    device.put(Frame("UI", b"from the pump"), (4, 5))
    until(lambda: nidd.data() == [b"from the pump"], "the uplink")
    assert ask(RELEASE, (4, 5, 0, "")).status == ACCEPTED and ask(RELEASE, (4, 5, 0, "")).status == UNKNOWN
    assert ask(QUERY).pairs == ()
    assert nidd.client.get(nidd.at + "/rds-ports").json() == []


def test_bad_ports_are_refused(both, real):
    device, nidd = both()
    for name in ("ue16-ef0", "ue0-ef16", "ue1", "ue01-ef1", "ue1-ef1x", "ef1-ue1", "ue-ef", "ue1-ef"):
        assert nidd.client.put(f"{nidd.at}/rds-ports/{name}", {"appId": "x"}).status == 404, name
    for body in ({}, {"appId": 5}, {"appId": ""}, {"appId": "x" * 65}, {"appId": "x", "skipUeInquiry": 1}, {"appId": "x", "supportedFormats": []},
                 {"appId": "x", "supportedFormats": ["YAML"]}, {"appId": "x", "configuredFormat": "yes"}, []):
        assert nidd.client.put(nidd.port(1, 1), body).status == 400, body
    for number in range(16):
        assert nidd.reserve(number, 1, skipUeInquiry=True).status == 201
    assert nidd.reserve(0, 2).json()["cause"] == "QUOTA_EXCEEDED"
    before = real.metric("dromio_rds_refused_total")
    device.put(Frame("U", b"\x10\x11\x00\x09short", function=MANAGE_PORT))
    assert real.metric("dromio_rds_refused_total") == before + 1
    other = Nidd(real.application("as3", ["acme.example"], ["nidd"]), nidd.sink, device.name, owner="as3", reliableDataService=False)
    assert other.reserve(1, 9).json()["cause"] == "OPERATION_NOT_ALLOWED"
    assert other.client.get(nidd.port(1, 1)).status == 403


# ---- what survives ----

def test_numbers_survive_a_kill(names):
    with Host(*SETTINGS) as host, Sink() as sink:
        client = host.application("as1", ["acme.example"], ["nidd"])
        name, imsi = next(names)
        assert host.admin.put(f"/v1/twins/{name}", {"imsi": imsi}).status == 201
        with Mme(host) as mme:
            mme.attach(imsi)
            device = Device(mme, imsi)
            nidd = Nidd(client, sink, name)
            for data in (b"one", b"two"):
                assert nidd.send(data).json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
            device.send(b"up")
            until(lambda: nidd.data() == [b"up"], "the uplink")
            assert nidd.reserve(0, 0, skipUeInquiry=True).status == 201 and nidd.reserve(1, 2).status == 202
            until(lambda: len(nidd.client.get(nidd.at + "/rds-ports").json()) == 2, "the ports")
            device.loses_up = lambda frame: frame.kind == "S"
            answer = nidd.send(b"three")  # the device has it, the host does not know
            until(lambda: len(device.taken) == 3, "the downlink")
            assert answer.json()["deliveryStatus"] == "SENDING"
            host.kill()
        host.start()
        with Mme(host) as mme:
            device.mme, device.loses_up = mme, lambda frame: False
            mme.on_downlink = device.on_downlink
            device.frames.clear()
            device.put(Frame("UI", b"a contact"))  # the same bytes under the same number: the device drops them
            until(lambda: nidd.status(answer) == "SUCCESS_ACKNOWLEDGED", "the acknowledgement")
            assert (device.came("I")[0].sent, device.came("I")[0].data) == (2, b"three")
            device.send(b"up", again=True)  # the same N(S) as before the kill
            device.send(b"up two")
            until(lambda: list(dict.fromkeys(nidd.data())) == [b"up", b"a contact", b"up two"], "the other uplinks")  # told at least once
            assert [data for data, *_ in device.taken] == [b"one", b"two", b"three"] and not device.came("U")
            assert nidd.send(b"four").json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
            assert nidd.client.get(nidd.port(1, 2)).json()["appId"] == "meter"
            assert nidd.client.delete(nidd.at).status == 204


def test_a_device_that_asks_without_end_takes_nobodys_room(names):
    """Set-ups of all pairs of ports, and questions with long answers, while it takes nothing itself."""
    with Host(*SETTINGS, "downlink.packets=16") as host, Sink() as sink:
        client = host.application("as1", ["acme.example"], ["nidd"])
        name, imsi = next(names)
        assert host.admin.put(f"/v1/twins/{name}", {"imsi": imsi}).status == 201
        with Mme(host, on_downlink=lambda downlink: is_asleep()) as mme:
            mme.attach(imsi)
            device = Device(mme, imsi)
            device.answers = is_asleep()
            nidd = Nidd(client, sink, name)
            for pair in itertools.product(range(16), range(16)):
                device.set_ack_mode(pair)
            for port in range(16):
                device.put(Frame("U", Ports(RESERVE, 0, ((port, port, 1, "a" * 64),)).encode(), function=MANAGE_PORT))
                device.put(Frame("U", Ports(QUERY).encode(), function=MANAGE_PORT))
            assert host.metric("dromio_mailbox_downlinks") == 8
            assert host.metric("dromio_rds_dropped_total") >= 256 - 8
            sent = [nidd.send(b"%d" % number, reliableDataService=False) for number in range(17)]
            assert [answer.status for answer in sent] == [201] * 16 + [403], sent
            assert sent[-1].json()["cause"] == "QUOTA_EXCEEDED"
            host.kill()
        host.start()
        assert host.metric("dromio_mailbox_downlinks") == 16 + 8
        assert host.metric("dromio_fields_dropped_total") == 0
        with Mme(host) as mme:
            device.mme, device.answers = mme, 2001
            mme.on_downlink = device.on_downlink
            device.put(Frame("UI", b"awake"))
            until(lambda: [data for data, *_ in device.taken] == [b"%d" % number for number in range(16)], "all downlinks")


def test_a_new_connection_begins_anew(both):
    device, nidd = both()
    assert nidd.send(b"one").json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
    device.mme.attach(device.imsi)
    assert nidd.send(b"two").json()["deliveryStatus"] == "SUCCESS_ACKNOWLEDGED"
    assert [frame.kind for frame in device.frames] == ["U", "I", "U", "I"] and device.came("I")[-1].sent == 0


# ---- off ----

def test_it_is_off_unless_it_is_switched_on(names):
    with Host(SETTINGS[0]) as host, Sink() as sink, Mme(host) as mme:
        client = host.application("as1", ["acme.example"], ["nidd"])
        name, imsi = next(names)
        assert host.admin.put(f"/v1/twins/{name}", {"imsi": imsi}).status == 201
        mme.attach(imsi)
        came = []
        mme.on_downlink = lambda downlink: came.append(downlink.data) or 2001
        nidd = Nidd(client, sink, name, supportedFeatures="ffff")
        answer = nidd.reserve(1, 1)
        assert answer.status == 403 and answer.json()["cause"] == "OPERATION_NOT_ALLOWED", answer
        assert "t8.reliable_data_service" in answer.json()["detail"] and nidd.client.get(nidd.at + "/rds-ports").status == 403
        assert nidd.json["supportedFeatures"] == "0" and nidd.json["maximumPacketSize"] == 1358
        answer = nidd.send(b"x", reliableDataService=True)
        assert answer.status == 500 and answer.json()["problemDetail"]["cause"] == "FAILURE_RDS_DISABLED", answer
        assert "t8.reliable_data_service" in answer.json()["problemDetail"]["detail"]
        assert nidd.send(b"plain").json()["deliveryStatus"] == "SUCCESS_NEXT_HOP_UNACKNOWLEDGED" and came == [b"plain"]
        mme.uplink(imsi, Frame("UI", b"as it is").encode())
        until(nidd.data, "the uplink")
        assert nidd.data() == [Frame("UI", b"as it is").encode()] and "reliableDataService" not in nidd.told("data")[0]


def test_without_it_a_configuration_sends_bytes_as_they_are(both):
    device, nidd = both(reliableDataService=False)
    came = []
    device.mme.on_downlink = lambda downlink: came.append(downlink.data) or 2001
    assert nidd.send(b"plain").json()["deliveryStatus"] == "SUCCESS_NEXT_HOP_UNACKNOWLEDGED" and came == [b"plain"]
    answer = nidd.send(b"x", reliableDataService=True)
    assert answer.json()["problemDetail"]["cause"] == "FAILURE_RDS_DISABLED", answer


def test_features_are_offered_when_it_is_on(both):
    _, nidd = both(supportedFeatures="ffff")
    assert int(nidd.json["supportedFeatures"], 16) & 0x28 == 0x28
    _, other = both(supportedFeatures="8")
    assert other.json["supportedFeatures"] == "8"
