"""What peers say of their overload and load, what the host says of its own, and the priority of requests (RFC 7683, 8583,
7944). The peers are python-diameter's."""
import itertools
import os
import signal

import pytest
from host import LIMIT_S, Host, thermo_reading, until
from hss import NIR, Hss
from mme import ODR, T6A, V3GPP, Mme, avp, find, result_of
from sink import Sink
from t8 import CALLBACKS, b64, path_of

NIDD = "/3gpp-nidd/v1/as1/configurations"
FEATURES = avp(621, [avp(622, 1, m=False)], m=False)  # OC-Supported-Features: the loss algorithm
HOST, REALM = 0, 1
numbers = itertools.count(1)


def report(number, reduction, seconds=60, kind=HOST):
    """OC-OLR with the OC-Supported-Features that goes with it."""
    return [FEATURES, avp(623, [avp(624, number, m=False), avp(626, kind, m=False), avp(627, reduction, m=False), avp(625, seconds, m=False)], m=False)]


def load(identity, value, kind=HOST):
    return avp(650, [avp(651, kind, m=False), avp(652, value, m=False), avp(649, identity.encode(), m=False)], m=False)


@pytest.fixture(scope="module")
def host():
    with Host(CALLBACKS, "host.cores=1", "host.gates=1") as made:
        yield made


@pytest.fixture(scope="module")
def as1(host):
    return host.application("as1", ["acme.example"], ["nidd", "read"])


class Device:
    def __init__(self, host, as1, sink):
        number = next(numbers)
        self.as1, self.id, self.imsi = as1, f"d{number}@acme.example", f"00103{number:010d}"
        host.admin.put_twin(self.id, imsi=self.imsi)
        answer = as1.post(NIDD, {"externalId": self.id, "notificationDestination": sink.link(f"/{number}")})
        assert answer.status == 201, answer
        self.at = path_of(answer)

    def send(self, data, **members):
        return self.as1.post(self.at + "/downlink-data-deliveries", {"externalId": self.id, "data": b64(data), **members})


@pytest.fixture
def device(host, as1):
    with Sink() as sink:
        yield lambda: Device(host, as1, sink)


def told(host, identity, name):
    return next(peer for peer in host.admin.get("/v1/peers").json()["peers"] if peer["identity"] == identity).get(name)


def abated(host):
    return host.metric('dromio_diameter_drops_total{reason="abated"}')


def test_a_serving_node_that_wants_all_left_out_gets_nothing_until_it_is_over(host, device):
    ends, says = device(), [avp(268, 2001), *report(1, 100)]
    with Mme(host, identity="full.epc.test", on_downlink=lambda downlink: says) as mme:
        mme.attach(ends.imsi)
        assert ends.send(b"\x01first").status == 200  # its answer says: no more
        until(lambda: told(host, mme.identity, "reduction") == 100, "the report")
        before = abated(host)
        answer = ends.send(b"\x01second")
        assert answer.status == 201, answer  # it waits, as after 3004
        until(lambda: abated(host) > before, "one that stayed back")
        assert [mme.downlinks.get(timeout=LIMIT_S).data for _ in range(1)] == [b"\x01first"] and mme.downlinks.empty()
        says[:] = [avp(268, 2001), *report(2, 0)]
        other = device()  # of another node's answer nothing changes here
        with Mme(host, identity="idle.epc.test", on_downlink=lambda downlink: [avp(268, 2001), *report(7, 0)]) as idle:
            idle.attach(other.imsi)
            assert other.send(b"\x01other").status == 200
        assert told(host, mme.identity, "reduction") == 100 and mme.downlinks.empty()


def test_it_ends_with_its_time_and_what_waited_leaves(host, device):
    late = device()
    with Mme(host, identity="soon.epc.test", on_downlink=lambda downlink: [avp(268, 2001), *report(1, 100, seconds=1)]) as mme:
        mme.attach(late.imsi)
        assert late.send(b"\x01first").status == 200
        assert late.send(b"\x01second").status in (200, 201)
        assert mme.downlinks.get(timeout=LIMIT_S).data == b"\x01first"
        assert mme.downlinks.get(timeout=LIMIT_S).data == b"\x01second"  # nothing is lost


