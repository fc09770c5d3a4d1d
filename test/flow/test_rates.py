"""Rate control: Serving-PLMN-Rate-Control of the serving node (TS 29.128), APN rate control of ours, exception reports."""
import contextlib
import datetime

from host import Host, until
from mme import UPDATE, V3GPP, Mme, avp, result_of
from sink import Sink
from t8 import CALLBACKS, b64, path_of

UNABLE_TO_COMPLY = 5012
SIX_MINUTES = datetime.timedelta(minutes=6)
BASE = "/3gpp-nidd/v1/as1/configurations"


def rates(uplink, downlink):
    return [avp(4310, [avp(4311, uplink, V3GPP), avp(4312, downlink, V3GPP)], V3GPP)]


def apns(**rates):
    """Rows of t8.apns that leave connections and configurations alone."""
    rows = (f'{{application="nobody",without_configuration="accept",apn="{apn}",{more}}}' for apn, more in rates.items())
    return f"t8.apns=[{','.join(rows)}]"


class Device:
    def __init__(self, host, client, sink, name, imsi):
        self.host, self.client, self.name, self.imsi = host, client, name, imsi
        assert host.admin.put(f"/v1/twins/{name}", {"imsi": imsi}).status == 201
        answer = client.post(BASE, {"externalId": name, "notificationDestination": sink.link("/" + imsi)})
        assert answer.status == 201, answer
        location = answer.headers["Location"]
        self.deliveries = path_of(location) + "/downlink-data-deliveries"

    def send(self, data, **members):
        return self.client.post(self.deliveries, {"externalId": self.name, "data": b64(data), **members})

    def sends(self, count):
        """Downlinks until one has to wait: its answer."""
        for n in range(count):
            answer = self.send(b"%d" % n)
            assert (answer.status, answer.json()["deliveryStatus"]) == (200, "SUCCESS_NEXT_HOP_UNACKNOWLEDGED"), (n, answer)
        answer = self.send(b"%d" % count)
        assert (answer.status, answer.json()["deliveryStatus"]) == (201, "BUFFERING"), answer
        return answer.json()


@contextlib.contextmanager
def running(*settings):
    with Host(CALLBACKS, *settings, thermo=False) as host, Sink() as sink, Mme(host) as mme:
        client = host.application("as1", ["acme.example"], ["nidd"])
        yield host, sink, client, mme
        client.close()


def time_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_downlinks_beyond_the_serving_networks_rate_wait_and_say_until_when(names):
    with running() as (host, sink, client, mme):
        device = Device(host, client, sink, *next(names))
        before = datetime.datetime.now(datetime.timezone.utc)
        mme.attach(device.imsi, extra=rates(0, 12))
        held = device.sends(12)
        assert SIX_MINUTES - datetime.timedelta(minutes=1) < time_of(held["requestedRetransmissionTime"]) - before <= SIX_MINUTES + datetime.timedelta(minutes=1)
        assert host.metric("dromio_downlinks_held_total") == 1
        mme.uplink(device.imsi, b"a contact changes nothing")
        assert host.admin.twin(device.name)["mailbox"] == 1
        assert mme.downlinks.qsize() == 12
        answer = mme.cmr(device.imsi, action=UPDATE, extra=rates(0, 20))  # a better rate does
        assert result_of(answer) == 2001
        until(lambda: host.admin.twin(device.name)["mailbox"] == 0, "an empty mailbox")


def test_a_rate_survives_a_kill_and_a_new_connection_is_without(names):
    with running() as (host, sink, client, mme):
        device = Device(host, client, sink, *next(names))
        mme.attach(device.imsi, extra=rates(0, 10))
        host.kill()
        host.start()
        client.close()
        with Mme(host) as mme:
            device.sends(10)  # counted anew, by the rate that was kept
            mme.cmr(device.imsi, action=UPDATE)  # says nothing of it: it stays
            assert host.admin.twin(device.name)["mailbox"] == 1
            mme.attach(device.imsi)
            until(lambda: host.admin.twin(device.name)["mailbox"] == 0, "an empty mailbox")
            assert device.send(b"free").status == 200


