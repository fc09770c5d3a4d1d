"""Uplinks through the whole host: T6a connections, ODR and its answers, what thermo makes of frames."""
import re

import pytest
from diameter_peer import IMSI as NODE_IMSI
from diameter_peer import Mme as NodeMme
from host import Host, thermo_period, thermo_reading, until
from mme import RELEASE, UPDATE, Load, Mme, find, result_of


# ---- MO-Data ----

def test_an_uplink_is_answered_2001_and_shown(thermometer):
    device = thermometer()
    answer = device.uplink(thermo_reading(1, 21.5, 40.5, 3580))
    assert find(answer, 264) == b"scef.dromio.test" and find(answer, 296) == b"dromio.test"
    shown = device.host.admin.twin(device.id)
    assert shown["properties"]["temperature"]["value"] == 21.5
    assert (device["humidity"], device["battery"], device["readings"]) == (40.5, 3.58, 1)
    assert shown["contact"]["why"] == "uplink" and shown["contact"]["last"] == shown["properties"]["temperature"]["time"]


def test_an_mme_that_is_not_ours_is_served(real):
    """python-diameter's whole stack: its state machine, its sessions, its watchdog."""
    real.admin.put_twin("node@acme.example", imsi=NODE_IMSI)
    peer = NodeMme(port=real.diameter_port).wait()
    try:
        assert result_of(peer.connect_device()) == 2001
        assert result_of(peer.uplink(thermo_reading(1, 19.25))) == 2001
        assert real.admin.value("node@acme.example", "temperature") == 19.25
        real.admin.write("node@acme.example", "period", 900)
        downlink = peer.downlinks.get(timeout=20)
        assert find(downlink, 4315) == b"\x81\x03\x84"
        assert result_of(peer.report(99)) == 5515
    finally:
        peer.stop()


def test_an_unknown_imsi_is_5001(mme):
    answer = mme.odr("001019999999999", thermo_reading(1))
    assert find(answer, 268) is None
    assert (find(answer, 297, 266), find(answer, 297, 298)) == (10415, 5001)


def test_without_a_connection_or_with_another_bearer_it_is_5651(mme, real, thermometer, names):
    name, imsi = next(names)
    real.admin.put_twin(name, imsi=imsi)
    assert result_of(mme.odr(imsi, thermo_reading(1))) == 5651
    device = thermometer()
    assert result_of(mme.odr(device.imsi, thermo_reading(1), bearer=b"\x06")) == 5651
    device.uplink(thermo_reading(1))


def test_an_imsi_without_a_twin_is_5652_at_cmr(mme):
    assert result_of(mme.cmr("001019999999998")) == 5652


def test_a_released_connection_is_gone(mme, thermometer):
    device = thermometer()
    assert result_of(mme.cmr(device.imsi, action=RELEASE, bearer=b"\x06")) == 5651
    assert result_of(mme.cmr(device.imsi, action=RELEASE)) == 2001
    assert result_of(mme.odr(device.imsi, thermo_reading(1))) == 5651
    assert result_of(mme.cmr(device.imsi, action=UPDATE)) == 5651
    mme.attach(device.imsi)
    device.uplink(thermo_reading(1))


def test_a_connection_established_again_replaces_the_old_one(real, mme, thermometer):
    device = thermometer()
    mme.attach(device.imsi)  # the same, from the same MME
    with Mme(real, identity="mme2.epc.test") as other:
        other.attach(device.imsi)
        device.write("period", 600)
        assert other.downlinks.get(timeout=20).data == b"\x81\x02\x58"
        assert mme.downlinks.empty()
        other.uplink(device.imsi, thermo_reading(1, 23.0))
        assert device["temperature"] == 23.0
        other.attach(device.imsi, bearer=b"\x07")
        other.uplink(device.imsi, thermo_reading(2, 24.0), bearer=b"\x07")
        assert device["readings"] == 2


