#!/usr/bin/env python3
"""Writes Diameter messages with python-diameter (MIT, independent of us) as C arrays.

Run by hand when messages are added; the result is checked in:
    $DROMIO_PYTHON test/peers/diameter_vectors.py > src/wire/diameter/vectors.h
    $DROMIO_PYTHON test/peers/diameter_vectors.py --corpus test/fuzz/corpus
The M bits are given here, after TS 29.128 and RFC 6733: python-diameter's own defaults set nearly all.
"""
import datetime
import os
import sys

from diameter.message import Avp, Message
from diameter.message.commands import (CapabilitiesExchange, ConnectionManagement, DeliveryReport, DeviceAction, DeviceNotification, DeviceTrigger,
                                       DeviceWatchdog, DisconnectPeer, MOData, MTData, NIDDInformation, ReportingInformation, SubscriberInformation)

V = 10415
T6A, S6T = 16777346, 16777345
TSP, S6M, T4 = 16777309, 16777310, 16777311
SENDER = b"\x94\x71\x10\x32\xf4"  # 491701234 in TBCD, by hand
SENDER_ADDRESS = b"\x09\x91" + SENDER  # TS 23.040 9.1.2.5
MSISDN = b"\x94\x71\x32\x54\xf6"  # 491723456 in TBCD, by hand
UTC = datetime.timezone.utc
INDEFINITE = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
LATER = datetime.datetime(2030, 1, 1, 0, 0, 0, tzinfo=UTC)  # python-diameter 0.9.0 is one hour off after 2036


def avp(code, value, vendor=0, m=True):
    return Avp.new(code, vendor, value=value, is_mandatory=m)


def origin(host="mme1.example.org", realm="example.org"):
    return [avp(264, host.encode()), avp(296, realm.encode())]


def message(kind, request, application, avps, proxiable=True, error=False, hop=0x01020304, end=0x0a0b0c0d):
    out = Message()
    header = out.header
    header.command_code = kind.code
    header.application_id = application
    header.hop_by_hop_identifier = hop
    header.end_to_end_identifier = end
    header.is_request, header.is_proxyable, header.is_error = request, proxiable, error
    for item in avps:
        out.append_avp(item)
    return out.as_bytes()


def user(imsi="001010000000001"):
    return avp(3102, [avp(1, imsi)], V)


def t6a_request(session):
    return [avp(263, session), user(), avp(1020, b"\x05", V), avp(277, 1)] + origin() + [avp(283, b"dromio.test")]


def t6a_answer(result, *more):
    return [avp(263, "mme1.example.org;1;2"), *result, avp(277, 1)] + origin("scef.dromio.test", "dromio.test") + list(more)


UPDATE = avp(3161, [avp(3169, [avp(3160, INDEFINITE, V, m=False), avp(493, "iot")], V, m=False),
                    avp(3169, [avp(3160, LATER, V, m=False)], V, m=False)], V, m=False)


def experimental(code):
    return [avp(297, [avp(266, V), avp(298, code)])]


CHANGES = avp(628, [avp(266, V), avp(629, 1, V, m=False), avp(630, 1, V, m=False)], V, m=False)
NODES = [avp(2401, [avp(2402, b"mme1.example.org", V), avp(2408, b"example.org", V, m=False), avp(1645, b"\x94\x71\x00\xf1", V, m=False)], V),
         avp(2406, [avp(2403, b"\x94\x71\x00\xf2", V)], V)]


def ours(session="scef.dromio.test;1;2"):
    return [avp(263, session), avp(277, 1)] + origin("scef.dromio.test", "dromio.test") + [avp(283, b"example.org")]


def theirs():
    return [avp(263, "scef.dromio.test;1;2"), avp(268, 2001), avp(277, 1)] + origin()


def device_action(action, *more, old=None, name=avp(3111, "t1@acme.example", V)):
    return avp(3001, [name, avp(3104, SENDER, V), avp(3007, 0x12300007, V)] + ([] if old is None else [avp(3011, old, V, m=False)])
               + [avp(3005, action, V), *more], V)


