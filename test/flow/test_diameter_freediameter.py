"""freeDiameter as the peer: capabilities, watchdog and goodbye, whoever connects."""
import re
import shutil
import subprocess
import time

import pytest
from certificates import Authority
from diameter_host import GateHarness
from host import Host, free_port, until

pytestmark = pytest.mark.skipif(shutil.which("freeDiameterd") is None or shutil.which("openssl") is None, reason="freeDiameter is not installed")
LIMIT_S = 60


class FreeDiameter:
    """With a certificate it speaks TLS."""

    def __init__(self, directory, host_port=None, certificate=None, authority=None):
        self.port = free_port()
        pem, key, ca = directory / "cert.pem", directory / "key.pem", directory / "cert.pem"
        if certificate is not None:
            pem, key, ca = certificate.pem, certificate.key, authority.pem
        else:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", pem, "-days", "2", "-subj",
                            "/CN=mme1.example.org"], check=True, capture_output=True)
        plain = "No_TLS; " if certificate is None else ""
        lines = ['Identity = "mme1.example.org";', 'Realm = "example.org";', f"Port = {self.port};", "SecPort = 0;", "No_SCTP;", "No_IPv6;",
                 'ListenOn = "127.0.0.1";', "TwTimer = 6;", "TcTimer = 6;",
                 f'TLS_Cred = "{pem}", "{key}";', f'TLS_CA = "{ca}";']
        if host_port is None:
            (directory / "acl").write_text("ALLOW_IPSEC scef.dromio.test\n")
            lines.append(f'LoadExtension = "acl_wl.fdx" : "{directory}/acl";')
        else:
            lines.append(f'ConnectPeer = "scef.dromio.test" {{ ConnectTo = "127.0.0.1"; {plain}No_SCTP; Port = {host_port}; }};')
        (directory / "fd.conf").write_text("\n".join(lines) + "\n")
        self.log = directory / "fd.log"
        self.process = subprocess.Popen(["freeDiameterd", "-c", directory / "fd.conf", "-d"], stdout=self.log.open("w"), stderr=subprocess.STDOUT)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=LIMIT_S)
        finally:
            self.process.kill()
            self.process.wait()

    def complaints(self):
        return re.findall(r"^.* ERROR .*$", self.log.read_text(), re.M)


def wait_for_watchdogs(host, direction):
    give_up = time.monotonic() + LIMIT_S
    while host.metric(f'dromio_diameter_requests_total{{direction="{direction}",command="DWR"') < 1:
        assert time.monotonic() < give_up


def test_freediameter_connects_and_says_goodbye(tmp_path):
    host = GateHarness("--any")
    peer = FreeDiameter(tmp_path, host.port)
    try:
        assert host.core_gets("peer", open=1)["applications"] == 4  # a relay
        wait_for_watchdogs(host, "in")
        peer.stop()
        host.core_gets("peer", open=0)
        assert host.metric("dromio_diameter_drops_total") == 0
    finally:
        peer.process.kill()
        assert host.stop() == 0
    assert peer.complaints() == []


def test_the_host_connects_to_freediameter_and_says_goodbye(tmp_path):
    peer = FreeDiameter(tmp_path)
    host = GateHarness("--peer", f"mme1.example.org,127.0.0.1:{peer.port},0")
    try:
        host.core_gets("peer", host="mme1.example.org", open=1)
        wait_for_watchdogs(host, "in")
        assert host.stop() == 0
    finally:
        peer.stop()
    assert peer.complaints() == []


def test_freediameter_speaks_tls(tmp_path):
    """Certificates on both sides, GnuTLS against OpenSSL."""
    authority = Authority(tmp_path / "authority")
    ours, theirs = authority.issue("scef", "DNS:scef.dromio.test"), authority.issue("mme1.example.org", "DNS:mme1.example.org")
    settings = [f"diameter.tls.certificate={ours.pem}", f"diameter.tls.key={ours.key}", f"diameter.tls.ca={authority.pem}"]
    with Host(*settings, thermo=False) as host:
        peer = FreeDiameter(tmp_path, host.diameter_port, theirs, authority)
        try:
            until(lambda: "peer_open peer=mme1.example.org" in host.log(), "freeDiameter")
            until(lambda: re.search(r'direction="in",command="DWR".* [1-9]', host.metrics()), "its watchdog")
            assert peer.complaints() == []  # when it goes it complains of its own closed socket
            peer.stop()
            until(lambda: "peer_disconnects peer=mme1.example.org" in host.log(), "its goodbye")
        finally:
            peer.process.kill()
        assert host.metric('dromio_tls_handshakes_total{listener="diameter",result="done"}') == 1
