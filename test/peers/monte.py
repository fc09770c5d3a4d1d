"""Monitoring events of an HSS (TS 29.336, 8.2.3 and 8.2.4): it is told what to watch, and reports."""
import queue

from hss import Hss, external, msisdn_of, refusal
from mme import PROXIABLE, RETRANSMITTED, S6T, V3GPP, avp, ends, find, result_of

CIR, RIR = 8388718, 8388719
REFERENCE_UNKNOWN = 5515
CONFIGURATION, REPORT, REFERENCE, REFERENCE_GONE = 3122, 3123, 3124, 3126


class Watched:
    """A Configuration-Information-Request as it came."""

    def __init__(self, message):
        self.message = message
        self.external_identifier = find(message, 3102, 3111)
        self.is_group = find(message, 3102, 3168) == 1
        self.msisdn = find(message, 3102, 701)
        self.guard_s = find(message, 3163)
        self.configurations = [item.value for item in message.avps if item.code == CONFIGURATION]
        self.references = [each.value for group in self.configurations for each in group if each.code == REFERENCE]
        self.gone = [each.value for group in self.configurations for each in group if each.code == REFERENCE_GONE]
        self.end_to_end = message.header.end_to_end_identifier
        self.is_again = message.header.is_retransmit

    def __getitem__(self, code):
        """Of its configurations, the first AVP of that code."""
        return next((each.value for group in self.configurations for each in group if each.code == code), None)


def report(reference, kind, *more):
    return avp(REPORT, [avp(REFERENCE, reference, V3GPP), avp(3125, b"scef.dromio.test", V3GPP), avp(3127, kind, V3GPP), *more], V3GPP)


def status(reference, *service):
    """Monitoring-Event-Config-Status."""
    return avp(3142, [*service, avp(REFERENCE, reference, V3GPP), avp(3125, b"scef.dromio.test", V3GPP)], V3GPP)


def item(user, kind, *more):
    """Group-Report-Item."""
    return avp(3166, [avp(3102, user, V3GPP), avp(3127, kind, V3GPP), *more], V3GPP, m=False)


class MonteHss(Hss):
    """What `on_watched(watched)` gives is its answer: AVPs, or None for none at all. Without: it agrees to all."""

    def __init__(self, host, *arguments, on_watched=None, **more):
        self.watched = queue.Queue()
        self.at_once = []  # reports it has at once, functions of the reference
        self.on_watched = on_watched or self.agree
        super().__init__(host, *arguments, **more)

    def agree(self, watched):
        return [avp(268, 2001), *[status(reference) for reference in watched.references],
                *[made(reference) for reference in watched.references for made in self.at_once]]

    def on_other(self, message):
        if message.header.command_code != CIR:
            super().on_other(message)
            return
        watched = Watched(message)
        said = self.on_watched(watched)
        self.watched.put(watched)
        if said is not None:
            session = next(each for each in message.avps if each.code == 263)
            self._answer(message, [session, said[0], avp(277, 1), *self.origin(), *said[1:]])

    def tell(self, *avps, end=None, is_again=False):
        """A Reporting-Information-Request; its answer."""
        everything = [avp(263, f"{self.identity};5;{next(ends)}"), avp(277, 1), avp(293, b"scef.dromio.test"), avp(283, self.destination), *avps]
        return self.ask(RIR, S6T, everything, end=end, flags=PROXIABLE | (RETRANSMITTED if is_again else 0))


__all__ = ["CIR", "MonteHss", "REFERENCE_UNKNOWN", "RIR", "Watched", "avp", "external", "find", "item", "msisdn_of", "refusal", "report", "result_of", "status", "V3GPP"]
