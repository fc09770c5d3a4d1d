"""Downlinks that wait: their bounds, those that wait in the log only, and what is told of them."""
import contextlib
import datetime
import itertools
import random

import pytest
from host import Host, until
from mme import RELEASE, Mme, is_asleep, result_of
from segments import Damage, logs, sealed
from sink import Sink
from t8 import CALLBACKS, b64, path_of

BASE = "/3gpp-nidd/v1/as1/configurations"


class Device:
    """A plain twin with a configuration of an application."""

    def __init__(self, host, client, sink, name, imsi, **members):
        self.client, self.name, self.imsi, self.sink = client, name, imsi, sink
        answer = host.admin.put(f"/v1/twins/{name}", {"imsi": imsi})
        assert answer.status == 201, answer
        self.told_at = f"/{imsi}"
        answer = client.post(BASE, {"externalId": name, "notificationDestination": sink.link(self.told_at), **members})
        assert answer.status == 201, answer
        self.at = path_of(answer)
        self.deliveries = self.at + "/downlink-data-deliveries"

    def send(self, data, **members):
        return self.client.post(self.deliveries, {"externalId": self.name, "data": b64(data), **members})

    def statuses(self):
        return [told["deliveryStatus"] for told in self.sink.taken(self.told_at) if "deliveryStatus" in told]


@contextlib.contextmanager
def running(*settings):
    with Host(CALLBACKS, *settings, thermo=False) as host, Sink() as sink:
        client = host.application("as1", ["acme.example"], ["nidd"])
        yield host, sink, client
        client.close()


def make(host, client, sink, names, count):
    return [Device(host, client, sink, *next(names)) for _ in range(count)]


def taken(mme, count):
    """{imsi: frames in order} of the next `count` downlinks."""
    found = {}
    for _ in range(count):
        downlink = mme.downlinks.get(timeout=30)
        found.setdefault(downlink.imsi, []).append(downlink.data)
    return found


# ---- bounds ----

def test_a_device_has_so_many_packets_waiting_and_no_more(names):
    with running("downlink.packets=3") as (host, sink, client):
        device, = make(host, client, sink, names, 1)
        for n in range(3):
            assert device.send(b"%d" % n).status == 201
        answer = device.send(b"3")
        assert (answer.status, answer.json()["cause"]) == (403, "QUOTA_EXCEEDED"), answer
        with Mme(host) as mme:
            mme.attach(device.imsi)
            assert taken(mme, 3) == {device.imsi: [b"0", b"1", b"2"]}
            until(lambda: host.admin.twin(device.name)["mailbox"] == 0, "an empty mailbox")
            assert device.send(b"4").status == 200


def test_a_device_has_so_many_bytes_waiting_and_ended_ones_make_room(names):
    with running('downlink.bytes="4KiB"') as (host, sink, client):
        device, = make(host, client, sink, names, 1)
        count = 0
        while (answer := device.send(bytes(500))).status == 201:
            count += 1
        assert 4 <= count <= 8 and (answer.status, answer.json()["cause"]) == (403, "QUOTA_EXCEEDED"), answer
        with Mme(host) as mme:
            mme.attach(device.imsi)
            taken(mme, count)
            until(lambda: host.admin.twin(device.name)["mailbox"] == 0, "an empty mailbox")
            for n in range(20):
                assert device.send(bytes(500)).status == 200
        assert len(client.get(device.deliveries).json()) < 8


def test_what_is_too_large_to_wait_goes_now_or_fails(names):
    with running("downlink.size=100") as (host, sink, client), Mme(host) as mme:
        device, = make(host, client, sink, names, 1)
        answer = device.send(bytes(101))
        assert (answer.status, answer.json()["problemDetail"]["cause"]) == (500, "FAILURE_TEMPORARILY_NOT_REACHABLE"), answer
        assert device.send(bytes(100)).status == 201
        mme.attach(device.imsi)
        assert taken(mme, 1) == {device.imsi: [bytes(100)]}
        until(lambda: host.admin.twin(device.name)["mailbox"] == 0, "an empty mailbox")
        assert device.send(bytes(101)).status == 200
        when = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).replace(microsecond=0)
        mme.on_downlink = lambda downlink: is_asleep(when)
        answer = device.send(bytes(101))  # tried, and the device sleeps
        assert (answer.status, answer.json()["problemDetail"]["cause"]) == (500, "FAILURE_TEMPORARILY_NOT_REACHABLE"), answer
        assert datetime.datetime.fromisoformat(answer.json()["requestedRetransmissionTime"].replace("Z", "+00:00")) == when
        assert host.admin.twin(device.name)["mailbox"] == 0


