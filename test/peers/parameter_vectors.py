#!/usr/bin/env python3
"""Configuration-Information of TS 29.336 with parameters of a device, written by python-diameter (MIT, independent of us).

Run by hand when messages are added; the result is checked in:
    $DROMIO_PYTHON test/peers/parameter_vectors.py > src/gate/parameter_vectors.h
Questions begin with their User-Identifier: what is before it is as in every message of ours.
"""
import datetime

from diameter.message.commands import ConfigurationInformation

from diameter_vectors import LATER, MSISDN, S6T, UTC, V, avp, experimental, message, origin

UNTIL = datetime.datetime(2030, 1, 1, 0, 0, 0, tzinfo=UTC)
USER = avp(3102, [avp(3111, "t1@acme.example", V)], V)
GROUP = avp(3102, [avp(3111, "meters@acme.example", V), avp(3168, 1, V, m=False)], V)
SCEF = avp(3125, b"scef.dromio.test", V)
PROVIDER = avp(3178, [avp(3179, "meters", V, m=False)], V, m=False)


def reference(number):
    return avp(3124, number, V)


def gone(number):
    return avp(3126, number, V)


def bytes_of(*avps):
    return b"".join(item.as_bytes() for item in avps)


# Mondays and Sundays, 20:15:00-08:00 to 22:00:00Z: 04:15 UTC of the days after, Tuesday (bit 2) and Monday (bit 1).
FULL = avp(3114, [avp(3115, 0, V), avp(3116, 30, V), avp(3117, 3600, V),
                  avp(3118, [avp(563, 0b0000110), avp(561, 4 * 3600 + 15 * 60), avp(562, 22 * 3600)], V),
                  avp(3119, 1, V), avp(3148, UNTIL, V), avp(3183, 2, V, m=False), avp(3185, 6, V, m=False)], V)
SMALL = avp(3114, [avp(3115, 1, V), avp(3185, 1, V, m=False)], V)


def answer(*more):
    return message(ConfigurationInformation, False, S6T, [avp(263, "scef.dromio.test;1;2"), avp(268, 2001), avp(277, 1)] + origin() + list(more))


def status(number, *report):
    return avp(3120, [reference(number), SCEF, *report], V)


def error(code, vendor=V):
    return avp(3121, [avp(3146, [avp(266, vendor), avp(3147, code, V)], V)], V)


VECTORS = {
    "cir_patterns": bytes_of(USER, avp(3113, [SCEF, gone(0x00100003), gone(0x00100004)], V),
                             avp(3113, [reference(0x00100001), SCEF, FULL, PROVIDER], V), avp(3113, [reference(0x00100002), SCEF, gone(0x00100005), SMALL, PROVIDER], V)),
    "cia_patterns": answer(status(0x00100001), status(0x00100002, error(5513)), status(0x00100003, error(2001))),
    "cir_parameters": bytes_of(GROUP, avp(3163, 30, V, m=False),
                               avp(3170, [reference(0x00080001), SCEF, avp(1619, 7200, V, m=False), avp(4324, 20, V, m=False), avp(1674, 5, V, m=False),
                                          PROVIDER], V, m=False)),
    "cir_parameters_gone": bytes_of(avp(3102, [avp(701, MSISDN, V)], V), avp(3170, [reference(0x00100001), SCEF, gone(0x00100001)], V, m=False)),
    "cia_parameters": answer(avp(3170, [reference(0x00080001), SCEF, avp(1619, 6480, V, m=False), avp(4324, 16, V, m=False)], V, m=False)),
    "cir_coverage_query": bytes_of(USER, avp(3145, 2, V)),
    "cir_coverage": bytes_of(USER, avp(3155, [avp(3157, [avp(1407, b"\x00\xf1\x10", V), avp(1407, b"\x13\x00\x14", V)], V, m=False)], V, m=False)),
    "cir_coverage_none": bytes_of(USER, avp(3155, [avp(3158, [], V, m=False)], V, m=False)),
    "cia_coverage": answer(avp(3156, [avp(3155, [avp(3158, [avp(1407, b"\x62\xf2\x10", V)], V, m=False)], V, m=False),
                                      avp(1407, b"\x00\xf1\x10", V)], V, m=False)),
    "cia_refused": message(ConfigurationInformation, False, S6T, [avp(263, "scef.dromio.test;1;2"), *experimental(5001), avp(277, 1)] + origin()),
}


def main():
    print("/* Made by test/peers/parameter_vectors.py with python-diameter 0.9.0; expected bytes of an independent implementation. */")
    print("#pragma once\n\n#include <stdint.h>")
    for name, data in VECTORS.items():
        print(f"\nstatic const uint8_t vector_{name}[] __attribute__((unused)) = {{")
        for at in range(0, len(data), 20):
            print("    " + ", ".join(f"0x{byte:02x}" for byte in data[at:at + 20]) + ",")
        print("};")


if __name__ == "__main__":
    main()