def device_notification(*inside):
    return avp(3002, [avp(3111, "t1@acme.example", V), avp(3007, 0x12300007, V), *inside], V)


TRIGGER_DATA = avp(3003, [avp(3004, b"wake up", V), avp(3006, 1, V), avp(3010, 4711, V)], V)
USER = [avp(1, "001010000000001"), avp(701, MSISDN, V), avp(3111, "t1@acme.example", V)]
TO_US = [avp(293, b"scef.dromio.test"), avp(283, b"dromio.test")]
APPLICATION = avp(260, [avp(266, V), avp(258, T6A)])
CAPABILITIES = [avp(257, "127.0.0.1"), avp(266, 0), avp(269, "Dromio", m=False), avp(278, 7)]

LOSS = avp(621, [avp(622, 1, m=False)], m=False)  # OC-Supported-Features
MESSAGES = {
    "cer": message(CapabilitiesExchange, True, 0, origin() + CAPABILITIES + [avp(265, V), APPLICATION], proxiable=False),
    "cer_ip6": message(CapabilitiesExchange, True, 0, origin() + [avp(257, "2001:db8::1")] + CAPABILITIES[1:] + [avp(265, V), APPLICATION],
                       proxiable=False),
    "cea": message(CapabilitiesExchange, False, 0, [avp(268, 2001)] + origin() + CAPABILITIES + [avp(265, V), APPLICATION], proxiable=False),
    "dwr": message(DeviceWatchdog, True, 0, origin() + [avp(278, 7)], proxiable=False),
    "dpr": message(DisconnectPeer, True, 0, origin() + [avp(273, 0)], proxiable=False),
    "cmr": message(ConnectionManagement, True, T6A, t6a_request("mme1.example.org;1;2") + [
        avp(4317, 1, V), avp(3329, INDEFINITE, V, m=False), avp(4314, 0, V), avp(493, "nidd.test"),
        avp(4310, [avp(4311, 100, V), avp(4312, 60, V)], V), avp(1032, 1005, V, m=False)]),
    "odr": message(MOData, True, T6A, t6a_request("mme1.example.org;1;2") + [avp(4315, b"\x01\x02\x03\x04\x05", V)]),
    "odr_exception": message(MOData, True, T6A, t6a_request("mme1.example.org;1;3") + [
        avp(4315, b"\x01", V), avp(284, [avp(280, b"proxy.example.org"), avp(33, b"\x01\x02\x03")]),
        avp(282, b"mme1.example.org"), avp(4318, [avp(4319, 1, V), avp(4320, INDEFINITE, V)], V)]),
    "oda": message(MOData, False, T6A, t6a_answer([avp(268, 2001)])),
    "oda_experimental": message(MOData, False, T6A, t6a_answer(experimental(5651))),
    "tdr": message(MTData, True, T6A, [avp(263, "scef.dromio.test;1;2"), user(), avp(1020, b"\x05", V), avp(277, 1)]
                   + origin("scef.dromio.test", "dromio.test") + [avp(293, b"mme1.example.org"), avp(283, b"example.org"),
                   avp(4315, b"\x81\x00\x3c", V), avp(4316, INDEFINITE, V), avp(3330, LATER, V, m=False)]),
    "tda_unreachable": message(MTData, False, T6A, [avp(263, "scef.dromio.test;1;2"), *experimental(5653), avp(277, 1)] + origin()
                               + [avp(3331, LATER, V, m=False)]),
    "tda_delivered": message(MTData, False, T6A, [avp(263, "scef.dromio.test;1;2"), avp(268, 2001), avp(277, 1)] + origin()
                             + [avp(4321, 1, V, m=False)]),
    "rir": message(ReportingInformation, True, T6A, [avp(263, "mme1.example.org;1;9"), avp(277, 1)] + origin() + [avp(283, b"dromio.test"),
                   avp(3123, [avp(3124, 77, V), avp(3125, b"scef.dromio.test", V), avp(3127, 1, V), avp(3140, 1, V)], V),
                   avp(3123, [avp(3124, 78, V)], V)]),
    "ria": message(ReportingInformation, False, T6A, [avp(263, "mme1.example.org;1;9"), *experimental(5515), avp(277, 1)]
                   + origin("scef.dromio.test", "dromio.test") + [
                   avp(3171, [avp(3124, 77, V), avp(3125, b"scef.dromio.test", V), avp(298, 5515)], V, m=False),
                   avp(3171, [avp(3124, 78, V), avp(3125, b"scef.dromio.test", V), avp(298, 5515)], V, m=False)]),
    "nir": message(NIDDInformation, True, S6T, [avp(263, "scef.dromio.test;1;2"), avp(277, 1)] + origin("scef.dromio.test", "dromio.test") + [
        avp(283, b"example.org"), avp(3102, [avp(3111, "t1@acme.example", V)], V), avp(3150, [avp(493, "iot"), avp(3159, LATER, V, m=False)], V),
        avp(3178, [avp(3179, "meters", V, m=False)], V, m=False), LOSS]),
    "nir_msisdn": message(NIDDInformation, True, S6T, [avp(263, "scef.dromio.test;1;2"), avp(277, 1)]
                          + origin("scef.dromio.test", "dromio.test") + [avp(283, b"example.org"), avp(3102, [avp(701, MSISDN, V)], V),
                                                                         avp(3150, [], V), LOSS]),
    "nia": message(NIDDInformation, False, S6T, [avp(263, "scef.dromio.test;1;2"), avp(268, 2001), avp(277, 1)] + origin() + [
        avp(3151, [avp(701, MSISDN, V), avp(1, "001010000000001"), avp(3111, "t1@acme.example", V), avp(3160, LATER, V, m=False)], V)]),
    "nir_update": message(NIDDInformation, True, S6T, [avp(263, "mme1.example.org;1;2"), avp(277, 1)] + origin() + [
        avp(283, b"dromio.test"), avp(3102, [avp(3111, "t1@acme.example", V), avp(1, "001010000000001")], V), UPDATE]),
    "nia_update": message(NIDDInformation, False, S6T, [avp(263, "mme1.example.org;1;2"), avp(268, 2001), avp(277, 1)]
                          + origin("scef.dromio.test", "dromio.test")),
    "dar": message(DeviceAction, True, TSP, ours() + [avp(258, TSP), device_action(1, TRIGGER_DATA, avp(448, 3600)), CHANGES]),
    "dar_replace": message(DeviceAction, True, TSP, ours() + [avp(258, TSP), device_action(4, TRIGGER_DATA, avp(448, 3600), old=0x12300006), CHANGES]),
    "dar_recall": message(DeviceAction, True, TSP, ours() + [
        avp(258, TSP), device_action(3, old=0x12300006, name=avp(701, MSISDN, V)), CHANGES]),
    "daa": message(DeviceAction, False, TSP, theirs() + [avp(258, TSP), device_notification(avp(3005, 1, V), avp(3008, 0, V)),
                                                         Avp(3012, V, b"\0\0\0\1")]),
    "daa_refused": message(DeviceAction, False, TSP, theirs() + [
        avp(258, TSP), device_notification(avp(3005, 4, V), avp(3008, 110, V), avp(3203, 1, V, m=False))]),
    "dnr": message(DeviceNotification, True, TSP, [avp(263, "mme1.example.org;1;2"), avp(258, TSP), avp(277, 1)] + origin() + TO_US + [
        device_notification(avp(3005, 2, V), avp(3009, 1, V))]),
    "dna": message(DeviceNotification, False, TSP, [avp(263, "mme1.example.org;1;2"), avp(268, 2001), avp(277, 1)]
                   + origin("scef.dromio.test", "dromio.test") + [avp(258, TSP)]),
    "dna_unknown": message(DeviceNotification, False, TSP, [avp(263, "mme1.example.org;1;2"), avp(268, 5004), avp(277, 1)]
                           + origin("scef.dromio.test", "dromio.test") + [avp(258, TSP), avp(279, [avp(3002, [avp(3007, 0x12300007, V)], V)])]),
    "sir": message(SubscriberInformation, True, S6M, ours() + [
        avp(3102, USER[2:], V), avp(3103, 0, V), avp(3104, SENDER, V),
        avp(3105, [avp(3106, [avp(3006, 1, V), avp(3309, SENDER_ADDRESS, V)], V), avp(3010, 4711, V)], V), avp(3110, 1, V)]),
    "sia": message(SubscriberInformation, False, S6M, theirs() + [avp(3102, USER[:2], V), avp(3107, [avp(3108, NODES, V)], V)]),
    "sia_absent": message(SubscriberInformation, False, S6M, theirs() + [
        avp(3102, USER[:1], V), avp(3107, [avp(3108, [avp(3109, 1, V)] + NODES, V)], V)]),
    "sia_barred": message(SubscriberInformation, False, S6M, theirs() + [avp(3102, USER[:1], V), avp(3107, [avp(3108, [avp(3109, 5, V)], V)], V)]),
    "dtr": message(DeviceTrigger, True, T4, ours() + [
        avp(3102, USER[:2], V), avp(3309, SENDER_ADDRESS, V), avp(3004, b"wake up", V), *NODES, avp(3007, 0x12300007, V), avp(448, 3600),
        avp(3006, 1, V), avp(3010, 4711, V), avp(3202, 0, V, m=False), CHANGES]),
    "dtr_recall": message(DeviceTrigger, True, T4, ours() + [
        avp(3102, USER[:2], V), avp(3309, SENDER_ADDRESS, V), avp(3004, b"wake up", V), avp(3007, 0x12300007, V),
        avp(3011, 0x12300006, V, m=False), avp(3202, 1, V, m=False), CHANGES]),
    "dta": message(DeviceTrigger, False, T4, theirs() + [CHANGES]),
    "dta_refused": message(DeviceTrigger, False, T4, [avp(263, "scef.dromio.test;1;2"), *experimental(5534), avp(3203, 0, V, m=False), avp(277, 1)]
                           + origin()),
    "drr": message(DeliveryReport, True, T4, [avp(263, "mme1.example.org;1;2"), avp(277, 1)] + origin() + TO_US + [
        avp(3102, USER[:2], V), avp(3309, SENDER_ADDRESS, V), avp(3200, 2, V), avp(3007, 0x12300007, V)]),
    "dra_unknown": message(DeliveryReport, False, T4, [avp(263, "mme1.example.org;1;2"), avp(268, 5004), avp(277, 1)]
                           + origin("scef.dromio.test", "dromio.test") + [avp(279, [avp(3007, 0x12300007, V)])]),
    "cea_too_often": message(CapabilitiesExchange, False, 0, [avp(268, 5009)] + origin() + [avp(279, [avp(264, b"mme2.example.org")])],
                             proxiable=False),
    "odr_missing": message(MOData, False, T6A, t6a_answer([avp(268, 5005)], avp(279, [avp(3102, [avp(1, "")], V)]))),
}