def test_no_latency_is_for_a_device_that_is_there(names):
    with running() as (host, sink, client), Mme(host) as mme:
        device, = make(host, client, sink, names, 1)
        mme.attach(device.imsi)
        mme.on_downlink = lambda downlink: is_asleep()
        answer = device.send(b"now", maximumLatency=0)
        assert (answer.status, answer.json()["problemDetail"]["cause"]) == (500, "FAILURE_TEMPORARILY_NOT_REACHABLE"), answer
        assert host.admin.twin(device.name)["mailbox"] == 0


def test_the_age_of_the_host_ends_a_wait(names):
    with running("downlink.age=1") as (host, sink, client):
        device, = make(host, client, sink, names, 1)
        assert device.send(b"soon stale").status == 201
        until(lambda: device.statuses() == ["FAILURE_TIMEOUT"], "its end")
        assert host.admin.twin(device.name)["mailbox"] == 0


# ---- beyond memory ----

SMALL = ('downlink.memory="64KiB"', 'log.segment="1MiB"', 'log.replay="1MiB"', "log.timeline=0")
DEVICES, PACKETS = 60, 12


@contextlib.contextmanager
def filled(names, *settings):
    """Many devices for which more waits than memory holds."""
    with running(*settings) as (host, sink, client):
        devices = make(host, client, sink, names, DEVICES)
        for n in range(PACKETS):
            for device in devices:
                answer = device.send(b"%02d" % n + bytes(100), priority=n % 2)
                assert (answer.status, answer.json()["deliveryStatus"]) == (201, "BUFFERING"), answer
        yield host, sink, client, devices


@pytest.fixture
def many(names):
    with filled(names, *SMALL) as made:
        yield made


def in_order():
    return [b"%02d" % n + bytes(100) for n in [*range(1, PACKETS, 2), *range(0, PACKETS, 2)]]


def is_bounded(host):
    return host.metric("dromio_downlink_bytes") <= 64 << 10


def test_what_waits_longest_waits_in_the_log_and_arrives_all_the_same(many):
    host, sink, client, devices = many
    assert host.metric("dromio_mailbox_downlinks") == DEVICES * PACKETS
    until(lambda: is_bounded(host), "little in memory")
    assert host.metric("dromio_downlinks_away") > DEVICES * PACKETS / 2
    assert all(host.admin.twin(device.name)["mailbox"] == PACKETS for device in devices)
    with Mme(host) as mme:
        for device in devices:
            mme.attach(device.imsi)
        found = taken(mme, DEVICES * PACKETS)
        until(lambda: host.metric("dromio_mailbox_downlinks") == 0, "empty mailboxes")
    assert found == {device.imsi: in_order() for device in devices}


def test_what_is_away_can_be_read_changed_and_cancelled(many):
    host, sink, client, devices = many
    until(lambda: is_bounded(host), "little in memory")
    first = devices[0]
    shown = client.get(first.deliveries).json()
    assert [one["data"] for one in shown] == [b64(b"%02d" % n + bytes(100)) for n in range(PACKETS)]
    assert len(client.get(first.at).json()["niddDownlinkDataTransfers"]) == PACKETS
    for n, device in enumerate(devices):
        links = [one["self"] for one in client.get(device.deliveries).json()]
        paths = [path_of(link) for link in links]
        assert client.delete(paths[1]).status == 204
        changed = client.request("PATCH", paths[0], {"data": b64(b"new"), "priority": 9}, Content_Type="application/json")
        assert changed.status in (200, 201), changed
        assert device.send(b"last").status == 201
    host.kill()
    host.start()
    client.close()
    assert host.metric("dromio_mailbox_downlinks") == DEVICES * PACKETS
    with Mme(host) as mme:
        for device in devices:
            mme.attach(device.imsi)
        found = taken(mme, DEVICES * PACKETS)
    rest = [frame for frame in in_order() if frame[:2] not in (b"00", b"01")]
    assert found == {device.imsi: [b"new", *rest, b"last"] for device in devices}


