"""Diameter over SCTP against the real host. Runs where the kernel has SCTP: in the guest of test/flow/test_sctp.py."""
import fcntl
import re
import shutil
import socket
import struct
import subprocess

import pytest
from diameter_peer import (IMSI, LIMIT_S, T6A, V3GPP, RawPeer, avp, capabilities, cer, dpr, dwr, find, odr, plain, request, result_of, t6a_avps)
from diameter.message.commands import ConnectionManagement
from host import Host, thermo_reading, until

SCTP_RECVRCVINFO, SCTP_RCVINFO = 32, 3  # linux/sctp.h
SIOCSIFADDR, SIOCSIFFLAGS = 0x8916, 0x8914
PPID_DIAMETER = 46                      # RFC 6733 11.5


class SctpPeer(RawPeer):
    """One association; `streams` and `identifiers` are those of what was received."""

    def __init__(self, port=None, address="127.0.0.1", accepted=None):
        self.streams, self.identifiers = [], set()
        self.socket = accepted or socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
        self.socket.settimeout(LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_SCTP, SCTP_RECVRCVINFO, 1)
        if accepted is None:
            self.socket.connect((address, port))

    def receive(self):
        """SCTP keeps messages whole: one call, one Diameter message."""
        try:
            data, extra, _flags, _from = self.socket.recvmsg(70000, 256)
        except ConnectionError:
            return None
        if not data:
            return None
        assert len(data) == int.from_bytes(data[1:4], "big"), "not one message"
        for level, kind, info in extra:
            if (level, kind) == (socket.IPPROTO_SCTP, SCTP_RCVINFO):
                self.streams.append(struct.unpack_from("H", info)[0])
                self.identifiers.add(int.from_bytes(info[8:12], "big"))
        return plain(data)


def settings(transport, *addresses):
    port = until(free_port, "a port")
    return port, [f"diameter.transport={transport}", f"diameter.listen=\"{','.join(addresses)}:{port}\""]


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def sctp():
    port, more = settings("both", "127.0.0.1", "127.0.0.2")
    with Host(*more) as host:
        host.diameter_port = port
        host.admin.put_twin("over.sctp@acme.example", imsi=IMSI)
        yield host


def attach(peer):
    peer.send(request(ConnectionManagement, T6A, t6a_avps() + [avp(4314, 0, V3GPP), avp(493, "nidd.test"), avp(1032, 1005, V3GPP)]))
    assert result_of(peer.receive()) == 2001


def leave(peer, host="mme1.example.org"):
    peer.send(dpr(host))
    assert result_of(peer.receive()) == 2001
    assert peer.receive() is None


def test_capabilities_name_all_addresses(sctp):
    with SctpPeer(sctp.diameter_port) as peer:
        peer.send(cer())
        answer = peer.receive()
        assert result_of(answer) == 2001
        assert sorted(item.value[1] for item in answer.avps if item.code == 257) == ["127.0.0.1", "127.0.0.2"]
        assert peer.streams == [0] and peer.identifiers == {PPID_DIAMETER}
        leave(peer)


def test_uplinks_and_downlinks_go_over_all_streams(sctp):
    with SctpPeer(sctp.diameter_port) as peer:
        peer.open()
        attach(peer)
        before = sctp.admin.value("over.sctp@acme.example", "readings")
        for number in range(40):
            peer.send(odr(thermo_reading(number), end=1000 + number))
            assert result_of(peer.receive()) == 2001
        assert sctp.admin.value("over.sctp@acme.example", "readings") == before + 40
        assert peer.streams[0] == 0 and len(set(peer.streams)) > 4
        assert sctp.admin.write("over.sctp@acme.example", "period", 600).status == 202
        downlink = peer.receive()
        assert downlink.header.command_code == 8388734 and find(downlink, 4315) == bytes.fromhex("810258")
        assert peer.identifiers == {PPID_DIAMETER}


def test_the_second_address_answers_too(sctp):
    with SctpPeer(sctp.diameter_port, "127.0.0.2") as peer:
        peer.open("mme2.example.org")
        leave(peer, "mme2.example.org")


def test_tcp_is_there_beside_it(sctp):
    with RawPeer(sctp.diameter_port) as peer:
        peer.open("mme3.example.org")
        peer.send(dpr("mme3.example.org"))
        assert result_of(peer.receive()) == 2001


