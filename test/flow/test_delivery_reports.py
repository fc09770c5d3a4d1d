"""End-to-end acknowledgement: what a twin says of an application's downlink (TS 29.122, deliveryStatus SUCCESS_ACKNOWLEDGED)."""
import datetime

import pytest
from host import Host, until
from mme import Mme, avp, is_asleep, V3GPP
from sink import Sink
from t8 import CALLBACKS, b64, path_of
from test_images import from_c, with_model

# A downlink goes out as it came behind 0xA0 and its number's last byte. What the twin does with it is its first byte:
# 'a' awaits the device's word, 'l' sends later by itself, anything else says nothing. Uplinks: 0x01 yes, 0x02 no, and the number.
MESSENGER = r"""
#define IMPORT(name) __attribute__((import_module("dromio"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))
typedef unsigned char u8; typedef unsigned int u32; typedef int i32; typedef long long i64;
IMPORT(ticket) void ticket(i64 ticket, i32 state, const u8 *reason, i32 length);
IMPORT(downlink) void downlink(const u8 *bytes, i32 length, i32 merge_key, i32 expiry_s);
EXPORT(dromio_abi_1) void dromio_abi_1(void) {}
static u8 buffer[2048] __attribute__((aligned(16)));
static u8 frame[64];
static u32 numbers[256];
EXPORT(dromio_event_buffer) u8 *dromio_event_buffer(void) { return buffer; }
EXPORT(dromio_event) i32 dromio_event(u32 kind, u32 id, u32 length)
{
    if (kind == 8) {
        u8 short_id = (u8)id;
        numbers[short_id] = id;
        if (buffer[0] == 'a' || buffer[0] == 'l') ticket(0, 1, 0, 0);
        if (buffer[0] == 'n') return 0;
        if (buffer[0] == 'l') return 0;
        frame[0] = 0xA0; frame[1] = short_id;
        for (u32 i = 0; i < length && i < 60; i++) frame[2 + i] = buffer[i];
        downlink(frame, (i32)(2 + length), 0, 0);
        return 0;
    }
    if (kind == 3 && length == 2) {
        ticket((i64)numbers[buffer[1]], buffer[0] == 1 ? 3 : 4, (const u8 *)"said so", 7);
        return 0;
    }
    return kind <= 2 ? 0 : 1;
}
"""
MODEL = {"@context": "https://www.w3.org/2022/wot/td/v1.1", "@type": "tm:ThingModel", "title": "Messenger", "version": {"model": "1.0.0"},
         "dromio:model": "acme/messenger", "properties": {"unused": {"type": "integer", "readOnly": True}}}


class Messenger:
    def __init__(self, host, sink, client, mme, name, imsi, image):
        self.host, self.sink, self.client, self.mme, self.name, self.imsi = host, sink, client, mme, name, imsi
        host.admin.put_twin(name, image=image, imsi=imsi)
        mme.attach(imsi)
        answer = client.post("/3gpp-nidd/v1/as1/configurations", {"externalId": name, "notificationDestination": sink.link("/" + imsi)})
        assert answer.status == 201, answer
        self.at = self.path(answer.headers["Location"])

    @staticmethod
    def path(link):
        return path_of(link)

    def send(self, data, **members):
        return self.client.post(self.at + "/downlink-data-deliveries", {"externalId": self.name, "data": b64(data), **members})

    def status(self, link):
        return self.client.get(self.path(link)).json()["deliveryStatus"]

    def told(self):
        return [told["deliveryStatus"] for told in self.sink.taken("/" + self.imsi) if "deliveryStatus" in told]

    def says(self, kind, number):
        self.mme.uplink(self.imsi, bytes([kind, number]))


@pytest.fixture(scope="module")
def wasm(tmp_path_factory):
    return with_model(from_c(tmp_path_factory.mktemp("messenger"), MESSENGER), MODEL)


@pytest.fixture(scope="module")
def world(wasm):
    with Host(CALLBACKS) as host, Sink() as sink:
        client = host.application("as1", ["acme.example"], ["nidd"])
        yield host, sink, client, host.push(wasm).json()["image"]
        client.close()


