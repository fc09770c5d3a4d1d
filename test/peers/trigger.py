"""Who triggers devices, for flow tests: an MTC-IWF (Tsp), an HSS (S6m) and an SMS-SC (T4), with python-diameter's encoder and decoder."""
import queue

from host import LIMIT_S
from hss import external, refusal, tbcd
from mme import PROXIABLE, RETRANSMITTED, V3GPP, Mme, avp, ends, find

from diameter.message import Avp

TSP, S6M, T4 = 16777309, 16777310, 16777311
DAR, DNR, SIR, DTR, DRR = 8388639, 8388640, 8388641, 8388643, 8388644
TRIGGER, REPORT, RECALL, REPLACE = 1, 2, 3, 4  # Action-Type
SUCCESS, EXPIRED, TEMPORARY, UNDELIVERABLE, UNCONFIRMED = range(5)  # Delivery-Outcome
SENDER = "491701234"
CAN_REPLACE = Avp(3012, V3GPP, b"\0\0\0\1")
T4_CAN_REPLACE = avp(628, [avp(266, V3GPP), avp(629, 1, V3GPP, m=False), avp(630, 1, V3GPP, m=False)], V3GPP, m=False)


class Asked:
    """A request of the host, as it came."""

    def __init__(self, message):
        self.message = message
        self.host = find(message, 293)
        self.end_to_end = message.header.end_to_end_identifier
        self.is_again = message.header.is_retransmit


class Action(Asked):
    """Device-Action-Request."""

    def __init__(self, message):
        super().__init__(message)
        self.name, self.msisdn, self.sender = find(message, 3001, 3111), find(message, 3001, 701), find(message, 3001, 3104)
        self.reference, self.old = find(message, 3001, 3007), find(message, 3001, 3011)
        self.kind, self.validity = find(message, 3001, 3005), find(message, 3001, 448)
        self.payload, self.priority, self.port = (find(message, 3001, 3003, code) for code in (3004, 3006, 3010))


class Subscriber(Asked):
    """Subscriber-Information-Request."""

    def __init__(self, message):
        super().__init__(message)
        self.name, self.msisdn, self.sender = find(message, 3102, 3111), find(message, 3102, 701), find(message, 3104)


class Message(Asked):
    """Device-Trigger-Request."""

    def __init__(self, message):
        super().__init__(message)
        self.imsi, self.msisdn, self.name = (find(message, 3102, code) for code in (1, 701, 3111))
        self.sender, self.payload, self.action = find(message, 3309), find(message, 3004), find(message, 3202)
        self.reference, self.old, self.validity, self.port = (find(message, code) for code in (3007, 3011, 448, 3010))
        self.nodes = [item.code for item in message.avps if item.code in (2401, 2406)]
        self.node = find(message, 2401, 2402)


class Node(Mme):
    """Answers what the host asks with on_asked(asked): AVPs, or None for no answer at all."""
    application, kind = None, None

    def __init__(self, host, identity, on_asked=None):
        self.asked = queue.Queue()
        self.on_asked = on_asked or self.take
        super().__init__(host, identity, application=self.application)

    def on_other(self, message):
        asked = self.kind(message)
        said = self.on_asked(asked)
        self.asked.put(asked)
        if said is not None:
            self.answer(asked, said)

    def answer(self, asked, said):
        session = next(item for item in asked.message.avps if item.code == 263)
        self._answer(asked.message, [session, said[0], avp(277, 1), *self.origin(), *said[1:]])

    def begin_report(self, code, avps, end=None, is_again=False):
        """Sends what became of a trigger; gives the box its answer will come into."""
        begin = [avp(263, f"{self.identity};4;{next(ends)}"), avp(277, 1)]
        where = [avp(293, b"scef.dromio.test"), avp(283, self.destination)]
        return self.begin(code, self.application, [*begin, *where, *avps], end=end, flags=PROXIABLE | (RETRANSMITTED if is_again else 0))

    def tell(self, *arguments, **more):
        """What became of a trigger; the host's answer."""
        answer = self.begin_tell(*arguments, **more).get(timeout=LIMIT_S)
        if answer is None:
            raise ConnectionError("the host ended the connection")
        return answer


class MtcIwf(Node):
    application, kind = TSP, Action

    def __init__(self, host, identity="iwf1.epc.test", on_asked=None, can_replace=False):
        self.can_replace = can_replace
        super().__init__(host, identity, on_asked)

    def said(self, asked, status=0, diagnostic=None):
        more = [] if diagnostic is None else [avp(3203, diagnostic, V3GPP, m=False)]
        return [avp(268, 2001), avp(258, TSP), avp(3002, [avp(3007, asked.reference, V3GPP), avp(3005, asked.kind, V3GPP),
                                                           avp(3008, status, V3GPP), *more], V3GPP), *([CAN_REPLACE] if self.can_replace else [])]

    def take(self, asked):
        return self.said(asked)

    def begin_tell(self, reference, outcome, name=None, end=None, is_again=False):
        """Device-Notification-Request."""
        who = [] if name is None else [external(name)]
        inside = [*who, avp(3007, reference, V3GPP), avp(3005, REPORT, V3GPP), avp(3009, outcome, V3GPP)]
        return self.begin_report(DNR, [avp(258, TSP), avp(3002, inside, V3GPP)], end, is_again)


class SubscriberHss(Node):
    """Of S6m. `nodes`: names of serving MMEs."""
    application, kind = S6M, Subscriber

    def __init__(self, host, identity="hss1.epc.test", imsi="001029900000001", msisdn="491720000001", nodes=("mme1.epc.test",), cause=None, on_asked=None):
        self.imsi, self.msisdn, self.nodes, self.cause = imsi, msisdn, nodes, cause
        super().__init__(host, identity, on_asked)

    def take(self, asked):
        causes = [] if self.cause is None else [avp(3109, self.cause, V3GPP)]
        nodes = [avp(2401 if place == 0 else 2406, [avp(2402, name.encode(), V3GPP), avp(2408, b"epc.test", V3GPP, m=False)], V3GPP)
                 for place, name in enumerate(self.nodes)]
        return [avp(268, 2001), avp(3102, [avp(1, self.imsi), avp(701, tbcd(self.msisdn), V3GPP)], V3GPP),
                avp(3107, [avp(3108, causes + nodes, V3GPP)], V3GPP)]


class Centre(Node):
    application, kind = T4, Message

    def __init__(self, host, identity="smsc1.epc.test", on_asked=None, can_replace=False):
        self.can_replace = can_replace
        super().__init__(host, identity, on_asked)

    def take(self, asked):
        return [avp(268, 2001), *([T4_CAN_REPLACE] if self.can_replace else [])]

    def begin_tell(self, reference, outcome, imsi="001029900000001", end=None, is_again=False):
        """Delivery-Report-Request."""
        avps = [avp(3102, [avp(1, imsi)], V3GPP), avp(3309, b"\x09\x91" + tbcd(SENDER), V3GPP), avp(3200, outcome, V3GPP), avp(3007, reference, V3GPP)]
        return self.begin_report(DRR, avps, end, is_again)


__all__ = ["Centre", "MtcIwf", "Node", "SubscriberHss", "refusal"]