def corpus(directory):
    """One file per message for the readers, and with a choice byte in front for a peer's stream."""
    for name, data in MESSAGES.items():
        for target, front in (("diameter_read", b""), ("diameter_peer", b"\x07")):
            os.makedirs(os.path.join(directory, target), exist_ok=True)
            with open(os.path.join(directory, target, name), "wb") as file:
                file.write(front + data)
    with open(os.path.join(directory, "diameter_peer", "cer_then_all"), "wb") as file:
        file.write(b"\xf6" + b"".join(MESSAGES[name] for name in ("cer", "cmr", "odr", "odr_exception", "rir", "dwr", "tda_delivered", "dpr")))


def s6t_corpus(directory):
    """The AVPs that an HSS may put behind the usual ones: 0 of a request, 1 of an answer, 3 of one about a group."""
    names = [avp(1, "001010000000001"), avp(701, MSISDN, V), avp(3111, "t1@acme.example", V)]
    members = [avp(3177, names, V, m=False), avp(3177, names[:1], V, m=False)]
    inputs = {
        "answer": b"\1" + avp(3151, names + [avp(3160, LATER, V, m=False)], V).as_bytes(),
        "answer_aliases": b"\1" + avp(3151, [avp(3111, f"t{n}@acme.example", V) for n in range(4)], V).as_bytes(),
        "answer_group": b"\3" + b"".join(item.as_bytes() for item in members) + avp(3176, 1, V, m=False).as_bytes(),
        "request": b"\0" + avp(3102, names, V).as_bytes() + UPDATE.as_bytes(),
        "request_group": b"\0" + avp(3102, [names[2], avp(3168, 1, V, m=False)], V).as_bytes() + b"".join(item.as_bytes() for item in members)
                         + avp(3174, 1, V, m=False).as_bytes(),
    }
    report = avp(623, [avp(624, 7, m=False), avp(626, 0, m=False), avp(627, 50, m=False), avp(625, 60, m=False)], m=False)
    load = avp(650, [avp(651, 0, m=False), avp(652, 40000, m=False), avp(649, b"mme1.example.org", m=False)], m=False)
    inputs["answer_overload"] = b"\1" + b"".join(item.as_bytes() for item in (LOSS, report, load, avp(301, 3, m=False)))
    inputs["request_overload"] = b"\0" + avp(3102, names, V).as_bytes() + LOSS.as_bytes() + avp(301, 15, m=False).as_bytes()
    os.makedirs(os.path.join(directory, "s6t"), exist_ok=True)
    for name, data in inputs.items():
        with open(os.path.join(directory, "s6t", name), "wb") as file:
            file.write(data)