def test_a_part_stays_back_and_only_a_newer_number_counts(host, device):
    says = [avp(268, 2001), *report(10, 50)]
    with Mme(host, identity="half.epc.test", on_downlink=lambda downlink: says) as mme:
        devices = [device() for _ in range(9)]
        for each in devices:
            mme.attach(each.imsi)
        assert devices[0].send(b"\x01x").status == 200
        says[:] = [avp(268, 2001), *report(9, 100)]  # older: ignored
        old = host.metric('dromio_diameter_overload_reports_total{result="old"}')
        before = abated(host)
        statuses = [each.send(b"\x01x").status for each in devices[1:]]
        assert sorted(statuses) == [200] * 4 + [201] * 4  # every other one
        assert abated(host) >= before + 4
        assert host.metric('dromio_diameter_overload_reports_total{result="old"}') >= old + 4
        until(lambda: told(host, mme.identity, "reduction") == 50, "the report in the list of peers")


def test_a_node_says_how_busy_it_is_and_not_how_busy_others_are(host, device):
    one, other = device(), device()
    with Mme(host, identity="victim.epc.test") as victim, \
            Mme(host, identity="liar.epc.test", on_downlink=lambda downlink: [avp(268, 2001), *report(2 ** 63, 100, 86400)]) as liar:
        victim.attach(one.imsi)
        liar.attach(other.imsi)
        bad = host.metric('dromio_diameter_overload_reports_total{result="bad"}')
        liar.identity = victim.identity  # its answers bear another name
        assert other.send(b"\x01x").status == 200
        assert host.metric('dromio_diameter_overload_reports_total{result="bad"}') == bad + 1
        assert told(host, victim.identity, "reduction") is None
        assert one.send(b"\x01x").status == 200


@pytest.mark.parametrize("wrong", [
    report(1, 101), report(1, 50, kind=2), [FEATURES, avp(623, [avp(624, 1, m=False)], m=False)], [FEATURES, avp(623, [], m=False)],
    [avp(621, [avp(622, 2, m=False)], m=False), report(1, 100)[1]],  # another algorithm
    [load("bad.epc.test", 65536)], [load("bad.epc.test", 5, kind=7)], [avp(650, [], m=False)], [load("other.epc.test", 5)],
])
def test_advice_that_cannot_be_read_is_ignored_and_the_answer_is_taken(host, device, wrong):
    with Mme(host, identity="bad.epc.test", on_downlink=lambda downlink: [avp(268, 2001), *wrong]) as mme:
        one = device()
        mme.attach(one.imsi)
        for _ in range(2):
            assert one.send(b"\x01x").status == 200
        assert told(host, mme.identity, "reduction") is None and told(host, mme.identity, "load") is None


def test_requests_say_what_they_know_and_how_urgent_they_are(host, device):
    one = device()
    with Mme(host, identity="drmp.epc.test") as mme:
        mme.attach(one.imsi)
        for priority, said in ((None, None), (0, None), (1, 9), (3, 7), (5, 5), (100, 5), (-1, 11), (-100, 15)):
            assert one.send(b"\x01x", **({} if priority is None else {"priority": priority})).status == 200
            downlink = mme.downlinks.get(timeout=LIMIT_S).message
            assert find(downlink, 301) == said, priority
            assert find(downlink, 621, 622) == 1


def uplink(mme, imsi, number, *more):
    return mme.begin(ODR, T6A, mme._user(imsi, b"\x05") + [avp(4315, thermo_reading(number), V3GPP), *more])


def test_an_answer_repeats_the_priority_and_tells_overload_to_who_asks(host):
    with Mme(host, identity="asks.epc.test") as mme:
        host.admin.put_twin("asks@acme.example", model="acme/thermo", imsi="001039999999999")
        mme.attach("001039999999999")
        plain = uplink(mme, "001039999999999", 1).get(timeout=LIMIT_S)
        assert result_of(plain) == 2001 and not {301, 621, 623, 650} & {item.code for item in plain.avps}
        asked = uplink(mme, "001039999999999", 2, avp(301, 3, m=False), FEATURES).get(timeout=LIMIT_S)
        assert result_of(asked) == 2001 and find(asked, 301) == 3
        assert find(asked, 621, 622) == 1 and find(asked, 623) is None  # it is not overloaded
        assert find(asked, 650, 649) == b"scef.dromio.test" and find(asked, 650, 651) == HOST
        assert 60000 < find(asked, 650, 652) <= 65535
        strange = uplink(mme, "001039999999999", 3, avp(301, 16, m=False)).get(timeout=LIMIT_S)
        assert result_of(strange) == 2001 and find(strange, 301) is None  # no priority: as if it were absent