@pytest.fixture
def messenger(world, names):
    host, sink, client, image = world
    with Mme(host) as mme:
        yield Messenger(host, sink, client, mme, *next(names), image)


def test_an_awaited_downlink_ends_with_the_devices_word(messenger):
    answer = messenger.send(b"a1")
    link = answer.headers["Location"]
    assert (answer.status, answer.json()["deliveryStatus"]) == (201, "SENDING"), answer
    number = messenger.mme.downlinks.get(timeout=20).data[1]
    assert messenger.client.delete(messenger.path(link)).status == 409  # the device has it
    assert messenger.told() == []
    messenger.says(1, number)
    until(lambda: messenger.told() == ["SUCCESS_ACKNOWLEDGED"], "the device's word")
    assert messenger.status(link) == "SUCCESS_ACKNOWLEDGED"


def test_the_device_may_refuse(messenger):
    link = messenger.send(b"a2").headers["Location"]
    messenger.says(2, messenger.mme.downlinks.get(timeout=20).data[1])
    until(lambda: messenger.told() == ["FAILURE"], "the device's word")
    assert messenger.status(link) == "FAILURE"


def test_a_device_that_says_nothing_in_time_has_not_acknowledged(messenger):
    link = messenger.send(b"a3", maximumLatency=1).headers["Location"]
    messenger.mme.downlinks.get(timeout=20)
    until(lambda: messenger.told() == ["SUCCESS_UNACKNOWLEDGED"], "the end of its time")
    assert messenger.status(link) == "SUCCESS_UNACKNOWLEDGED"


def test_a_twin_that_awaits_nothing_may_still_report(messenger):
    messenger.mme.on_downlink = lambda downlink: [avp(268, 2001), avp(4321, 1, V3GPP, m=False)]
    answer = messenger.send(b"x")
    assert (answer.status, answer.json()["deliveryStatus"]) == (200, "SUCCESS_NEXT_HOP_ACKNOWLEDGED"), answer
    messenger.says(1, messenger.mme.downlinks.get(timeout=20).data[1])
    until(lambda: messenger.told() == ["SUCCESS_ACKNOWLEDGED"], "the device's word")
    messenger.says(2, 0)  # of nothing that is known
    assert messenger.told() == ["SUCCESS_ACKNOWLEDGED"]


def test_a_twin_may_take_its_time_to_send(messenger):
    answer = messenger.send(b"later")
    assert (answer.status, answer.json()["deliveryStatus"]) == (201, "SENDING"), answer
    answer = messenger.send(b"no")
    assert (answer.status, answer.json()["problemDetail"]["cause"]) == (500, "FAILURE"), answer


def test_a_word_that_comes_before_the_network_answers_counts(messenger):
    messenger.mme.on_downlink = lambda downlink: is_asleep()
    answer = messenger.send(b"a4")
    assert answer.json()["deliveryStatus"] == "BUFFERING_TEMPORARILY_NOT_REACHABLE"
    number = messenger.mme.downlinks.get(timeout=20).data[1]
    messenger.mme.on_downlink = lambda downlink: 2001
    messenger.says(1, number)  # it came all the same
    until(lambda: messenger.told()[-1:] == ["SUCCESS_ACKNOWLEDGED"], "the device's word")
    assert messenger.host.admin.twin(messenger.name)["mailbox"] == 0


def test_what_is_awaited_survives_a_kill(wasm, names):
    with Host(CALLBACKS) as host, Sink() as sink:
        client = host.application("as1", ["acme.example"], ["nidd"])
        image = host.push(wasm).json()["image"]
        with Mme(host) as mme:
            messenger = Messenger(host, sink, client, mme, *next(names), image)
            link = messenger.send(b"a5").headers["Location"]
            number = mme.downlinks.get(timeout=20).data[1]
            until(lambda: host.admin.twin(messenger.name)["mailbox"] == 0, "the network's answer")
        host.kill()
        host.start()
        client.close()
        assert messenger.status(link) == "SENDING"
        with Mme(host) as mme:
            messenger.mme = mme
            messenger.says(1, number)
            until(lambda: messenger.told() == ["SUCCESS_ACKNOWLEDGED"], "the device's word")
        client.close()
