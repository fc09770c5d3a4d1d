"""Each class of malformed Diameter that brought other cores down, on T6a and on S6t, against the whole host: it is refused in
the RFC's words or dropped and counted, all rooms live, and the next good peer is served within 100 ms. That time is the claim
here: a daemon that lives and serves nobody is down too. So that only the host is judged and not what else the machine does,
it may miss it a few times: bad peer and good peer are repeated until the good one is served in time."""
import contextlib
import itertools
import queue
import random
import threading
import time

import pytest
from diameter.message.commands import DeliveryReport, DeviceNotification, MOData, NIDDInformation
from diameter_peer import IMSI, S6T, T6A, V3GPP, RawPeer, avp, capabilities, cer, dpr, dwr, find, odr, origin, raw_avp, request, result_of, t6a_avps
from host import LIMIT_S, ONE_GATE, Client, until
from mme import Mme, encode
from trigger import T4 as T4_NUMBER
from trigger import TSP, MtcIwf, SubscriberHss

SERVED_S, TRIES = 0.1, 8
DEVICE = "m@acme.example"
NAME = raw_avp(3102, raw_avp(3111, DEVICE.encode(), vendor=V3GPP), vendor=V3GPP)
names = itertools.count(1)
SETTINGS = ('t8.trigger_sender="491701234"',)


class T6a:
    """An MME's side: MO-Data-Requests."""
    application, command, foreign = T6A, MOData, S6T

    def good(self, host, **more):
        return odr(host=host, **more)

    def without(self, code):
        return request(MOData, T6A, [item for item in t6a_avps() + [avp(4315, b"x", V3GPP)] if item.code != code])

    twice = odr(extra=raw_avp(3102, raw_avp(1, IMSI.encode()), vendor=V3GPP))
    broken = request(MOData, T6A, [item for item in t6a_avps() if item.code != 3102],
                     extra=raw_avp(3102, raw_avp(1, IMSI.encode(), length=200), vendor=V3GPP))
    narrow = odr(extra=raw_avp(4314, b"\0", vendor=V3GPP))

    @contextlib.contextmanager
    def asked(self, real, peer):
        """A request of the host to this peer, and what says that it waits for the answer still."""
        peer.send(request(type("Cmr", (), {"code": 8388732}), T6A, t6a_avps() + [avp(4314, 0, V3GPP), avp(493, "nidd.test"), avp(1032, 1005, V3GPP)]))
        assert result_of(peer.receive()) == 2001
        ticket = real.admin.post(f"/v1/twins/{DEVICE}/actions/blink", {"seconds": 1}).json()["ticket"]
        yield peer.receive(), lambda: real.admin.ticket(DEVICE, ticket)["state"] == "sent"
        until(lambda: real.admin.ticket(DEVICE, ticket)["state"] != "sent", "the end of the wait")


class S6t:
    """An HSS's side: NIDD-Information-Requests."""
    application, command, foreign = S6T, NIDDInformation, T6A

    def good(self, host, extra=NAME, **more):
        return request(NIDDInformation, S6T, [avp(263, "hss;1;1"), avp(277, 1), *origin(host), avp(283, b"dromio.test")], extra=extra, **more)

    def without(self, code):
        avps = [avp(263, "hss;1;1"), avp(277, 1), *origin("hss1.example.org"), avp(283, b"dromio.test")]
        return request(NIDDInformation, S6T, [item for item in avps if item.code != code], extra=NAME)

    twice = good(None, "hss1.example.org", NAME + NAME)
    broken = good(None, "hss1.example.org", NAME + raw_avp(3161, raw_avp(3169, raw_avp(3160, bytes(4), vendor=V3GPP, length=200), vendor=V3GPP), vendor=V3GPP))
    narrow = good(None, "hss1.example.org", NAME + raw_avp(3174, b"\0\0\1", vendor=V3GPP))

    @contextlib.contextmanager
    def asked(self, real, peer):
        answers = queue.Queue()
        as1 = Client(real.http_port, real.as1.token)
        body = {"externalId": DEVICE, "notificationDestination": "http://as.example/notify"}
        threading.Thread(target=lambda: answers.put(as1.post("/3gpp-nidd/v1/as1/configurations", body)), daemon=True).start()
        yield peer.receive(), answers.empty
        assert answers.get(timeout=LIMIT_S).status in (201, 403, 404, 500, 503)