def test_a_frame_that_is_not_the_twins_is_rejected_and_2001(thermometer):
    device = thermometer()
    device.uplink(thermo_reading(1, 20.0))
    before = device.host.admin.get(f"/v1/twins/{device.id}/properties").json()
    broken = thermo_reading(2, 30.0)
    frames = [b"", b"\x03", broken[:7], broken + b"\0", broken[:7] + bytes([broken[7] ^ 1]), b"\x02\x02", b"\x02\x02\x58\x00",
              b"\xff" * 300, b"\x02\x00\x05"]
    for count, frame in enumerate(frames, 1):
        if frame:
            device.uplink(frame)
        else:
            frames_without = result_of(device.mme.odr(device.imsi, b""))
            assert frames_without in (2001, 5005, 5014)
            if frames_without != 2001:
                device.uplink(b"\x03")
        after = device.host.admin.get(f"/v1/twins/{device.id}/properties").json()
        assert after.pop("rejected")["value"] == count
        assert after == {name: value for name, value in before.items() if name != "rejected"}
    device.uplink(thermo_reading(2, 30.0))
    assert (device["temperature"], device["readings"], device["lost"]) == (30.0, 2, 0)


def test_an_uplink_of_the_largest_size_is_taken(thermometer):
    device = thermometer()
    device.uplink(b"\x09" * 1358)
    assert device["rejected"] == 1


def test_a_monitoring_report_with_an_unknown_reference_is_5515(mme):
    answer = mme.report(4711)
    assert (find(answer, 297, 266), find(answer, 297, 298)) == (10415, 5515)


# ---- duplicates ----

def test_a_duplicate_gets_the_first_answer_and_no_turn(real, mme, thermometer):
    device = thermometer()
    end = 0x1234567
    device.uplink(thermo_reading(1, 20.0), end=end)
    turns, duplicates = real.metric("dromio_turns_total"), real.metric("dromio_duplicates_total")
    device.uplink(thermo_reading(1, 20.0), end=end, is_again=True)
    device.uplink(thermo_reading(2, 25.0), end=end)  # it is the ids that count
    assert real.metric("dromio_turns_total") == turns and real.metric("dromio_duplicates_total") == duplicates + 2
    assert (device["temperature"], device["readings"], device["duplicates"]) == (20.0, 1, 0)
    with Mme(real, identity="mme3.epc.test") as other:  # another Origin-Host: another request
        other.uplink(device.imsi, thermo_reading(2, 25.0), end=end)
    assert (device["temperature"], device["readings"]) == (25.0, 2)


def test_a_duplicate_while_the_first_is_under_way_has_no_turn(mme, thermometer):
    device = thermometer()
    boxes = [device.mme.begin_odr(device.imsi, thermo_reading(1, 20.0), end=0x7654321, is_again=number > 0) for number in range(8)]
    assert [result_of(box.get(timeout=20)) for box in boxes] == [2001] * 8
    assert (device["readings"], device["duplicates"]) == (1, 0)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_connections_and_duplicates_survive_a_restart(how):
    with Host() as host:
        host.admin.put_twin("r@acme.example", imsi="001010000000077")
        with Mme(host) as mme:
            mme.attach("001010000000077").uplink("001010000000077", thermo_reading(1, 20.0), end=77)
        host.stop() if how == "stop" else host.kill()
        host.start()
        turns = host.metric("dromio_turns_total")
        with Mme(host) as mme:  # no new CMR
            mme.uplink("001010000000077", thermo_reading(1, 20.0), end=77, is_again=True)
            assert host.metric("dromio_turns_total") == turns
            assert host.admin.value("r@acme.example", "readings") == 1
            mme.uplink("001010000000077", thermo_reading(2, 22.0), end=78)
            assert host.admin.value("r@acme.example", "temperature") == 22.0
            host.admin.write("r@acme.example", "period", 60)
            assert mme.downlinks.get(timeout=20).data == b"\x81\x00\x3c"