def test_an_overloaded_host_tells_how_much_to_leave_out(host):
    """A core that is held answers nothing; what is beyond the gate's bounds is refused and told."""
    imsi, kept = "001039999999998", 6144 * 8 // 9 + 1
    host.admin.put_twin("much@acme.example", model="acme/thermo", imsi=imsi)
    with Mme(host, identity="much.epc.test") as mme:
        mme.attach(imsi)
        request = None
        answers = []
        send, mme.send = mme.send, lambda data: answers.append(data)
        uplink(mme, imsi, 1, FEATURES)
        mme.send, (request,) = send, answers
        core = host.room("core")
        os.kill(core, signal.SIGSTOP)
        try:
            batch = b"".join(request[:12] + (1 << 24 | n).to_bytes(4, "big") + (1 << 30 | n).to_bytes(4, "big") + request[20:] for n in range(kept + 200))
            mme.send(batch)
            until(lambda: host.metric("dromio_diameter_overload_percent") > 0, "overload")
            told_now = uplink(mme, imsi, 2, FEATURES, avp(301, 15, m=False)).get(timeout=LIMIT_S)
            assert result_of(told_now) == 3004 and find(told_now, 301) == 15
            assert 1 <= find(told_now, 623, 627) <= 95 and find(told_now, 623, 626) == HOST and find(told_now, 623, 625) == 30
            assert find(told_now, 650, 652) < 65535 // 4
            number = find(told_now, 623, 624)
        finally:
            os.kill(core, signal.SIGCONT)
        until(lambda: host.metric('dromio_diameter_pending{direction="in"}') == 0, "all is answered")
        until(lambda: host.metric("dromio_diameter_overload_percent") == 0, "its end")
        over = uplink(mme, imsi, 3, FEATURES).get(timeout=LIMIT_S)
        assert result_of(over) == 2001
        assert find(over, 623, 627) == 0 and find(over, 623, 625) == 0 and find(over, 623, 624) > number


def test_an_hss_that_wants_less_is_passed_by_for_one_that_does_not(host, device, as1):
    """Alone it makes the application wait."""
    says = {}

    def answering(peer, more):
        def on_question(question):
            return [*peer.grant(question), *more]
        return on_question

    with Sink() as sink, Hss(host, identity="hssa.epc.test") as first:
        def post():
            number = next(numbers)
            name = f"h{number}@acme.example"
            host.admin.put_twin(name)
            for hss in says:
                hss.add(name, imsi=f"00104{number:010d}")
            return as1.post(NIDD, {"externalId": name, "notificationDestination": sink.link(f"/h{number}")})

        says[first] = True
        first.on_question = answering(first, report(1, 100))
        assert post().status == 201
        until(lambda: told(host, first.identity, "reduction") == 100, "the report")
        refused = post()
        assert refused.status == 503 and int(refused.headers["Retry-After"]) > 0 and "busy" in refused.json()["detail"]
        assert first.questions.qsize() == 1
        with Hss(host, identity="hssb.epc.test") as second:
            says[second] = True
            until(lambda: told(host, second.identity, "state") == "open", "the second HSS")
            for _ in range(3):
                assert post().status == 201
            assert first.questions.qsize() == 1 and second.questions.qsize() == 3
            assert find(second.questions.get().message, 621, 622) == 1


def test_load_chooses_among_hss(host, as1):
    with Sink() as sink, Hss(host, identity="hssc.epc.test", realm="other.test") as busy, Hss(host, identity="hssd.epc.test", realm="other.test") as idle:
        for hss, value in ((busy, 0), (idle, 65535)):
            hss.on_question = lambda question, hss=hss, value=value: [*hss.grant(question), load(hss.identity, value)]

        def post():
            number = next(numbers)
            name = f"l{number}@acme.example"
            host.admin.put_twin(name)
            for hss in (busy, idle):
                hss.add(name, imsi=f"00105{number:010d}")
            assert as1.post(NIDD, {"externalId": name, "notificationDestination": sink.link(f"/l{number}")}).status == 201

        post()  # one of both tells its load
        asked = busy if busy.questions.qsize() else idle
        until(lambda: told(host, asked.identity, "load") == (100 if asked is busy else 0), "its load")
        if asked is busy:
            busy.close()  # the other one is heard too
            post()
            until(lambda: told(host, idle.identity, "load") == 0, "the load of the other one")
        count = idle.questions.qsize()
        for _ in range(5):
            post()
        assert idle.questions.qsize() == count + 5