class Reports:
    """Who delivers triggers: reports of one that has ended, so that each good one is answered 2001."""
    reference = 0x7F000001

    def good(self, host, extra=None, **more):
        return request(self.command, self.application, self.begin(host), extra=self.inside(self.reference) if extra is None else extra, **more)

    def without(self, code):
        return request(self.command, self.application, [item for item in self.begin("mme1.example.org") if item.code != code], extra=self.inside(self.reference))

    @contextlib.contextmanager
    def asked(self, real, peer):
        answers = queue.Queue()
        as1 = Client(real.http_port, real.as1.token)
        body = {"externalId": DEVICE, "validityPeriod": 1, "priority": "PRIORITY", "applicationPortId": 1, "triggerPayload": "AAAA",
                "notificationDestination": "http://as.example/notify"}
        with self.beside(real):
            threading.Thread(target=lambda: answers.put(as1.post("/3gpp-device-triggering/v1/as1/transactions", body)), daemon=True).start()
            yield peer.receive(), answers.empty
            assert answers.get(timeout=LIMIT_S).status in (201, 403, 404, 500, 503)


def number_avp(code, value, **more):
    return raw_avp(code, value.to_bytes(4, "big"), vendor=V3GPP, **more)


class Tsp(Reports):
    """An MTC-IWF's side: Device-Notification-Requests."""
    application, command, foreign = TSP, DeviceNotification, T6A

    @staticmethod
    def begin(host):
        return [avp(263, "iwf;1;1"), avp(258, TSP), avp(277, 1), *origin(host), avp(293, b"scef.dromio.test"), avp(283, b"dromio.test")]

    @staticmethod
    def inside(reference, **outcome):
        return raw_avp(3002, number_avp(3007, reference) + number_avp(3005, 2) + raw_avp(3009, bytes(outcome.pop("width", 4)), vendor=V3GPP, **outcome), vendor=V3GPP)

    def beside(self, real):
        return contextlib.nullcontext()

    @property
    def twice(self):
        return self.good("mme1.example.org", self.inside(1) + self.inside(1))

    @property
    def broken(self):
        return self.good("mme1.example.org", self.inside(1, length=200))

    @property
    def narrow(self):
        return self.good("mme1.example.org", self.inside(1, width=3))


class T4(Reports):
    """An SMS-SC's side: Delivery-Report-Requests."""
    application, command, foreign = T4_NUMBER, DeliveryReport, T6A

    @staticmethod
    def begin(host):
        return [avp(263, "smsc;1;1"), avp(277, 1), *origin(host), avp(293, b"scef.dromio.test"), avp(283, b"dromio.test")]

    @staticmethod
    def inside(reference, outcome=number_avp(3200, 2)):
        return NAME + raw_avp(3309, b"\x09\x91\x94\x71\x10\x32\xf4", vendor=V3GPP) + outcome + number_avp(3007, reference)

    def beside(self, real):
        return SubscriberHss(real, imsi=IMSI)

    @property
    def twice(self):
        return self.good("mme1.example.org", self.inside(1) + NAME)

    @property
    def broken(self):
        return self.good("mme1.example.org", self.inside(1) + raw_avp(3102, raw_avp(1, IMSI.encode(), length=200), vendor=V3GPP))

    @property
    def narrow(self):
        return self.good("mme1.example.org", self.inside(1, raw_avp(3200, b"\0\0\2", vendor=V3GPP)))


@pytest.fixture(scope="module", params=[T6a(), S6t(), Tsp(), T4()], ids=["T6a", "S6t", "Tsp", "T4"])
def side(request):
    return request.param