def test_less_than_ten_packets_is_ten_and_0_is_any(names):
    with running() as (host, sink, client, mme):
        few, any_number = (Device(host, client, sink, *next(names)) for _ in range(2))
        mme.attach(few.imsi, extra=rates(3, 3))
        mme.attach(any_number.imsi, extra=rates(0, 0))
        few.sends(10)
        assert all(any_number.send(b"x").status == 200 for _ in range(30))


def test_uplinks_beyond_the_serving_networks_rate_are_counted_and_taken(names):
    with running() as (host, sink, client, mme):
        device = Device(host, client, sink, *next(names))
        mme.attach(device.imsi, extra=rates(10, 0))
        for n in range(13):
            mme.uplink(device.imsi, b"%d" % n)
        assert host.metric("dromio_uplinks_over_rate_total") == 3
        assert host.metric("dromio_uplinks_dropped_total") == 0


def test_an_apns_rates_hold_downlinks_and_drop_uplinks(names):
    limited = apns(meters='uplink="5/hour",downlink="3/day",over="drop"', open='uplink="2/minute"')
    with running(limited) as (host, sink, client, mme):
        device, free, lenient = (Device(host, client, sink, *next(names)) for _ in range(3))
        mme.attach(device.imsi, apn="meters.mnc001.mcc001.gprs")
        mme.attach(free.imsi, apn="other")
        mme.attach(lenient.imsi, apn="open")
        before = datetime.datetime.now(datetime.timezone.utc)
        held = device.sends(3)
        wait = time_of(held["requestedRetransmissionTime"]) - before
        assert datetime.timedelta(hours=23, minutes=59) < wait < datetime.timedelta(hours=24, minutes=1)
        for n in range(5):
            mme.uplink(device.imsi, b"%d" % n, end=1000 + n)
        refused = mme.odr(device.imsi, b"too much")
        assert result_of(refused) == UNABLE_TO_COMPLY
        assert result_of(mme.odr(device.imsi, b"0", end=1000, is_again=True)) == 2001  # a repetition gets the first answer
        assert host.metric("dromio_uplinks_dropped_total") == 1
        for n in range(8):
            mme.uplink(free.imsi, b"x")
            mme.uplink(lenient.imsi, b"x")  # only counted
        assert host.metric("dromio_uplinks_over_rate_total") == 1 + 6
        assert host.metric("dromio_uplinks_dropped_total") == 1
        until(lambda: len([told for told in sink.taken("/" + device.imsi) if "data" in told]) == 5, "what was taken")


def test_exception_reports_are_outside_the_quota_and_shown(names):
    with running(apns(meters='uplink="1/week",over="drop"')) as (host, sink, client, mme):
        device = Device(host, client, sink, *next(names))
        mme.attach(device.imsi, apn="meters")
        for n in range(3):
            mme.uplink(device.imsi, b"alarm %d" % n, is_exception=True)
        mme.uplink(device.imsi, b"usual")
        assert result_of(mme.odr(device.imsi, b"too much")) == UNABLE_TO_COMPLY
        mme.uplink(device.imsi, b"alarm", is_exception=True)
        assert host.metric("dromio_exception_reports_total") == 4
        events = [event for event in host.admin.get(f"/v1/twins/{device.name}/timeline").json()["events"] if event["kind"] == "uplink"]
        assert [(bytes.fromhex(event["frame"]), event.get("exception", False)) for event in events] == [
            (b"alarm", True), (b"usual", False), (b"alarm 2", True), (b"alarm 1", True), (b"alarm 0", True)]


def test_bad_rates_are_refused_with_their_key(tmp_path):
    import subprocess
    from host import DROMIOD
    for row, what in (('{apn="a",uplink="100/second"}', "uplink"), ('{apn="a",downlink="0/day"}', "downlink"), ('{apn="a",over="maybe"}', "over")):
        done = subprocess.run([str(DROMIOD), "--check", "--data", str(tmp_path), "--set", f"t8.apns=[{row}]"], capture_output=True, text=True, timeout=30)
        assert done.returncode == 2 and what in done.stderr, done
