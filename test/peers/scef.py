"""The SCEF of a home network, as an IWK-SCEF sees it (T7, TS 29.128), with python-diameter's encoder and decoder over the
sockets of mme.py: takes what comes up, sends what goes down."""
import queue

from diameter.message import Avp

from mme import CMR, LIMIT_S, ODR, PROXIABLE, RIR, T6A, TDR, V3GPP, Mme, avp, ends, find

CIR = 8388718
HOME = "epc.mnc070.mcc999.3gppnetwork.org"  # of PLMN 99970


class Taken:
    """A request as it came."""

    def __init__(self, message):
        self.message = message
        header = message.header
        self.code, self.end_to_end, self.hop_by_hop, self.is_again = (header.command_code, header.end_to_end_identifier,
                                                                      header.hop_by_hop_identifier, header.is_retransmit)
        self.host, self.realm = find(message, 264), find(message, 296)
        self.destination_host, self.destination_realm = find(message, 293), find(message, 283)
        self.imsi = find(message, 3102, 1)
        self.data = find(message, 4315)
        self.route = [item.value for item in message.avps if item.code == 282]

    def find(self, *codes):
        return find(self.message, *codes)


class HomeScef(Mme):
    """Answers what `on_request(taken)` gives: a Result-Code, AVPs, or None for no answer; all of it lies in `requests`."""

    def __init__(self, host, identity=f"scef1.{HOME}", realm=HOME, on_request=None):
        self.requests = queue.Queue()
        self.on_request = on_request or (lambda taken: 2001)
        super().__init__(host, identity, realm)

    def on_other(self, message):
        taken = Taken(message)
        said = self.on_request(taken)
        if said is not None:
            self.answer(taken, said)
        self.requests.put(taken)

    def answer(self, taken, said):
        repeated = [item for item in taken.message.avps if item.code in (263, 284)]
        result = [avp(268, said)] if isinstance(said, int) else said
        self._answer(taken.message, [*repeated[:1], *result, avp(277, 1), *self.origin(), *repeated[1:]])

    def take(self, code=None):
        """The next request, which is of that command."""
        taken = self.requests.get(timeout=LIMIT_S)
        assert code is None or taken.code == code, taken.message
        return taken

    def _down(self, imsi, to, bearer, realm):
        where = [avp(293, to.encode())] if to is not None else []
        return [avp(263, f"{self.identity};1;{next(ends)}"), avp(3102, [avp(1, imsi)], V3GPP), avp(1020, bearer, V3GPP), avp(277, 1),
                *where, avp(283, realm.encode())]

    def begin_tdr(self, imsi, data, to="mme1.epc.test", bearer=b"\x05", realm="epc.test", end=None, extra=()):
        return self.begin(TDR, T6A, [*self._down(imsi, to, bearer, realm), avp(4315, data, V3GPP), *extra], end=end)

    def tdr(self, *arguments, **more):
        return self.begin_tdr(*arguments, **more).get(timeout=LIMIT_S)

    def release(self, imsi, to="mme1.epc.test", bearer=b"\x05", realm="epc.test"):
        return self.ask(CMR, T6A, [*self._down(imsi, to, bearer, realm), avp(4314, 1, V3GPP)])


def unknown(code, data, is_mandatory=False):
    """An AVP that nobody knows."""
    return Avp(code, 0, data, 0x40 if is_mandatory else 0)


def event(reference, scef, kind=0, deletion=()):
    """Monitoring-Event-Configuration."""
    return avp(3122, [*([avp(3124, reference, V3GPP)] if reference is not None else []), avp(3125, scef.encode(), V3GPP), avp(3127, kind, V3GPP),
                      *[avp(3126, number, V3GPP) for number in deletion]], V3GPP)


def report(reference, scef=None, kind=None):
    """Monitoring-Event-Report."""
    return avp(3123, [avp(3124, reference, V3GPP), *([avp(3125, scef.encode(), V3GPP)] if scef is not None else []),
                      *([avp(3127, kind, V3GPP)] if kind is not None else [])], V3GPP)


def t6ai(mme, code, *avps, imsi=None, extra=()):
    """A request of an MME about events, to the IWK-SCEF."""
    user = [avp(3102, [avp(1, imsi)], V3GPP)] if imsi is not None else []
    return mme.ask(code, T6A, [avp(263, f"{mme.identity};2;{next(ends)}"), avp(277, 1), avp(283, mme.destination), *user, *avps, *extra])


__all__ = ["CIR", "CMR", "HOME", "ODR", "PROXIABLE", "RIR", "TDR", "HomeScef", "Taken", "event", "report", "t6ai", "unknown"]