def trigger_corpus(directory):
    """What nodes put behind the usual AVPs: 0 DNR, 1 DRR, 2 DAA, 3 SIA, 4 DTA."""
    inputs = {
        "notification": [b"\0", device_notification(avp(3005, 2, V), avp(3009, 1, V))],
        "notification_msisdn": [b"\0", avp(3002, [avp(701, MSISDN, V), avp(3007, 1, V), avp(3005, 2, V), avp(3009, 9, V)], V)],
        "report": [b"\1", avp(3102, USER, V), avp(3309, SENDER_ADDRESS, V), avp(3200, 0, V), avp(3201, 1, V), avp(3007, 7, V)],
        "action": [b"\2", device_notification(avp(3005, 1, V), avp(3008, 112, V), avp(3203, 0, V, m=False)), Avp(3012, V, b"\0\0\0\1")],
        "subscriber": [b"\3", avp(3102, USER[:2], V), avp(3102, USER[2:], V), avp(3107, [avp(3108, NODES, V)], V)],
        "subscriber_absent": [b"\3", avp(3107, [avp(3108, [avp(3109, 7, V)], V)], V)],
        "message": [b"\4", avp(3203, 1, V, m=False), CHANGES],
    }
    os.makedirs(os.path.join(directory, "trigger"), exist_ok=True)
    for name, parts in inputs.items():
        with open(os.path.join(directory, "trigger", name), "wb") as file:
            file.write(parts[0] + b"".join(part.as_bytes() for part in parts[1:]))


def main():
    if sys.argv[1:2] == ["--corpus"]:
        corpus(sys.argv[2])
        s6t_corpus(sys.argv[2])
        trigger_corpus(sys.argv[2])
        return
    print("/* Made by test/peers/diameter_vectors.py with python-diameter 0.9.0; expected bytes of an independent implementation. */")
    print("#pragma once\n\n#include <stdint.h>")
    for name, data in MESSAGES.items():
        print(f"\nstatic const uint8_t vector_{name}[] __attribute__((unused)) = {{")
        for at in range(0, len(data), 20):
            print("    " + ", ".join(f"0x{byte:02x}" for byte in data[at:at + 20]) + ",")
        print("};")


if __name__ == "__main__":
    main()