@pytest.fixture(scope="module")
def device(real):
    real.admin.put_twin(DEVICE, imsi=IMSI, model="acme/thermo")
    real.as1 = real.application("as1", ["acme.example"], ["nidd", "trigger"])
    with MtcIwf(real) as iwf:
        body = {"externalId": DEVICE, "validityPeriod": 1, "priority": "PRIORITY", "applicationPortId": 1, "triggerPayload": "AAAA",
                "notificationDestination": "http://as.example/notify"}
        until(lambda: real.as1.post("/3gpp-device-triggering/v1/as1/transactions", body).status == 201, "a trigger")
        Reports.reference = iwf.asked.get(timeout=LIMIT_S).reference
        assert result_of(iwf.tell(Reports.reference, 0)) == 2001
    with Mme(real) as mme:
        mme.attach(IMSI)
        yield


def opened(real, side, host="mme1.example.org"):
    peer = RawPeer(real.diameter_port)
    peer.send(cer(host, side.application))
    assert result_of(peer.receive()) == 2001
    return peer


def refused(real, side, data, *results, stays=True):
    with opened(real, side) as peer:
        peer.send(data)
        answer = peer.receive()
        assert answer is not None and result_of(answer) in results, answer
        if not stays:
            assert peer.is_closed()
            return
        peer.send(dwr())
        assert result_of(peer.receive()) == 2001


def refused_cer(real, data, *results):
    with RawPeer(real.diameter_port) as peer:
        peer.send(data)
        answer = peer.receive()
        assert answer is not None and result_of(answer) in results, answer
        assert peer.is_closed()


def cer_without(side, code, extra):
    avps = [item for item in capabilities(application=side.application) if item.code != code]
    return cer(avps=avps, extra=extra)


def answer_to(question, hop=0, end=0, session=None, result=2001, is_empty=False):
    header = question.header
    avps = [] if is_empty else [avp(263, session or find(question, 263)), avp(268, result), avp(277, 1), *origin()]
    return encode(header.command_code, header.application_id, avps, header.hop_by_hop_identifier + hop, header.end_to_end_identifier ^ end,
                  is_request=False, flags=0x60 if is_empty else 0x40)


def too_many(real, side):
    refused_cer(real, cer(application=side.application, extra=raw_avp(264, b"mme1.example.org") * 64), 5009)
    refused(real, side, side.twice, 5009)


def broken_group(real, side):
    refused_cer(real, cer(application=side.application, extra=raw_avp(260, raw_avp(266, b"\0\0\x28\xaf") + raw_avp(258, b"\1\0\0\x23", length=4))), 5014)
    refused(real, side, side.broken, 5014)


def absent(real, side):
    refused_cer(real, cer_without(side, 296, b""), 5005)
    for code in (263, 264, 296):
        refused(real, side, side.without(code), 5005)


def lying_length(real, side):
    refused_cer(real, cer_without(side, 257, raw_avp(257, b"\0\2\x7f\0\0\1")), 5014, 5004)
    refused(real, side, side.narrow, 5014)


def unasked_answer(real, side):
    before = real.metric('dromio_diameter_drops_total{reason="unknown_answer"}')
    with opened(real, side) as peer:
        good = request(side.command, side.application, [avp(263, "x;1;1"), avp(268, 2001), avp(277, 1), *origin()])
        peer.send(good[:4] + b"\x40" + good[5:])  # the same as an answer
        peer.send(dwr())
        assert result_of(peer.receive()) == 2001
    until(lambda: not ONE_GATE or real.metric('dromio_diameter_drops_total{reason="unknown_answer"}') > before, "a drop that is counted")


def bytes_in_identity(real, side):
    for name in (b"mme1\0.example.org", b"mme1\n.example.org", b"\xff\xfe", b"", b"a" * 256):
        refused_cer(real, cer_without(side, 264, raw_avp(264, name)), 5004)


def wrong_ids(real, side):
    with opened(real, side) as peer, side.asked(real, peer) as (question, waits):
        for wrong in ({"hop": 1}, {"end": 1}, {"session": "other;1;1"}):
            peer.send(answer_to(question, **wrong))
        peer.send(dwr())
        assert result_of(peer.receive()) == 2001
        assert waits(), "none of them was the answer"
        peer.send(answer_to(question))


def wrong_state(real, side):
    for data in (side.good("mme1.example.org"), dwr()):
        with RawPeer(real.diameter_port) as peer:
            peer.send(data)
            assert peer.is_closed()
    refused(real, side, request(type("Other", (), {"code": 8388734}), side.application, t6a_avps()), 3001)
    refused(real, side, request(side.command, side.foreign, t6a_avps()), 3001, 3007)


