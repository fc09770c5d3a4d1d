"""freeDiameter as the peer: capabilities, watchdog and goodbye, whoever connects."""
import re
import shutil
import socket
import subprocess
import time

import pytest
from diameter_host import GateHarness

pytestmark = pytest.mark.skipif(shutil.which("freeDiameterd") is None or shutil.which("openssl") is None, reason="freeDiameter is not installed")
LIMIT_S = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class FreeDiameter:
    def __init__(self, directory, host_port=None):
        self.port = free_port()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", directory / "key.pem", "-out", directory / "cert.pem",
                        "-days", "2", "-subj", "/CN=mme1.example.org"], check=True, capture_output=True)
        lines = ['Identity = "mme1.example.org";', 'Realm = "example.org";', f"Port = {self.port};", "SecPort = 0;", "No_SCTP;", "No_IPv6;",
                 'ListenOn = "127.0.0.1";', "TwTimer = 6;", "TcTimer = 6;",
                 f'TLS_Cred = "{directory}/cert.pem", "{directory}/key.pem";', f'TLS_CA = "{directory}/cert.pem";']
        if host_port is None:
            (directory / "acl").write_text("ALLOW_IPSEC scef.dromio.test\n")
            lines.append(f'LoadExtension = "acl_wl.fdx" : "{directory}/acl";')
        else:
            lines.append(f'ConnectPeer = "scef.dromio.test" {{ ConnectTo = "127.0.0.1"; No_TLS; No_SCTP; Port = {host_port}; }};')
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