def test_a_restart_in_the_middle_of_it_all_loses_and_repeats_nothing_that_was_delivered(many):
    host, sink, client, devices = many
    with Mme(host) as mme:
        for device in devices[::2]:
            mme.attach(device.imsi)
        before = taken(mme, DEVICES * PACKETS // 2)
        until(lambda: host.metric("dromio_mailbox_downlinks") == DEVICES * PACKETS // 2, "their mailboxes empty")
    for _ in range(2):
        host.kill()
        host.start()
        client.close()
        assert host.metric("dromio_mailbox_downlinks") == DEVICES * PACKETS // 2
        until(lambda: is_bounded(host), "little in memory")
    for device in devices[1::2]:
        assert device.send(b"on top").status == 201  # nothing is read for that
    with Mme(host) as mme:
        for device in devices[1::2]:
            mme.attach(device.imsi)
        after = taken(mme, DEVICES // 2 * (PACKETS + 1))
    even = [frame for frame in in_order() if int(frame[:2]) % 2 == 0]
    odd = [frame for frame in in_order() if int(frame[:2]) % 2 == 1]
    assert before == {device.imsi: odd + even for device in devices[::2]}
    assert after == {device.imsi: odd + even + [b"on top"] for device in devices[1::2]}


def test_the_log_moves_on_under_what_is_away(many, names):
    """Segments are dropped, and what waited in them still arrives."""
    host, sink, client, devices = many
    others = make(host, client, sink, names, 24)  # of every core some

    def segments():
        return {str(path) for path in host.data.rglob("segment-*")}

    with Mme(host) as mme:
        for other in others:
            mme.attach(other.imsi)
        before = segments()
        assert before

        def have_moved():
            boxes = [mme.begin_odr(other.imsi, bytes(1300)) for other in others for _ in range(4)]
            assert all(box.get(timeout=30) for box in boxes)
            return not before & segments()

        until(have_moved, "new segments for all")
        assert host.metric("dromio_mailbox_downlinks") == DEVICES * PACKETS
        for device in devices:
            mme.attach(device.imsi)
        found = taken(mme, DEVICES * PACKETS)
    assert found == {device.imsi: in_order() for device in devices}


def test_another_number_of_cores_takes_along_what_is_away(many):
    host, sink, client, devices = many
    until(lambda: is_bounded(host), "little in memory")
    for number in (2, 1, 3):
        host.settings = (CALLBACKS, *SMALL, f"host.cores={number}")
        host.kill()
        host.start()
        client.close()
        assert host.metric("dromio_mailbox_downlinks") == DEVICES * PACKETS
        until(lambda: is_bounded(host), "little in memory")
    with Mme(host) as mme:
        for device in devices:
            mme.attach(device.imsi)
        found = taken(mme, DEVICES * PACKETS)
    assert found == {device.imsi: in_order() for device in devices}


def chunks_are_few(host, devices):
    return host.metric("dromio_downlink_chunks") <= 16 * devices


def test_many_small_chunks_of_a_device_are_joined(names):
    with running(*SMALL, "downlink.packets=64") as (host, sink, client):
        devices = make(host, client, sink, names, 100)
        often = devices[:4]
        for n in range(48):
            for device in often:
                assert device.send(b"%02d" % n).status == 201
            for device in devices[4 + n * 2:6 + n * 2]:  # fill the memory, so that the others leave
                for _ in range(24):
                    assert device.send(bytes(1300)).status == 201
        until(lambda: host.metric("dromio_downlink_moved_bytes_total") > 0 and chunks_are_few(host, len(devices)), "joined chunks")
        host.kill()
        host.start()
        client.close()
        assert host.metric("dromio_mailbox_downlinks") == 4 * 48 + 96 * 24
        with Mme(host) as mme:
            for device in often:
                mme.attach(device.imsi)
            found = taken(mme, 4 * 48)
        assert found == {device.imsi: [b"%02d" % n for n in range(48)] for device in often}


def test_chunks_are_moved_out_of_old_segments_and_the_log_stays_small(many, names):
    """Downlinks come and go above what waits: the log is written over many times."""
    host, sink, client, devices = many
    others = make(host, client, sink, names, 24)
    before = host.metric("dromio_downlink_moved_bytes_total")
    with Mme(host) as mme:
        for other in others:
            mme.attach(other.imsi)
        until(lambda: is_bounded(host), "little in memory")

        def have_moved():
            boxes = [mme.begin_odr(other.imsi, bytes(1300)) for other in others for _ in range(20)]
            assert all(box.get(timeout=30) for box in boxes)
            return host.metric("dromio_downlink_moved_bytes_total") > before

        until(have_moved, "chunks in new segments")
    host.kill()
    host.start()
    client.close()
    assert host.metric("dromio_mailbox_downlinks") == DEVICES * PACKETS
    with Mme(host) as mme:
        for device in devices:
            mme.attach(device.imsi)
        found = taken(mme, DEVICES * PACKETS)
        until(lambda: host.metric("dromio_mailbox_downlinks") == 0, "empty mailboxes")
    assert found == {device.imsi: in_order() for device in devices}


def test_an_expiry_finds_what_is_away(names):
    with running(*SMALL, "downlink.age=3") as (host, sink, client):
        devices = make(host, client, sink, names, DEVICES)
        for device in devices:
            for n in range(8):
                device.send(bytes(200))
        until(lambda: host.metric("dromio_mailbox_downlinks") == 0, "all of them ended")
        until(lambda: all(device.statuses() == ["FAILURE_TIMEOUT"] * 8 for device in devices), "all notifications")


def test_twins_with_away_downlinks_and_configurations_can_go(many):
    host, sink, client, devices = many
    until(lambda: is_bounded(host), "little in memory")
    for device in devices[:20]:
        assert host.admin.delete(f"/v1/twins/{device.name}").status == 204
    for device in devices[20:40]:
        assert client.delete(device.at).status == 204
    assert host.metric("dromio_mailbox_downlinks") == 20 * PACKETS
    host.kill()
    host.start()
    client.close()
    assert host.metric("dromio_mailbox_downlinks") == 20 * PACKETS
    assert len(client.get(BASE).json()) == 20


NO_CHECKPOINT = (*SMALL[:2], 'log.replay="64MiB"')  # what waits stays where it is


def seal_all(host, mme, others):
    """Uplinks of other devices, till nothing more is written to the segments that are there."""
    for other in others:
        mme.attach(other.imsi)
    newest = {log[-1] for log in logs(host)}

    def have_moved():
        boxes = [mme.begin_odr(other.imsi, bytes(1300)) for other in others for _ in range(4)]
        assert all(box.get(timeout=30) for box in boxes)
        return newest <= set(sealed(host))

    until(have_moved, "new segments for all")


def test_what_cannot_be_read_is_said_and_comes_back_with_its_file(names):
    with filled(names, *NO_CHECKPOINT) as (host, sink, client, devices), Mme(host) as mme:
        until(lambda: is_bounded(host), "little in memory")
        seal_all(host, mme, make(host, client, sink, names, 24))  # of every core some
        damage = Damage(sealed(host))
        answers = {device: client.get(device.deliveries).status for device in devices}
        assert set(answers.values()) <= {200, 503} and 503 in answers.values()
        hurt = next(device for device, status in answers.items() if status == 503)
        assert "downlinks lost" in host.log()
        mme.attach(hurt.imsi)  # it is served, only these do not leave
        mme.uplink(hurt.imsi, b"still here")
        assert host.admin.twin(hurt.name)["mailbox"] == PACKETS
        damage.put_back()
        until(lambda: client.get(hurt.deliveries).status == 200, "its downlinks")
        assert taken(mme, PACKETS) == {hurt.imsi: in_order()}


def test_devices_that_are_there_get_what_could_not_be_read_once_it_can(names):
    with filled(names, *NO_CHECKPOINT) as (host, sink, client, devices), Mme(host) as mme:
        until(lambda: is_bounded(host), "little in memory")
        seal_all(host, mme, make(host, client, sink, names, 24))
        damage = Damage(sealed(host))
        for device in devices:
            mme.attach(device.imsi)
        until(lambda: "downlinks lost" in host.log(), "a read that fails")
        damage.put_back()  # nobody asks for them, and no device says anything
        assert taken(mme, DEVICES * PACKETS) == {device.imsi: in_order() for device in devices}


def test_a_downlink_that_left_is_answered_before_its_record_leaves_memory(names):
    with running('downlink.memory="64KiB"', "host.cores=2") as (host, sink, client):
        devices = make(host, client, sink, names, 12)
        with Mme(host) as mme:
            for device in devices:
                mme.attach(device.imsi)
            answers = [device.send(b"%03d" % n + b"x" * 1300).status for n in range(150) for device in devices]
            assert set(answers) == {200}
            assert all(len(data) == 150 for data in taken(mme, 12 * 150).values())
        assert host.metric("dromio_downlink_chunks") > 0  # memory was short indeed


class Model:
    """What must wait for a device: (number in order of arrival, priority, data) by link."""

    def __init__(self, device):
        self.device, self.waiting = device, {}

    def in_order(self):
        return [data for _, _, data in sorted(self.waiting.values(), key=lambda one: (-one[1], one[0]))]


@pytest.mark.parametrize("seed, count", [(1, 40), (2, 40), (3, 400)])
def test_any_order_of_requests_wakes_and_kills_gives_what_was_asked_for(names, seed, count):
    """With 400 devices memory has a packet or none of each: a chunk has one downlink or two, and some are joined."""
    chance = random.Random(seed)
    counter = itertools.count()
    with running(*SMALL) as (host, sink, client):
        models = [Model(device) for device in make(host, client, sink, names, count)]
        often = models[:20]  # the others take the memory
        for _ in range(20 if count > 40 else 0):
            for model in often:
                number, data = next(counter), bytes(chance.randrange(1, 100))
                answer = model.device.send(data, priority=number % 3)
                model.waiting[path_of(answer)] = (number, number % 3, data)
            for model in chance.sample(models[20:], 60):
                number, data = next(counter), bytes(600)
                model.waiting[path_of(model.device.send(data))] = (number, 0, data)

        def send(model):
            number, priority, data = next(counter), chance.randrange(3), bytes(chance.randrange(1, 300)) + b"%d" % chance.randrange(10**6)
            answer = model.device.send(data, priority=priority)
            if len(model.waiting) < 32:
                assert (answer.status, answer.json()["deliveryStatus"]) == (201, "BUFFERING"), answer
                model.waiting[path_of(answer)] = (number, priority, data)
            else:
                assert answer.status == 403, answer

        def cancel(model):
            if model.waiting:
                at = chance.choice(sorted(model.waiting))
                assert client.delete(at).status == 204
                del model.waiting[at]

        def change(model):
            if model.waiting:
                at = chance.choice(sorted(model.waiting))
                _, priority, _ = model.waiting[at]
                data = b"changed %d" % next(counter)
                answer = client.request("PATCH", at, {"data": b64(data)}, Content_Type="application/json")
                assert answer.status in (200, 201), answer
                model.waiting[at] = (next(counter), priority, data)

        def look(model):
            shown = {path_of(one["self"]): one["data"] for one in client.get(model.device.deliveries).json()
                     if one["deliveryStatus"] == "BUFFERING"}
            assert shown == {at: b64(data) for at, (_, _, data) in model.waiting.items()}
            assert host.admin.twin(model.device.name)["mailbox"] == len(model.waiting)

        def wake(model):
            with Mme(host) as mme:
                mme.attach(model.device.imsi)
                wanted = model.in_order()
                assert taken(mme, len(wanted)).get(model.device.imsi, []) == wanted
                until(lambda: host.admin.twin(model.device.name)["mailbox"] == 0, "an empty mailbox")
                assert result_of(mme.cmr(model.device.imsi, action=RELEASE)) == 2001
            model.waiting.clear()

        reads = []

        def kill(_):
            reads.append(host.metric("dromio_downlink_reads_total"))
            host.kill()
            host.start()
            client.close()
            assert host.metric("dromio_mailbox_downlinks") == sum(len(model.waiting) for model in models)

        acts = [send] * 60 + [cancel] * 6 + [change] * 6 + [look] * 4 + [wake] * 2 + [kill]
        for _ in range(900):
            chance.choice(acts)(chance.choice(models if chance.randrange(2) else often))
        assert sum(reads) + host.metric("dromio_downlink_reads_total") > 0
        for model in models:
            look(model)
            wake(model)