def decoder(real, side):
    chance = random.Random(11)
    with RawPeer(real.diameter_port) as peer:
        peer.send(bytes(chance.randrange(256) for _ in range(400)))
    good = side.good("mme1.example.org")
    with opened(real, side) as peer:
        for _ in range(100):
            data = bytearray(good)
            for _ in range(chance.randrange(1, 4)):
                data[chance.randrange(20, len(data))] = chance.randrange(256)
            peer.send(bytes(data))
            assert peer.receive() is not None


def upstream_error(real, side):
    for said in ({"is_empty": True}, {"result": 3002}, {"result": 5012}, {"result": 9999}, {"result": 1}):
        with opened(real, side) as peer, side.asked(real, peer) as (question, _):
            peer.send(answer_to(question, **said))


def no_token(real, side):
    for token in (None, "forged", real.as1.token[:-1]):
        client = Client(real.http_port, token)
        assert client.get("/3gpp-nidd/v1/as1/configurations").status == 401 and client.get("/v1/peers").status == 401


def many_unknown(real, side):
    with contextlib.ExitStack() as held:
        for _ in range(100):
            peer = held.enter_context(RawPeer(real.diameter_port))
            with contextlib.suppress(OSError):
                peer.send(cer(application=side.application)[:100])
        served(real, side)  # while they are there


def lengths_and_depth(real, side):
    good, nested = side.good("mme1.example.org"), b""
    for _ in range(50):
        nested = raw_avp(3152, nested, vendor=V3GPP)
    for bad in (good[:1] + (16).to_bytes(3, "big") + good[4:], good[:1] + b"\xff\xff\xfc" + good[4:], b"\2" + good[1:]):
        refused(real, side, bad, 5015, 5011, stays=False)
    for more, result in ((bytes(8), 5014), (raw_avp(9999, b"", flags=0) * 600, 5012), (nested, 5004)):
        longer = good + more
        refused(real, side, longer[:1] + len(longer).to_bytes(3, "big") + longer[4:], result)


def stops_in_the_middle(real, side):
    good = side.good("mme1.example.org")
    with opened(real, side) as half, RawPeer(real.diameter_port) as quarter:
        half.send(good[:50])
        quarter.send(cer()[:50])
        served(real, side)
    for _ in range(5):
        with opened(real, side) as peer:
            peer.send(good * 20)  # gone with its requests in flight


CLASSES = {1: too_many, 2: broken_group, 3: absent, 4: lying_length, 5: unasked_answer, 6: bytes_in_identity, 7: wrong_ids, 8: wrong_state,
           9: decoder, 10: upstream_error, 11: no_token, 12: many_unknown, 13: lengths_and_depth, 14: stops_in_the_middle}


COUNTED = {too_many, broken_group, absent, lying_length, unasked_answer, bytes_in_identity, wrong_state, lengths_and_depth}


def served(real, side):
    """A good peer comes, is served and goes; the seconds till it was served."""
    host = f"good{next(names)}.example.org"
    begin = time.monotonic()
    with RawPeer(real.diameter_port) as peer:
        peer.send(cer(host, side.application))
        assert result_of(peer.receive()) == 2001
        peer.send(side.good(host))
        assert result_of(peer.receive()) == 2001
        took = time.monotonic() - begin
        peer.send(dpr(host))
        assert result_of(peer.receive()) == 2001
    return took


@pytest.mark.parametrize("bad", CLASSES.values(), ids=[f"{number}-{bad.__name__}" for number, bad in CLASSES.items()])
def test_the_next_peer_is_served_within_100_ms(real, device, side, bad):
    before, dropped, took = real.rooms(), real.metric("dromio_diameter_drops_total"), []
    while not took or (took[-1] > SERVED_S and len(took) < TRIES):
        bad(real, side)
        took.append(served(real, side))
    assert took[-1] <= SERVED_S, took
    assert bad not in COUNTED or not ONE_GATE or real.metric("dromio_diameter_drops_total") > dropped
    assert real.rooms() == before, "a room died"
