"""A twin triggers its own device, and a downlink with SEND_TRIGGER does: the host's own triggers."""
import itertools

import pytest
from host import LIMIT_S, Events, Host, until
from mme import Mme, result_of
from t8 import CALLBACKS, b64, path_of
from test_images import from_c, with_model
from trigger import EXPIRED, SUCCESS, UNDELIVERABLE, MtcIwf

# An uplink 't' and a number triggers the device with what follows; what becomes of it is the property `outcome`, and 'r' in front triggers again then.
WAKER = r"""
#define IMPORT(name) __attribute__((import_module("dromio"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))
typedef unsigned char u8; typedef unsigned int u32; typedef int i32; typedef long long i64;
IMPORT(trigger) void trigger(i32 number, i32 port, const u8 *bytes, i32 length, i32 validity_s);
IMPORT(property_set_integer) void property_set_integer(i32 property, i64 value, i32 quality);
EXPORT(dromio_abi_1) void dromio_abi_1(void) {}
static u8 buffer[2048] __attribute__((aligned(16)));
static u32 again;
EXPORT(dromio_event_buffer) u8 *dromio_event_buffer(void) { return buffer; }
EXPORT(dromio_event) i32 dromio_event(u32 kind, u32 id, u32 length)
{
    if (kind == 3 && length >= 2 && (buffer[0] == 't' || buffer[0] == 'r')) {
        again = buffer[0] == 'r';
        trigger(buffer[1], 4711, buffer + 2, (i32)(length - 2), 60);
        return 0;
    }
    if (kind == 3 && length == 1 && buffer[0] == 'x') __builtin_trap();
    if (kind == 11 && length == 1) {
        property_set_integer(0, (i64)(id * 100 + buffer[0]), 0);
        if (again) trigger((i32)id, 1, buffer, 1, 60);
        return 0;
    }
    return kind <= 2 ? 0 : 1;
}
"""
MODEL = {"@context": "https://www.w3.org/2022/wot/td/v1.1", "@type": "tm:ThingModel", "title": "Waker", "version": {"model": "1.0.0"},
         "dromio:model": "acme/waker", "properties": {"outcome": {"type": "integer", "readOnly": True}}}


NIDD = "/3gpp-nidd/v1/as1/configurations"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    wasm = with_model(from_c(tmp_path_factory.mktemp("waker"), WAKER), MODEL)
    with Host(CALLBACKS, "t8.trigger_port=99") as host:
        host.waker = host.push(wasm).json()["image"]
        yield host


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["nidd", "trigger"])


@pytest.fixture
def iwf(real):
    with MtcIwf(real) as peer:
        yield peer


class Waker:
    numbers = itertools.count(1)

    def __init__(self, host, mme):
        number = next(self.numbers)
        self.host, self.mme, self.name, self.imsi = host, mme, f"w{number}@acme.example", f"00103{number:010d}"
        host.admin.put_twin(self.name, image=host.waker, imsi=self.imsi)
        mme.attach(self.imsi)

    def says(self, data):
        self.mme.uplink(self.imsi, data)

    def outcome(self):
        return self.host.admin.value(self.name, "outcome")

    def hears(self, number):
        until(lambda: self.outcome() == number, f"the outcome {number}, not {self.outcome()}")

    def timeline(self, query=""):
        return self.host.admin.get(f"/v1/twins/{self.name}/timeline{query}").json()["events"]


@pytest.fixture
def waker(real, mme):
    return Waker(real, mme)


def test_a_twin_triggers_its_device_and_hears_what_became_of_it(waker, iwf):
    waker.says(b"t\x05wake")
    asked = iwf.asked.get(timeout=LIMIT_S)
    assert (asked.name, asked.payload, asked.port, asked.validity, asked.sender) == (waker.name, b"wake", 4711, 60, None)
    assert result_of(iwf.tell(asked.reference, SUCCESS, end=5)) == 2001
    waker.hears(500)
    assert result_of(iwf.tell(asked.reference, UNDELIVERABLE, end=5, is_again=True)) == 2001  # it has ended
    assert waker.outcome() == 500
    assert [event["kind"] for event in waker.timeline()].count("trigger_outcome") == 1
    rows = [event for event in waker.timeline("?network=true") if event["kind"] == "trigger"]
    assert [(row["outcome"], row["network"]["reference"]) for row in rows] == [("TRIGGERED", asked.reference)], rows


def test_the_event_stream_tells_of_triggers(waker, iwf):
    with Events(waker.host.admin, f"?twin={waker.name}") as events:
        waker.says(b"t\x06wake")
        reference = iwf.asked.get(timeout=LIMIT_S).reference
        wanted, sent = (events.next("dromio.trigger.v1")["cloud"]["data"] for _ in range(2))
        assert (wanted["result"], sent["result"], sent["reference"], sent["trigger"]) == ("WANTED", "TRIGGERED", reference, wanted["trigger"])
        iwf.tell(reference, SUCCESS)
        assert events.next("dromio.trigger.v1")["cloud"]["data"]["result"] == "SUCCESS"


@pytest.mark.parametrize("outcome, number", [(EXPIRED, 701), (UNDELIVERABLE, 702), (4, 703), (9, 704)])
def test_each_outcome(waker, iwf, outcome, number):
    waker.says(b"t\x07wake")
    assert result_of(iwf.tell(iwf.asked.get(timeout=LIMIT_S).reference, outcome)) == 2001
    waker.hears(number)