def test_many_messages_at_once_are_all_answered(sctp):
    with SctpPeer(sctp.diameter_port) as peer:
        peer.open("mme4.example.org")
        for _ in range(500):
            peer.send(dwr("mme4.example.org"))
        assert [result_of(peer.receive()) for _ in range(500)] == [2001] * 500


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x00\x05hello", b"\x01\x00\x00\x08abcd", b"\xff" * 3000], ids=lambda g: g[:4].hex())
def test_garbage_ends_the_association(sctp, garbage):
    with SctpPeer(sctp.diameter_port) as peer:
        peer.send(garbage)
        while peer.receive() is not None:
            pass
    assert sctp.is_healthy()


def test_a_peer_that_is_gone_is_noticed(sctp):
    peer = SctpPeer(sctp.diameter_port)
    peer.open("mme5.example.org")
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # an ABORT
    peer.socket.close()
    until(lambda: "peer_closed peer=mme5.example.org" in sctp.log(), "the line that says so")


def test_the_host_connects_over_sctp():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(LIMIT_S)
        there = listener.getsockname()[1]
        _port, more = settings("sctp", "127.0.0.1")
        peers = f'diameter.peers=[{{identity="hss.example.org",realm="example.org",address="127.0.0.1:{there}"}}]'
        with Host(*more, peers, thermo=False) as host, SctpPeer(accepted=listener.accept()[0]) as peer:
            first = peer.receive()
            assert first.header.command_code == 257 and find(first, 264) == b"scef.dromio.test"
            peer.send(answer_of(first))
            until(lambda: "peer_open peer=hss.example.org" in host.log(), "the open peer")
            assert peer.streams == [0] and peer.identifiers == {PPID_DIAMETER}


def answer_of(first):
    """A CEA of hss.example.org."""
    data = bytearray(cer(avps=[avp(268, 2001), *capabilities("hss.example.org")]))
    data[4] &= 0x7F
    data[12:20] = first.header.hop_by_hop_identifier.to_bytes(4, "big") + first.header.end_to_end_identifier.to_bytes(4, "big")
    return bytes(data)


def give_address(interface, address):
    """freeDiameter wants one that is not of a loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = interface.encode()
        fcntl.ioctl(any_socket, SIOCSIFADDR, struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address)))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", name, 1))


@pytest.mark.skipif(shutil.which("freeDiameterd") is None, reason="freeDiameter is not installed")
def test_freediameter_connects_over_sctp(tmp_path):
    give_address("dummy0", "10.77.0.1")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem",
                    "-days", "2", "-subj", "/CN=mme6.example.org"], check=True, capture_output=True)
    port, more = settings("sctp", "10.77.0.1")
    (tmp_path / "fd.conf").write_text("\n".join([
        'Identity = "mme6.example.org";', 'Realm = "example.org";', f"Port = {free_port()};", "SecPort = 0;", "No_IPv6;", 'ListenOn = "10.77.0.1";',
        "TwTimer = 6;", "TcTimer = 6;", f'TLS_Cred = "{tmp_path}/cert.pem", "{tmp_path}/key.pem";', f'TLS_CA = "{tmp_path}/cert.pem";',
        f'ConnectPeer = "scef.dromio.test" {{ ConnectTo = "10.77.0.1"; No_TLS; No_TCP; Port = {port}; }};']) + "\n")
    peers = ["diameter.plain=true", 'diameter.accept=""', 'diameter.peers=[{identity="mme6.example.org",realm="example.org"}]']
    log = tmp_path / "fd.log"
    with Host(*more, *peers, thermo=False) as host:
        process = subprocess.Popen(["freeDiameterd", "-c", tmp_path / "fd.conf", "-d"], stdout=log.open("w"), stderr=subprocess.STDOUT)
        try:
            until(lambda: "peer_open peer=mme6.example.org" in host.log(), "freeDiameter")
            watchdogs = 'dromio_diameter_requests_total{direction="in",command="DWR"'
            until(lambda: sum_of(host, watchdogs) > 0, "its watchdog")
            process.terminate()
            process.wait(LIMIT_S)
            until(lambda: "peer_disconnects peer=mme6.example.org" in host.log(), "its goodbye")
        finally:
            process.kill()
            process.wait()
    assert re.findall(r"^.* ERROR .*$", log.read_text(), re.M) == []


def sum_of(host, beginning):
    return sum(float(line.rsplit(" ", 1)[1]) for line in host.metrics().splitlines() if line.startswith(beginning))