@pytest.mark.long
def test_the_newest_65536_ids_of_a_host_are_known_and_older_ones_are_not(real, names):
    pairs = [next(names) for _ in range(64)]
    real.admin.bulk({"id": name, "model": "acme/thermo", "imsi": imsi} for name, imsi in pairs)
    with Mme(real, identity="mme4.epc.test") as mme:
        for _, imsi in pairs:
            mme.attach(imsi)
    sent = 0
    with Load(real, "mme4.epc.test") as load:
        for end in range(65537):
            load.send(pairs[end % 64][1], b"\x09", end=end)
            sent += 1
            load.drain(below=1000)
        load.drain()
        rejected = sum(row[0] for row in real.admin.query("select rejected from thermo where id in ('%s')" % "','".join(n for n, _ in pairs)))
        assert set(load.results.values()) == {2001} and rejected == 65537
        for end in range(65536, 65000, -1):
            load.send(pairs[end % 64][1], b"\x09", end=end)
        load.drain()
        load.send(pairs[1][1], b"\x09", end=1)   # the oldest still known
        load.drain()
        now = [row[0] for row in real.admin.query("select sum(rejected) from thermo where id in ('%s')" % "','".join(n for n, _ in pairs))]
        assert now == [65537]
        load.send(pairs[0][1], b"\x09", end=0)   # forgotten
        load.drain()
        assert real.admin.query("select sum(rejected) from thermo where id in ('%s')" % "','".join(n for n, _ in pairs)) == [[65538]]


# ---- what thermo makes of it ----

def test_calibration_is_added_and_said(thermometer):
    device = thermometer(secrets={"calibration": 0.3})
    device.uplink(thermo_reading(1, 21.4))
    shown = device.property("temperature")
    assert (shown["value"], shown["quality"], shown["source"], shown["unit"]) == (21.7, "corrected", "device", "Cel")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown["time"])
    assert device.property("average")["source"] == "twin"


def test_humidity_over_100_is_clamped(thermometer):
    device = thermometer()
    device.uplink(thermo_reading(1, humidity=127.5))
    assert (device["humidity"], device.property("humidity")["quality"]) == (100, "corrected")
    device.uplink(thermo_reading(2, humidity=100))
    assert (device["humidity"], device.property("humidity")["quality"]) == (100, "good")


def test_the_average_is_of_the_last_16(thermometer):
    device = thermometer()
    for number in range(20):
        device.uplink(thermo_reading(number, number))
        last = list(range(max(0, number - 15), number + 1))
        assert device["average"] == pytest.approx(sum(last) / len(last))


def test_negative_and_extreme_temperatures(thermometer):
    device = thermometer()
    for number, value in enumerate((-40.0, -0.01, 327.67, -327.68)):
        device.uplink(thermo_reading(number, value))
        assert device["temperature"] == value


def test_the_battery_is_low_under_3000_until_3100(thermometer):
    device = thermometer()
    for number, (millivolts, low) in enumerate(((3001, False), (3000, False), (2999, True), (3000, True), (3099, True), (3100, False),
                                                (3050, False))):
        device.uplink(thermo_reading(number, battery=millivolts))
        assert (device["battery"], device["battery_low"]) == (millivolts / 1000, low)


def counters(device):
    return {name: device[name] for name in ("readings", "lost", "duplicates", "late", "rejected")}


def test_sequences_say_what_was_lost_came_twice_or_late(thermometer):
    device = thermometer()
    story = [  # sequence, what is expected after it
        (200, dict(readings=1)),            # the first ever: nothing lost
        (200, dict(duplicates=1)),
        (201, dict(readings=2)),
        (205, dict(readings=3, lost=3)),
        (10, dict(readings=4, lost=3 + 60)),           # over the end: 61 ahead
        (201, dict(readings=5, lost=63 + 190)),        # 191 ahead: still ahead
        (201 - 64, dict(late=1)),                      # 192 ahead: late
        (201, dict(duplicates=2)),
        (200, dict(late=2)),                           # 255 ahead
        (202, dict(readings=6)),
    ]
    wanted = dict(readings=0, lost=0, duplicates=0, late=0, rejected=0)
    for sequence, change in story:
        device.uplink(thermo_reading(sequence))
        wanted |= change
        assert counters(device) == wanted, sequence


