"""What the host writes, in the eyes of tshark: every message decodes, nothing is malformed."""
import time

import pytest
from diameter_host import GateHarness
from diameter_peer import IMSI, Mme, RawPeer, cer, dpr, dwr, odr, raw_avp, utc
from diameter_wire import Recorder, dissect, tshark
from test_trigger_malformed import S6M, T4, TSP

pytestmark = pytest.mark.skipif(tshark() is None, reason="tshark is not installed")


def triggers(host, port):
    """A question to each of who triggers devices, and a report of each."""
    for number, (kind, application) in enumerate([(7, S6M), (8, TSP), (9, T4)]):
        with RawPeer(port) as peer:
            peer.send(cer(f"node{kind}.example.org", application))
            peer.receive()
            host.trigger(number, kind, f"node{kind}.example.org", "t1@acme.example")
            peer.receive()
            peer.send(dpr(f"node{kind}.example.org"))
            peer.receive()


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    """A conversation with every command the host speaks, and with refusals."""
    host = GateHarness("--any")
    recorder = Recorder(host.port)
    mme = Mme(port=recorder.port).wait()
    host.core_answers(2001)
    mme.connect_device()
    mme.uplink(b"\x01\x02\x03")
    host.core_answers(0, 5651)
    mme.uplink(b"\x01\x02\x03")
    mme.report(77)
    mme.is_asleep_until(utc(1900000000))
    host.downlink(7, IMSI, "mme1.example.org", "example.org", b"\x81\x00\x3c", int(time.time()) + 30, int(time.time()) + 3600)
    host.core_gets("downlink", id=7)
    with RawPeer(recorder.port).open("mme2.example.org") as peer:
        peer.send(dwr())
        peer.receive()
        for wrong in (odr(extra=raw_avp(9999, b"x")), odr(extra=raw_avp(4314, b"\0", vendor=10415)), odr(extra=bytes(8))):
            peer.send(wrong)
            peer.receive()
        peer.send(dpr())
        peer.receive()
    triggers(host, recorder.port)
    with RawPeer(recorder.port) as peer:
        peer.send(cer(extra=raw_avp(264, b"mme1.example.org") * 64))
        peer.receive()
    with RawPeer(recorder.port) as peer:
        peer.send(cer("mme3.example.org", application=16777251))
        peer.receive()
    path = tmp_path_factory.mktemp("wire") / "host.pcap"
    recorder.write_pcap(path)
    yield path
    recorder.stop()
    host.stop()
    mme.stop()


FROM_HOST = "diameter && tcp.srcport == 3868"


def test_nothing_the_host_wrote_is_malformed(capture):
    assert dissect(capture, "frame.number", only="_ws.malformed && tcp.srcport == 3868") == []
    assert dissect(capture, "_ws.expert.message", only=f"{FROM_HOST} && _ws.expert.severity >= 0x800000") == []
    # A Failed-AVP shows the peer's own mistakes, which tshark warns of.
    own = f"{FROM_HOST} && _ws.expert.severity >= 0x600000 && !(diameter.avp.code == 279)"
    assert dissect(capture, "_ws.expert.message", only=own) == []


def test_every_command_is_named(capture):
    commands = {code for row in dissect(capture, "diameter.cmd.code", only=FROM_HOST) for code in row[0].split(",")}
    assert commands == {"257", "280", "282", "8388732", "8388733", "8388734", "8388719", "8388641", "8388639", "8388643"}


def test_values_are_what_was_meant(capture):
    rows = dissect(capture, "diameter.User-Name", "diameter.Non-IP-Data", "diameter.Destination-Host", "diameter.applicationId",
                   only=FROM_HOST + " && diameter.cmd.code == 8388734")
    assert rows == [[IMSI, "81003c", "mme1.example.org", "16777346"]]
    rows = dissect(capture, "diameter.External-Identifier", "diameter.SCS-Identity", "diameter.Reference-Number", "diameter.Action-Type", "diameter.Payload",
                   "diameter.Priority-Indication", "diameter.Application-Port-Identifier", "diameter.Validity-Time", "diameter.applicationId",
                   only=FROM_HOST + " && diameter.cmd.code == 8388639")
    assert rows == [["t1@acme.example", "94711032f4", str(0x12300007), "1", b"wake up".hex(), "1", "4711", "3600", "16777309"]]
    rows = dissect(capture, "diameter.SIR-Flags", "diameter.S6-Service-ID", "diameter.SM-RP-SMEA", "diameter.applicationId",
                   only=FROM_HOST + " && diameter.cmd.code == 8388641")
    assert rows == [["1", "0", "099194711032f4", "16777310"]]
    rows = dissect(capture, "diameter.Trigger-Action", "diameter.Payload", "diameter.Feature-List", "diameter.applicationId",
                   only=FROM_HOST + " && diameter.cmd.code == 8388643")
    assert rows == [["0", b"wake up".hex(), "1", "16777311"]]
    experimental = dissect(capture, "diameter.Experimental-Result-Code", only=FROM_HOST + " && diameter.Experimental-Result-Code")
    assert sorted({code for row in experimental for code in row[0].split(",")}) == ["5515", "5651"]
    results = dissect(capture, "diameter.Result-Code", only=FROM_HOST + " && diameter.Result-Code")
    assert {code for row in results for code in row[0].split(",")} == {"2001", "5001", "5014", "5009", "5010"}
