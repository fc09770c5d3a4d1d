"""T6a with an MME that is not ours (python-diameter): TS 29.128 5.4 to 5.8 as RFC 6733 peers."""
import time

import pytest
from diameter_host import GateHarness
from diameter_peer import IMSI, Mme, RawPeer, dpa, find, result_of, utc
from host import free_port


@pytest.fixture(scope="module")
def host():
    harness = GateHarness("--any")
    yield harness
    assert harness.stop() == 0
    assert not any(IMSI in line for line in harness.log), "an IMSI was logged"


@pytest.fixture(scope="module")
def mme(host):
    peer = Mme(port=host.port).wait()
    yield peer
    peer.stop()


def test_an_uplink_is_answered(host, mme):
    host.core_answers(2001)
    assert result_of(mme.uplink(b"\x01\x02")) == 2001
    uplink = host.core_gets("uplink")
    assert (uplink["imsi"], uplink["bearer"], uplink["data"], uplink["host"]) == (IMSI, "05", "0102", "mme1.example.org")


def test_an_uplink_of_an_unknown_bearer_is_an_experimental_result(host, mme):
    host.core_answers(0, 5651)
    answer = mme.uplink(b"\x01")
    assert find(answer, 268) is None
    assert (find(answer, 297, 266), find(answer, 297, 298)) == (10415, 5651)


def test_a_connection_is_established_updated_and_released(host, mme):
    host.core_answers(2001)
    assert result_of(mme.connect_device()) == 2001
    assert host.core_gets("connection")["apn"] == "nidd.test"
    assert result_of(mme.device_is_reachable(utc(1900000000))) == 2001
    reachable = host.core_gets("connection")
    assert (reachable["action"], reachable["reachable"], reachable["until"]) == (2, 1, 1900000000)
    assert result_of(mme.connect_device(action=1)) == 2001
    assert host.core_gets("connection")["action"] == 1


def test_a_downlink_reaches_the_mme_and_its_answer_the_core(host, mme):
    until = int(time.time()) + 30
    host.downlink(7, IMSI, "mme1.example.org", "example.org", b"\x81\x00\x3c", until, until + 3600)
    request = mme.downlinks.get(timeout=20)
    assert find(request, 3102, 1) == IMSI
    assert find(request, 4315) == b"\x81\x00\x3c"
    assert int(find(request, 4316).timestamp()) == until
    assert int(find(request, 3330).timestamp()) == until + 3600
    told = host.core_gets("downlink", id=7)
    assert (told["outcome"], told["result"]) == (0, 2001)


def test_a_sleeping_device_is_told_with_its_time(host, mme):
    mme.is_asleep_until(utc(1900000000))
    host.downlink(8, IMSI, "mme1.example.org", "example.org", b"\x01", int(time.time()) + 30)
    told = host.core_gets("downlink", id=8)
    assert (told["outcome"], told["experimental"], told["retransmission"]) == (0, 5653, 1900000000)


def test_a_report_with_an_unknown_reference_is_5515(host, mme):
    answer = mme.report(77)
    assert find(answer, 297, 298) == 5515
    assert find(answer, 3171, 3124) == 77
    assert find(answer, 3171, 298) == 5515


def test_a_goodbye_of_the_mme_is_clean(host, mme):
    mme.stop()
    assert host.core_gets("peer", open=0)["host"] == "mme1.example.org"
    assert host.drops("state") == 0 and host.drops("frame") == 0


def test_a_goodbye_of_the_host_is_clean():
    host = GateHarness("--any")
    with RawPeer(host.port).open() as peer:
        host.say("stop")
        goodbye = peer.receive()
        assert (goodbye.header.command_code, find(goodbye, 273)) == (282, 0)
        peer.send(dpa(goodbye))
        assert peer.is_closed()
    assert host.stop() == 0


def test_the_host_connects_to_a_configured_mme():
    port = free_port()
    mme = Mme(listen_port=port)
    host = GateHarness("--peer", f"mme1.example.org,127.0.0.1:{port},1")
    try:
        host.core_gets("peer", open=1)
        host.downlink(9, IMSI, "mme1.example.org", "example.org", b"\x01", int(time.time()) + 30)
        assert host.core_gets("downlink", id=9)["result"] == 2001
    finally:
        assert host.stop() == 0
        mme.stop()