def test_two_late_frames_in_a_row_are_a_restarted_device(thermometer):
    device = thermometer()
    device.uplink(thermo_reading(100, 20.0))
    device.uplink(thermo_reading(60, 21.0))   # late
    assert device["temperature"] == 20.0
    device.uplink(thermo_reading(61, 22.0))   # accepted as a first frame
    assert (device["temperature"], device["readings"], device["late"], device["lost"]) == (22.0, 2, 1, 0)
    device.uplink(thermo_reading(62, 23.0))
    assert counters(device) == dict(readings=3, lost=0, duplicates=0, late=1, rejected=0)
    device.uplink(thermo_reading(20))
    device.uplink(thermo_reading(22))         # not consecutive
    assert counters(device) == dict(readings=3, lost=0, duplicates=0, late=3, rejected=0)


def test_counters_start_at_zero_and_measures_at_null(thermometer):
    device = thermometer()
    assert counters(device) == dict(readings=0, lost=0, duplicates=0, late=0, rejected=0)
    assert device["temperature"] is None and device["average"] is None and device["period"] is None


def test_a_confirmed_period_is_reported(thermometer):
    device = thermometer()
    device.uplink(thermo_period(600))
    shown = device.property("period")
    assert (shown["value"], shown["unit"], shown["source"], shown["quality"]) == (600, "s", "device", "good")


def test_stale_is_decided_when_read(thermometer):
    """Three periods of 10 s: the one test here that lets time pass, and it waits for the state."""
    device = thermometer()
    device.uplink(thermo_period(10))
    device.uplink(thermo_reading(1, 20.0))
    assert device.property("temperature")["quality"] == "good"
    until(lambda: device.property("temperature")["quality"] == "stale", "a stale temperature")
    shown = {name: value["quality"] for name, value in device.host.admin.twin(device.id)["properties"].items()}
    assert (shown["humidity"], shown["battery"], shown["average"], shown["readings"], shown["period"]) == ("stale", "stale", "good", "good", "good")
    assert device["temperature"] == 20.0
    device.uplink(thermo_reading(2, 21.0))
    assert device.property("temperature")["quality"] == "good"


def test_without_a_period_nothing_is_stale(thermometer):
    device = thermometer()
    device.uplink(thermo_reading(1, 20.0))
    assert device.property("temperature")["quality"] == "good"


def test_contacts_are_learned(thermometer):
    device = thermometer()
    assert device.host.admin.twin(device.id)["contact"] == {"last": None, "next": None, "why": "unknown"}
    for number in range(3):
        device.uplink(thermo_reading(number))
    contact = device.host.admin.twin(device.id)["contact"]
    assert contact["why"] in ("uplink", "learned") and contact["last"] is not None


def test_many_devices_at_once(real, mme, names):
    pairs = [next(names) for _ in range(200)]
    assert all(line["status"] == 201 for line in real.admin.bulk({"id": name, "model": "acme/thermo", "imsi": imsi} for name, imsi in pairs))
    for _, imsi in pairs:
        mme.attach(imsi)
    boxes = [mme.begin_odr(imsi, thermo_reading(round_, number % 50)) for round_ in range(3) for number, (_, imsi) in enumerate(pairs)]
    assert all(result_of(box.get(timeout=30)) == 2001 for box in boxes)
    for number, (name, _) in list(enumerate(pairs))[::17]:
        assert real.admin.value(name, "readings") == 3 and real.admin.value(name, "temperature") == number % 50


def test_a_frame_no_twin_can_take_is_5012_and_the_next_one_is_served(thermometer, mme):
    device = thermometer()
    assert result_of(mme.odr(device.imsi, bytes(2049))) == 5012
    assert result_of(mme.odr(device.imsi, bytes(2048))) == 2001
    assert device["rejected"] == 1
