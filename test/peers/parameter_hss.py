"""An HSS for flow tests of parameters: Configuration-Information of S6t (TS 29.336, 8.2.1) with communication patterns,
suggested network configurations and enhanced coverage, over python-diameter's encoder and decoder."""
import queue

from diameter.message.avp import AvpGrouped
from diameter.message.avp.dictionary import AVP_VENDOR_DICTIONARY
from hss import Hss, refusal
from mme import PROXIABLE, RETRANSMITTED, S6T, V3GPP, avp, ends, find

CIR, RIR = 8388718, 8388719
# Updated-Network-Configuration is younger than python-diameter's dictionary.
AVP_VENDOR_DICTIONARY[V3GPP].setdefault(3184, {"name": "Updated-Network-Configuration", "type": AvpGrouped, "vendor": V3GPP})
STORAGE_FAILED, NOT_THERE, OUT_OF_RANGE, NOT_ALLOWED, UNKNOWN = 5513, 5514, 5512, 5101, 5001


def inner(item, code):
    return next((one.value for one in item.value if one.code == code), None)


def every(item, code):
    return [one.value for one in item.value if one.code == code]


class Cir:
    """A Configuration-Information-Request as it came."""

    def __init__(self, message):
        self.message = message
        self.external_identifier = find(message, 3102, 3111)
        self.is_group = find(message, 3102, 3168) == 1
        self.msisdn = find(message, 3102, 701)
        self.guard_s = find(message, 3163)
        self.flags = find(message, 3145) or 0
        self.patterns = [item for item in message.avps if item.code == 3113]
        self.network = next((item for item in message.avps if item.code == 3170), None)
        self.coverage = next((item for item in message.avps if item.code == 3155), None)
        self.end_to_end = message.header.end_to_end_identifier
        self.is_again = message.header.is_retransmit

    def sets(self):
        """{reference: the AVPs of its Communication-Pattern-Set by code}."""
        found = {}
        for pattern in self.patterns:
            for value in every(pattern, 3114):
                found[inner(pattern, 3124)] = {item.code: item.value for item in value}
        return found

    def references_gone(self):
        around = self.patterns + ([self.network] if self.network is not None else [])
        return [reference for item in around for reference in every(item, 3126)]


class ParameterHss(Hss):
    """Keeps what it is given by reference. `on_cir(cir)` may answer otherwise: AVPs, or None for no answer at all."""

    def __init__(self, host, identity="hss1.epc.test", realm="epc.test"):
        self.sets, self.networks = {}, {}  # reference -> what it has under that
        self.users = set()                 # whom it knows; empty: all
        self.refused = {}                  # Service-Result-Code of the set whose Communication-duration-time is the key
        self.applied = None                # what it makes of a suggestion: (periodic TAU, active time, packets), each or None
        self.coverage = ("restricted", [])
        self.visited = "00101"
        self.cirs = queue.Queue()
        self.on_cir = self.configure
        super().__init__(host, identity, realm)

    def on_other(self, message):
        if message.header.command_code != CIR:
            super().on_other(message)
            return
        cir = Cir(message)
        said = self.on_cir(cir)
        self.cirs.put(cir)
        if said is not None:
            session = next(item for item in message.avps if item.code == 263)
            self._answer(message, [session, said[0], avp(277, 1), *self.origin(), *said[1:]])

    def configure(self, cir):
        user = cir.external_identifier if cir.external_identifier is not None else cir.msisdn
        if self.users and user not in self.users:
            return refusal(UNKNOWN)
        return [avp(268, 2001), *self._patterns(cir), *self._network(cir), *self._coverage(cir)]

    def _patterns(self, cir):
        out = []
        for pattern in cir.patterns:
            assert inner(pattern, 3125) is not None, "SCEF-ID is mandatory"
            reference = inner(pattern, 3124)
            values = {item.code: item.value for item in inner(pattern, 3114) or []}
            code = self.refused.get(values.get(3116)) if reference is not None else None
            status = [avp(3124, reference, V3GPP)] if reference is not None else None
            if code is not None:
                status.append(avp(3121, [avp(3146, [avp(266, V3GPP), avp(3147, code, V3GPP)], V3GPP)], V3GPP))
            elif reference is not None:
                self.sets[reference] = values
            if code is None:
                for gone in every(pattern, 3126):
                    self.sets.pop(gone, None)
            if status is not None:
                out.append(avp(3120, status, V3GPP))
        return out

    def _network(self, cir):
        if cir.network is None:
            return []
        assert inner(cir.network, 3125) is not None and inner(cir.network, 3124) is not None
        reference, gone = inner(cir.network, 3124), every(cir.network, 3126)
        for number in gone:
            self.networks.pop(number, None)
        if reference in gone:
            return []
        wanted = tuple(inner(cir.network, code) for code in (1619, 4324, 1674))
        has = tuple(own if own is not None else asked for own, asked in zip(self.applied or (None,) * 3, wanted))
        self.networks[reference] = has
        return [avp(3170, [avp(3124, reference, V3GPP), avp(3125, inner(cir.network, 3125), V3GPP), *values_of(has)], V3GPP, m=False)]

    def _coverage(self, cir):
        if cir.coverage is not None:
            for kind, code in (("restricted", 3157), ("allowed", 3158)):
                lists = every(cir.coverage, code)
                if lists:
                    self.coverage = (kind, [item.value for item in lists[0]])
        elif not cir.flags & 2:
            return []
        kind, plmns = self.coverage
        code = 3157 if kind == "restricted" else 3158
        group = avp(3155, [avp(code, [avp(1407, octets, V3GPP) for octets in plmns], V3GPP, m=False)], V3GPP, m=False)
        return [avp(3156, [group, avp(1407, b"\x00\xf1\x10", V3GPP)], V3GPP, m=False)]

    def report(self, host, *avps, end=None, is_again=False):
        """A Reporting-Information-Request."""
        return self.ask(RIR, S6T, [avp(263, f"{self.identity};4;{next(ends)}"), avp(277, 1), *([] if host is None else [avp(293, host.encode())]),
                                   avp(283, self.destination), *avps], end=end, flags=PROXIABLE | (RETRANSMITTED if is_again else 0))


def values_of(has):
    return [avp(code, value, V3GPP, m=False) for code, value in zip((1619, 4324, 1674), has) if value is not None]


def updated(scef, reference, has):
    """Updated-Network-Configuration."""
    return avp(3184, [avp(3125, scef.encode(), V3GPP), avp(3124, reference, V3GPP), *values_of(has)], V3GPP, m=False)