def test_one_at_a_time_and_one_a_minute(waker, iwf):
    waker.says(b"r\x01wake")
    waker.says(b"r\x02wake")
    first = iwf.asked.get(timeout=LIMIT_S)
    assert result_of(iwf.tell(first.reference, SUCCESS)) == 2001
    waker.hears(100)
    waker.says(b"t\x03wake")
    lines = [line for event in waker.timeline() for line in event["log"]]
    assert sum("a trigger is left out" in line for line in lines) == 3, lines  # the two uplinks, and at once behind the outcome
    assert iwf.asked.empty()


def test_what_the_network_refuses_the_twin_hears(waker, iwf):
    iwf.on_asked = lambda asked: iwf.said(asked, 105)
    waker.says(b"t\x09wake")
    waker.hears(902)


def test_without_anybody_who_triggers_the_twin_hears_that_it_failed(tmp_path):
    wasm = with_model(from_c(tmp_path, WAKER), MODEL)
    with Host() as host, Mme(host) as mme:
        host.waker = host.push(wasm).json()["image"]
        made = Waker(host, mme)
        made.says(b"t\x03wake")
        made.hears(302)


def test_a_trigger_of_a_twin_survives_kill(tmp_path):
    wasm = with_model(from_c(tmp_path, WAKER), MODEL)
    with Host() as host:
        host.waker = host.push(wasm).json()["image"]
        with Mme(host) as mme, MtcIwf(host, on_asked=lambda asked: None) as iwf:
            made = Waker(host, mme)
            made.says(b"t\x04wake")
            first = iwf.asked.get(timeout=LIMIT_S)  # asked, and no answer
            host.kill()
        host.start()
        with MtcIwf(host) as iwf:
            again = iwf.asked.get(timeout=LIMIT_S)
            assert again.reference == first.reference
            assert result_of(iwf.tell(again.reference, SUCCESS, end=9)) == 2001
            made.hears(400)
            host.kill()
        host.start()
        assert made.outcome() == 400
        with MtcIwf(host) as iwf:
            assert result_of(iwf.tell(again.reference, SUCCESS, end=9, is_again=True)) == 2001
        assert [event["kind"] for event in made.timeline()].count("trigger_outcome") == 1


# ---- SEND_TRIGGER ----

class Sleeper:
    numbers = itertools.count(1)

    def __init__(self, host, client, sink):
        number = next(self.numbers)
        self.host, self.client, self.sink = host, client, sink
        self.name, self.imsi, self.path = f"z{number}@acme.example", f"00104{number:010d}", f"/z{number}"
        host.admin.put_twin(self.name, imsi=self.imsi)
        answer = client.post(NIDD, {"externalId": self.name, "notificationDestination": sink.link(self.path)})
        assert answer.status == 201, answer
        self.at = path_of(answer)

    def send(self, data, **members):
        return self.client.post(self.at + "/downlink-data-deliveries", {"externalId": self.name, "data": b64(data), "pdnEstablishmentOption": "SEND_TRIGGER",
                                                                        **members})

    def status(self, answer):
        return self.client.get(path_of(answer)).json()["deliveryStatus"]

    def told(self):
        return [told["deliveryStatus"] for told in self.sink.taken(self.path) if "deliveryStatus" in told]


@pytest.fixture
def sleeper(real, as1, sink):
    return Sleeper(real, as1, sink)


def test_a_downlink_triggers_a_device_without_connection(sleeper, iwf, mme):
    answer = sleeper.send(b"\x01down", maximumLatency=600)
    assert (answer.status, answer.json()["deliveryStatus"]) == (201, "TRIGGERED"), answer
    asked = iwf.asked.get(timeout=LIMIT_S)
    assert (asked.name, asked.payload, asked.port) == (sleeper.name, b"", 99) and 590 <= asked.validity <= 600
    other = sleeper.send(b"\x02down")
    assert other.json()["deliveryStatus"] == "TRIGGERED"  # the same trigger is for both
    assert result_of(iwf.tell(asked.reference, SUCCESS)) == 2001
    assert sleeper.status(answer) == "TRIGGERED"
    mme.attach(sleeper.imsi)
    got = {mme.downlinks.get(timeout=LIMIT_S).data for _ in range(2)}
    assert got == {b"\x01down", b"\x02down"}
    until(lambda: sleeper.told() == ["SUCCESS_NEXT_HOP_UNACKNOWLEDGED"] * 2, "their ends")
    assert iwf.asked.empty()


def test_a_trigger_that_fails_leaves_the_downlink_waiting_and_is_told(sleeper, iwf, mme):
    answer = sleeper.send(b"down")
    assert result_of(iwf.tell(iwf.asked.get(timeout=LIMIT_S).reference, UNDELIVERABLE)) == 2001
    until(lambda: sleeper.told() == ["BUFFERING"], "that it waits")
    assert sleeper.status(answer) == "BUFFERING"
    mme.attach(sleeper.imsi)
    assert mme.downlinks.get(timeout=LIMIT_S).data == b"down"


def test_a_connected_device_is_not_triggered(sleeper, iwf, mme):
    mme.attach(sleeper.imsi)
    assert sleeper.send(b"now").status in (200, 201)
    assert mme.downlinks.get(timeout=LIMIT_S).data == b"now"
    assert iwf.asked.empty()


def test_without_anybody_who_triggers_it_waits(sink):
    with Host(CALLBACKS) as host:
        sleeper = Sleeper(host, host.application("as1", ["acme.example"], ["nidd"]), sink)
        answer = sleeper.send(b"down")
        assert (answer.status, answer.json()["deliveryStatus"]) == (201, "BUFFERING"), answer
