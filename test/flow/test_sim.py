"""dromio-sim against a SCEF that is not ours: what its MMEs say on T6a (TS 29.128), how
they live with a host that is slow, refuses, or goes away, and what its devices do."""
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time

import pytest
from diameter.message import Avp
from diameter.message.constants import AVP_PRODUCT_NAME

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "peers"))
from fake_scef import CER, CMR, DPR, DWR, ESTABLISH, ODR, RELEASE, TDR, T6A, UPDATE, FakeScef, HangUp, Silence  # noqa: E402

SIM = pathlib.Path(os.environ.get("DROMIO_BUILD", ROOT / "build")) / "dromio-sim"
FIRST = "001010000000001"
SUCCESS, TOO_BUSY, ASLEEP, NOT_CONFIGURED, USER_UNKNOWN, INVALID_BEARER = 2001, 3004, 5653, 5652, 5001, 5651
# A reading every 0.2 seconds of the wall clock, never asleep.
AWAKE = ["--period", "60", "--active", "3600", "--speed", "300", "--edrx", "0"]
# A reading every 2 seconds: what is sent again has long come before the next.
PATIENT = ["--period", "60", "--active", "3600", "--speed", "30", "--edrx", "0"]
# Awake for 10 of 300 seconds, 100 times as fast: 0.3 of 3 seconds, since it is awake for so long at least.
SLEEPY = ["--period", "300", "--active", "10", "--speed", "100", "--edrx", "0"]


