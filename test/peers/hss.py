"""An HSS for flow tests: S6t (TS 29.336) with python-diameter's encoder and decoder, over the sockets of mme.py."""
import datetime
import queue

from mme import PROXIABLE, RETRANSMITTED, S6T, V3GPP, Mme, avp, ends, find

NIR = 8388726
UNKNOWN, NO_ENTITY, NO_SERVICE = 5001, 5510, 5511  # Experimental-Result-Codes


def instant(ms):
    """A Time AVP's value."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc)


def refusal(code):
    return [avp(297, [avp(266, V3GPP), avp(298, code)])]


def tbcd(digits):
    """TS 29.002: two digits in an octet, the first in the low half; 0xf fills up."""
    digits += "f" * (len(digits) % 2)
    return bytes(int(digits[i + 1] + digits[i], 16) for i in range(0, len(digits), 2))


class Question:
    """A NIDD-Information-Request as it came."""

    def __init__(self, message):
        self.message = message
        self.external_identifier = find(message, 3102, 3111)
        self.is_group = find(message, 3102, 3168) == 1
        self.msisdn = find(message, 3102, 701)
        self.user_name = find(message, 3102, 1)
        self.apn = find(message, 3150, 493)
        self.valid_until = find(message, 3150, 3159)
        self.provider = find(message, 3178, 3179)
        self.destination_realm = find(message, 283)
        self.destination_host = find(message, 293)
        self.end_to_end = message.header.end_to_end_identifier
        self.is_again = message.header.is_retransmit


class Hss(Mme):
    """Knows subscribers by External Identifier or MSISDN: `add` says what it grants them. `on_question(question)` may
    answer otherwise: AVPs, or None for no answer at all."""

    def __init__(self, host, identity="hss1.epc.test", realm="epc.test", on_question=None):
        self.subscribers = {}
        self.questions = queue.Queue()
        self.on_question = on_question or self.grant
        super().__init__(host, identity, realm, application=S6T)

    def add(self, *names, imsi, msisdn=None, identifiers=(), until_ms=None):
        more = [avp(1, imsi)]
        if msisdn is not None:
            more.append(avp(701, tbcd(msisdn), V3GPP))
        more += [avp(3111, name, V3GPP) for name in identifiers]
        if until_ms is not None:
            more.append(avp(3160, instant(until_ms), V3GPP, m=False))
        for name in names:
            self.subscribers[name] = more

    def grant(self, question):
        name = question.external_identifier if question.external_identifier is not None else question.msisdn
        known = self.subscribers.get(name)
        if known is None:
            return refusal(UNKNOWN)
        return [avp(268, 2001), avp(3151, known, V3GPP)]

    def on_other(self, message):
        question = Question(message)
        said = self.on_question(question)
        self.questions.put(question)
        if said is not None:
            self.answer(question, said)

    def answer(self, question, said):
        session = next(item for item in question.message.avps if item.code == 263)
        self._answer(question.message, [session, said[0], avp(277, 1), *self.origin(), *said[1:]])

    def update(self, user, validities=(), to=None, realm=None, end=None, is_again=False, extra=()):
        """A NIDD-Information-Request of the HSS: (APN or None, milliseconds) each."""
        lasts = [avp(3169, [avp(3160, instant(until), V3GPP, m=False), *([avp(493, apn)] if apn is not None else [])], V3GPP, m=False)
                 for apn, until in validities]
        more = [avp(3161, lasts, V3GPP, m=False)] if lasts else []
        where = [avp(293, to.encode())] if to is not None else []
        where.append(avp(283, realm.encode() if realm is not None else self.destination))
        avps = [avp(263, f"{self.identity};3;{next(ends)}"), avp(277, 1), *where, avp(3102, user, V3GPP), *more, *extra]
        return self.ask(NIR, S6T, avps, end=end, flags=PROXIABLE | (RETRANSMITTED if is_again else 0))


def group_of(name):
    return [external(name), avp(3168, 1, V3GPP, m=False)]


def member(**names):
    """Group-User-Identifier."""
    kinds = {"imsi": imsi_of, "msisdn": msisdn_of, "name": external}
    return avp(3177, [kinds[kind](value) for kind, value in names.items()], V3GPP, m=False)


INCOMPLETE_ANSWER, INCOMPLETE_REQUEST = avp(3176, 1, V3GPP, m=False), avp(3174, 1, V3GPP, m=False)


def external(name):
    return avp(3111, name, V3GPP)


def imsi_of(digits):
    return avp(1, digits)


def msisdn_of(digits):
    return avp(701, tbcd(digits), V3GPP)