class Run:
    """A dromio-sim that is running."""

    def __init__(self, scef, *options):
        connect = scef if isinstance(scef, str) else scef.address
        self.process = subprocess.Popen([str(SIM), "--connect", connect, *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.end()

    def end(self):
        out, self.errors = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, self.errors
        return json.loads(out)


@pytest.fixture
def scef():
    made = FakeScef()
    yield made
    made.close()


@pytest.fixture
def sim(scef):
    runs = []

    def start(*options, at=None):
        runs.append(Run(at or scef, *options))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
        run.process.wait()
        for pipe in (run.process.stdout, run.process.stderr):
            pipe.close()


def reading(data):
    kind, sequence, temperature, humidity, battery, check = struct.unpack(">BBhBHB", data)
    assert kind == 1 and humidity <= 200
    left = 0
    for byte in data[:7]:
        left ^= byte
    assert left == check
    return sequence, temperature / 100, humidity / 2, battery / 1000


def readings_of(scef, imsi=FIRST):
    return [s for s in scef.of(ODR, imsi=imsi) if s.data[0] == 1]


# ---- RFC 6733: a peer ----

def test_capabilities_name_t6a_and_the_vendor(scef, sim):
    sim("--devices", "1")
    cer = scef.wait(lambda: scef.of(CER))[0]
    assert (cer.origin_host, cer.origin_realm, cer.application) == ("mme.epc.dromio.test", "epc.dromio.test", T6A)


def test_watchdog_is_answered(scef, sim):
    sim("--devices", "1")
    connection = scef.wait(lambda: scef.of(CMR))[0].connection
    assert scef.answer_to(scef.request(connection, DWR)).result == SUCCESS


def test_unknown_request_is_answered_3001(scef, sim):
    sim("--devices", "1")
    connection = scef.wait(lambda: scef.of(CMR))[0].connection
    assert scef.answer_to(scef.request(connection, 8388719, T6A)).result == 3001


def test_disconnect_is_answered_and_followed_by_a_new_connection(scef, sim):
    sim("--devices", "1")
    connection = scef.wait(lambda: scef.of(CMR))[0].connection
    assert scef.answer_to(scef.request(connection, DPR)).result == SUCCESS
    scef.wait(lambda: len(scef.of(CER)) == 2)


def test_garbage_ends_the_connection_and_a_new_one_follows(scef, sim):
    run = sim("--devices", "1")
    scef.wait(lambda: scef.of(CMR))  # open once: a host that never answers is another story
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x01\xff\xff\xfc" + bytes(100), b"\x01\x00\x00\x14" + b"\xff" * 4000):
        before = len(scef.of(CER))
        scef.wait(lambda: scef.connections)[-1].sock.sendall(garbage)
        scef.wait(lambda: len(scef.of(CER)) > before)
    assert run.stop()["malformed"] >= 2


def test_answers_nobody_asked_for_are_dropped(scef, sim):
    run = sim("--devices", "1", *AWAKE)
    first = scef.wait(lambda: readings_of(scef))[0]
    for change in (1, 1 << 12):  # another slot, an earlier use of the same slot
        answer = scef._answer(first.message, first, SUCCESS)
        answer.header.hop_by_hop_identifier ^= change
        first.connection.send(answer)
    first.connection.send(scef._answer(first.message, first, SUCCESS))  # the second time
    scef.wait(lambda: len(readings_of(scef)) >= 4)
    summary = run.stop()
    assert summary["strays"] == 3 and summary["losses"] == 0


def test_leaves_with_a_disconnect_request(scef, sim):
    run = sim("--devices", "3")
    scef.wait(lambda: len(scef.of(CMR)) == 3)
    run.stop(signal.SIGTERM)
    assert scef.of(DPR)[0].disconnect_cause == 0


def test_refused_capabilities_are_tried_again(sim):
    refusing = FakeScef(capabilities_result=3010)
    sim("--devices", "1", at=refusing)
    refusing.wait(lambda: len(refusing.of(CER)) >= 2)
    assert not refusing.of(CMR)
    refusing.close()


def test_a_host_never_there_is_exit_9(sim):
    gone = FakeScef()
    gone.close()
    run = sim("--devices", "1", "--for", "0.5", at=gone)
    run.process.communicate(timeout=30)
    assert run.process.returncode == 9


# The M bit of 3GPP's AVPs, and of Product-Name (RFC 6733 4.5), is ours to set: python-diameter sets it nearly always.
def test_messages_are_byte_for_byte_what_python_diameter_writes(scef, sim):
    run = sim("--devices", "1", *AWAKE)
    scef.wait(lambda: readings_of(scef))
    scef.answer_to(scef.downlink(FIRST, b"\x82\x05"))
    run.stop()
    kinds = set()
    for s in scef.requests + scef.answers:
        kinds.add(s.command)
        for avp in s.message.avps:
            again = Avp.new(avp.code, avp.vendor_id, value=avp.value)
            if avp.vendor_id or avp.code == AVP_PRODUCT_NAME:
                again.is_mandatory = avp.is_mandatory
            assert again.as_bytes() == avp.as_bytes(), avp
    assert kinds == {CER, DPR, CMR, ODR, TDR}


# ---- TS 29.128: connections and uplinks ----

def test_attach_carries_imsi_bearer_apn_and_nb_iot(scef, sim):
    run = sim("--devices", "7", "--attach-only", "--apn", "meters", "--imsi-first", "262019999999997")
    summary = run.end()
    attaches = scef.of(CMR)
    assert sorted(s.imsi for s in attaches) == [str(262019999999997 + i) for i in range(7)]
    for s in attaches:
        assert (s.bearer, s.action, s.apn, s.rat_type, s.auth_session_state) == (b"\x05", ESTABLISH, "meters", 1005, 1)
        assert (s.destination_host, s.destination_realm) == ("scef.dromio.test", "dromio.test")
    assert len({s.session for s in attaches}) == 7
    assert summary["attached"] == summary["attaches"] == 7 and summary["readings"] == 0


def test_refused_attach_is_counted_and_sends_nothing(scef, sim):
    scef.policy = lambda seen: ("experimental", NOT_CONFIGURED)
    run = sim("--devices", "4", *AWAKE)
    scef.wait(lambda: len(scef.of(CMR)) >= 4)
    summary = run.stop()
    assert summary["attaches_refused"] >= 4 and summary["last_refusal"] == NOT_CONFIGURED and not scef.of(ODR)


def test_uplinks_are_thermo_frames_in_sequence(scef, sim):
    sim("--devices", "1", *AWAKE)
    scef.wait(lambda: len(readings_of(scef)) >= 4)
    frames = [reading(s.data) for s in readings_of(scef)[:4]]
    assert [f[0] for f in frames] == [0, 1, 2, 3]
    for _, temperature, humidity, battery in frames:
        assert -30 < temperature < 50 and 10 <= humidity <= 100 and 2.4 < battery < 3.7


def test_same_seed_sends_the_same_readings(scef, sim):
    def first_three(seed):
        del scef.requests[:]
        run = sim("--devices", "3", "--seed", seed, *AWAKE)
        scef.wait(lambda: all(len(readings_of(scef, f"00101000000000{i}")) >= 3 for i in (1, 2, 3)))
        run.stop()
        # The hour of the day moves on between two runs: humidity and battery hang on it less than temperature.
        return [[reading(s.data)[3] for s in readings_of(scef, f"00101000000000{i}")[:3]] for i in (1, 2, 3)]

    one, again, other = first_three("7"), first_three("7"), first_three("8")
    close = lambda a, b: all(abs(x - y) < 0.01 for p, q in zip(a, b) for x, y in zip(p, q))  # noqa: E731
    assert close(one, again) and not close(one, other)


def test_lost_readings_leave_gaps_in_the_sequence(scef, sim):
    run = sim("--devices", "1", "--loss", "0.5", *AWAKE, "--speed", "900")
    scef.wait(lambda: len(readings_of(scef)) >= 12)
    summary = run.stop()
    sequences = [reading(s.data)[0] for s in readings_of(scef)]
    assert sequences == sorted(set(sequences)) and sequences[-1] - sequences[0] >= len(sequences)
    assert summary["readings_lost"] > 0 and summary["readings"] == summary["readings_lost"] + summary["uplinks_sent"]


def test_a_duplicate_has_the_t_flag_and_the_same_end_to_end_id(scef, sim):
    run = sim("--devices", "2", "--duplicate", "1", *AWAKE)
    scef.wait(lambda: len(scef.of(ODR, is_retransmit=True)) >= 6)
    summary = run.stop()
    firsts = {s.end_to_end: s for s in scef.of(ODR, is_retransmit=False)}
    for again in scef.of(ODR, is_retransmit=True):
        first = firsts[again.end_to_end]
        assert (again.session, again.imsi, again.data) == (first.session, first.imsi, first.data)
        assert again.hop_by_hop != first.hop_by_hop
    assert summary["duplicates_answered"] == summary["duplicates"] and summary["duplicates_differ"] == 0


def test_a_late_reading_comes_after_its_successor(scef, sim):
    sim("--devices", "1", "--late", "1", *AWAKE)
    scef.wait(lambda: len(readings_of(scef)) >= 4)
    assert [reading(s.data)[0] for s in readings_of(scef)[:4]] == [1, 0, 3, 2]


def test_a_restart_releases_attaches_and_counts_from_zero(scef, sim):
    sim("--devices", "1", "--restart", "0.4", "--seed", "3", *AWAKE)
    scef.wait(lambda: len(scef.of(CMR, action=RELEASE)) >= 2 and len(readings_of(scef)) >= 6)
    story = [("release" if s.action == RELEASE else "attach") if s.command == CMR else reading(s.data)[0]
             for s in list(scef.requests) if s.command in (CMR, ODR)]
    at = story.index("release")
    assert story[at + 1:at + 3] == ["attach", 0]


def test_a_move_attaches_from_the_other_mme(scef, sim):
    sim("--devices", "1", "--mmes", "2", "--move", "0.5", "--identity", "mme.north.test", *AWAKE)
    hosts = lambda command: [s.origin_host for s in scef.of(command)]  # noqa: E731
    scef.wait(lambda: len(set(hosts(ODR))) == 2)
    assert set(hosts(CMR)) == {"mme.north.test", "mme2.north.test"}
    serving = None
    for s in list(scef.requests):  # an uplink only ever comes from the MME that attached last
        if s.command == CMR:
            serving = s.origin_host
        elif s.command == ODR:
            assert s.origin_host == serving


def test_busy_is_sent_again_later_as_a_new_request(scef, sim):
    tries = []

    def policy(seen):
        if seen.command != ODR or tries and seen.data != tries[0].data:
            return SUCCESS
        tries.append(seen)
        return TOO_BUSY if len(tries) < 3 else SUCCESS

    scef.policy = policy
    run = sim("--devices", "1", *PATIENT)
    scef.wait(lambda: len(tries) >= 3)
    run.stop()
    assert len(tries) == 3 == len({each.end_to_end for each in tries}) and not any(each.is_retransmit for each in tries)


def test_unknown_connection_makes_the_device_attach_again(scef, sim):
    refused = []

    def policy(seen):
        if seen.command == ODR and not refused:
            refused.append(seen)
            return "experimental", INVALID_BEARER
        return SUCCESS

    scef.policy = policy
    sim("--devices", "1", *PATIENT)
    scef.wait(lambda: len(scef.of(ODR)) >= 2)
    kinds = [s.command for s in list(scef.requests) if s.command in (CMR, ODR)][:4]
    assert kinds == [CMR, ODR, CMR, ODR] and readings_of(scef)[0].data == readings_of(scef)[1].data


# ---- a host that dies ----

def test_unanswered_requests_come_again_after_the_connection_broke(scef, sim):
    broken = []

    def policy(seen):
        if seen.command == ODR and len(broken) < 5:
            broken.append(seen)
            if len(broken) == 5:
                raise HangUp
            raise Silence
        return SUCCESS

    scef.policy = policy
    run = sim("--devices", "5", *AWAKE)
    scef.wait(lambda: len(scef.of(ODR, is_retransmit=True)) >= 5)
    summary = run.stop()
    again = {s.end_to_end: s for s in scef.of(ODR, is_retransmit=True)}
    for first in broken:
        assert again[first.end_to_end].data == first.data and again[first.end_to_end].session == first.session
    assert summary["resent"] >= 5 and summary["losses"] == 1


def test_host_restarted_on_the_same_port_is_found_again(scef, sim):
    run = sim("--devices", "10", *AWAKE)
    scef.wait(lambda: len(scef.of(ODR)) >= 10)
    port = scef.port
    scef.close()
    successor = FakeScef(port)
    successor.wait(lambda: len(successor.of(ODR)) >= 10)
    assert not successor.of(CMR)  # connections survive a restart of the host
    summary = run.stop()
    assert summary["connects"] == 2
    successor.close()


# ---- downlinks and sleep ----

def test_an_awake_device_takes_a_period_and_confirms_it(scef, sim):
    run = sim("--devices", "1", *AWAKE)
    scef.wait(lambda: readings_of(scef))
    answer = scef.answer_to(scef.downlink(FIRST, bytes.fromhex("81012c")))
    assert (answer.result, answer.experimental, answer.tda_flags) == (SUCCESS, None, 1)
    assert answer.session == "scef.dromio.test;1;2"
    scef.wait(lambda: scef.of(ODR, imsi=FIRST, data=bytes.fromhex("02012c")))
    assert run.stop()["periods_set"] == 1


def test_a_new_period_changes_the_schedule(scef, sim):
    sim("--devices", "1", "--period", "60", "--active", "3600", "--speed", "60", "--edrx", "0")
    scef.wait(lambda: readings_of(scef))
    scef.answer_to(scef.downlink(FIRST, bytes.fromhex("810258")))  # 600 s: ten seconds of the wall clock
    scef.wait(lambda: scef.of(ODR, data=bytes.fromhex("020258")))
    before = len(readings_of(scef))
    scef.answer_to(scef.downlink(FIRST, bytes.fromhex("81000a")))  # 10 s: six a second
    scef.wait(lambda: len(readings_of(scef)) >= before + 12)
    times = [s.time for s in readings_of(scef)][-10:]
    assert times[-1] - times[0] < 9  # at the period before it these take ninety seconds


def test_blink_is_taken_and_nonsense_is_delivered_but_not_understood(scef, sim):
    run = sim("--devices", "1", *AWAKE)
    scef.wait(lambda: readings_of(scef))
    for data in (b"\x82\x05", b"\x81\x00\x05", b"\x99"):
        assert scef.answer_to(scef.downlink(FIRST, data)).result == SUCCESS
    summary = run.stop()
    assert (summary["blinks"], summary["periods_set"], summary["commands_unknown"]) == (1, 0, 2)


def test_strangers_and_wrong_bearers_are_refused(scef, sim):
    sim("--devices", "1", *AWAKE)
    connection = scef.wait(lambda: readings_of(scef))[0].connection
    assert scef.answer_to(scef.downlink("999990000000001", b"\x82\x05", connection=connection)).experimental == USER_UNKNOWN
    assert scef.answer_to(scef.downlink(FIRST, b"\x82\x05", bearer=b"\x06")).experimental == INVALID_BEARER


def sleepers(scef, devices):
    """IMSIs whose last uplink is long enough ago that they sleep, once so many devices have sent one."""
    def asleep():
        last = {s.imsi: s.time for s in list(scef.requests) if s.command == ODR}
        return [imsi for imsi, when in last.items() if 0.8 < time.time() - when < 2] if len(last) >= devices else []

    end = time.monotonic() + 60
    while not (imsis := asleep()):
        assert time.monotonic() < end
        with scef.changed:
            scef.changed.wait(0.1)  # time passes without a message, too
    return imsis


def ask_sleepers(scef, devices, **limits):
    """A TDR to each sleeping device: [(IMSI, answer)]."""
    numbers = [(imsi, scef.downlink(imsi, b"\x82\x05", **limits)) for imsi in sleepers(scef, devices)]
    return [(imsi, scef.answer_to(number)) for imsi, number in numbers]


def test_a_sleeper_is_5653_and_reported_reachable_when_it_wakes(scef, sim):
    sim("--devices", "20", *SLEEPY)
    asked = ask_sleepers(scef, 10, retransmit_s=60)
    for imsi, answer in asked:
        assert (answer.result, answer.experimental) == (None, ASLEEP)
    imsi = asked[0][0]
    report = scef.wait(lambda: scef.of(CMR, imsi=imsi, action=UPDATE))[0]
    assert report.cmr_flags == 1 and report.bearer == b"\x05" and report.apn is None
    assert scef.answer_to(scef.downlink(imsi, b"\x82\x05")).result == SUCCESS  # now it is there


def test_the_retransmission_time_is_when_the_device_wakes(scef, sim):
    sim("--devices", "40", *SLEEPY)
    timed = [(imsi, a) for imsi, a in ask_sleepers(scef, 30, retransmit_s=60) if a.retransmission_time is not None]
    assert timed  # most devices are regular ones
    imsi, answer = timed[0]
    wakes = answer.retransmission_time.timestamp()
    report = scef.wait(lambda: scef.of(CMR, imsi=imsi, action=UPDATE))[0]
    assert answer.time < wakes and abs(report.time - wakes) < 2  # whole seconds, rounded up


def test_no_retransmission_time_behind_what_the_host_allows(scef, sim):
    sim("--devices", "200", "--period", "3600", "--active", "10", "--speed", "120", "--edrx", "0")
    asked = ask_sleepers(scef, 5, retransmit_s=1)
    assert all(a.experimental == ASLEEP and a.retransmission_time is None for _, a in asked)


def test_a_paged_device_gets_it_at_its_next_occasion(scef, sim):
    sim("--devices", "5", "--period", "600", "--active", "10", "--speed", "20", "--edrx", "1")
    imsi = sleepers(scef, 1)[0]
    answer = scef.answer_to(scef.downlink(imsi, b"\x82\x05", wait_s=10))  # a cycle is one second of the wall clock here
    assert answer.result == SUCCESS


def test_a_paged_device_is_5653_when_the_host_does_not_wait(scef, sim):
    sim("--devices", "5", "--period", "600", "--active", "1", "--speed", "1", "--edrx", "1", "--seed", "4")
    connection = scef.wait(lambda: len(scef.of(CMR)) == 5 and scef.of(CMR))[0].connection
    answer = scef.answer_to(scef.downlink(FIRST, b"\x82\x05", wait_s=0, retransmit_s=600, connection=connection))
    assert answer.experimental == ASLEEP and answer.retransmission_time is not None


# ---- the oracle ----

def test_oracle_counts_what_the_host_has_answered(scef, sim, tmp_path):
    path = tmp_path / "oracle"
    run = sim("--devices", "3", "--loss", "0.2", "--late", "0.2", "--duplicate", "0.3", "--oracle", str(path), *AWAKE)
    scef.wait(lambda: len(scef.of(ODR)) >= 30)
    run.stop()
    for line in map(json.loads, path.read_text().splitlines()):
        mine = {s.end_to_end: s for s in readings_of(scef, line["imsi"])}.values()
        assert line["sent"] == line["acknowledged"] == len(mine) and line["doubt"] == 0
        assert line["readings"] + line["duplicates"] + line["late"] == len(mine)
        last = next(r for r in reversed([reading(s.data) for s in mine]) if r[0] == line["sequence"])
        assert (line["temperature"], line["humidity"], line["battery"]) == pytest.approx(last[1:])


def test_oracle_has_doubt_about_what_was_never_answered(scef, sim, tmp_path):
    path = tmp_path / "oracle"

    def policy(seen):
        if seen.command == ODR:
            raise Silence
        return SUCCESS

    scef.policy = policy
    run = sim("--devices", "2", "--oracle", str(path), *AWAKE)
    scef.wait(lambda: len(scef.of(ODR)) == 2)
    run.stop()
    for line in map(json.loads, path.read_text().splitlines()):
        assert (line["sent"], line["acknowledged"], line["doubt"], line["readings"]) == (1, 0, 1, 0)
        assert line["sequence"] is None and line["temperature"] is None


def test_a_second_run_goes_on_where_the_first_ended(scef, sim, tmp_path):
    path = tmp_path / "oracle"
    for least in (3, 6):
        run = sim("--devices", "1", "--oracle", str(path), *AWAKE)
        scef.wait(lambda: len(readings_of(scef)) >= least)
        run.stop()
    sequences = [reading(s.data)[0] for s in readings_of(scef)]
    assert sequences == list(range(len(sequences)))
    first, second = map(json.loads, path.read_text().splitlines())
    assert second["sent"] == len(sequences) > first["sent"]


def test_a_foreign_oracle_file_is_refused_with_its_line(scef, sim, tmp_path):
    path = tmp_path / "oracle"
    path.write_text('{"imsi":"1"}\n')
    run = sim("--devices", "1", "--oracle", str(path))
    _, errors = run.process.communicate(timeout=30)
    assert run.process.returncode == 1 and f"{path}:1:" in errors and path.read_text() == '{"imsi":"1"}\n'


# ---- options ----

@pytest.mark.parametrize("options", [["--devices", "0"], ["--loss", "1.5"], ["--imsi-first", "12a"], ["--speed", "nan"],
                                     ["--connect", "nowhere"], ["-o", "xml"], ["--nothing"], ["extra"],
                                     ["--imsi-first", "999999", "--devices", "2"]])
def test_bad_options_are_one_line_and_exit_2(options):
    done = subprocess.run([str(SIM), *options], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and done.stdout == ""


def test_help_lists_the_options():
    done = subprocess.run([str(SIM), "--help"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and all(f"--{name}" in done.stdout for name in ("connect", "speed", "oracle", "attach-only"))
