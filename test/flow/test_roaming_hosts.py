"""The whole way of a device that roams: dromio-sim's MMEs and devices, a dromiod as IWK-SCEF of the visited network, another one
as home SCEF with the twins. Either may be killed, or not be reached, and nothing acknowledged is lost or applied twice."""
import contextlib
import datetime
import json
import signal
import socket
import subprocess
import threading

import pytest
from host import EVERY_HOST, LIMIT_S, Host, until
from mme import V3GPP, Mme, avp, result_of
from test_sim_host import AWAKE, COUNTED, FAULTS
from whole_host import BUILD

pytestmark = pytest.mark.skipif(any(setting.startswith("host.gates=") for setting in EVERY_HOST), reason="an IWK-SCEF has one gate")
HOME = "epc.mnc070.mcc999.3gppnetwork.org"
VISITED = "epc.mnc001.mcc001.3gppnetwork.org"
FIRST = 999700000000001


class Line:
    """The network between the two hosts, which can be cut: a TCP relay."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends, self.is_cut = [], False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self.target)) if not self.is_cut else None
                except OSError:
                    far = None
                if far is None:
                    near.close()
                    continue
                self.ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        self.is_cut = True
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.ends = []

    def mend(self):
        self.is_cut = False

    def close(self):
        self.listener.close()
        self.cut()


class Pair:
    def __init__(self, home, iwk, line):
        self.home, self.iwk, self.line = home, iwk, line

    def is_joined(self):
        return any(peer["identity"] == f"scef1.{HOME}" and peer["state"] == "open" for peer in self.iwk.admin.get("/v1/peers").json()["peers"])

    def twins(self, count):
        lines = "".join(json.dumps({"id": f"t{i}@sim.example", "model": "acme/thermo", "imsi": str(FIRST + i)}) + "\n" for i in range(count))
        assert self.home.admin.post("/v1/twins:bulk", lines.encode(), Content_Type="application/x-ndjson").status == 200

    def values(self, number):
        return {name: one["value"] for name, one in self.home.admin.get(f"/v1/twins/t{number}@sim.example/properties").json().items()}

    def turns(self):
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.home.metrics().splitlines() if line.startswith("dromio_turns_total"))


@pytest.fixture
def pair():
    with Host(f'host.identity="scef1.{HOME}"', f'host.realm="{HOME}"') as home:
        home.realm = HOME
        line = Line(home.diameter_port)
        peer = f'{{identity="scef1.{HOME}",realm="{HOME}",address="127.0.0.1:{line.port}",applications=["t6a"]}}'
        with Host(f'host.identity="iwk.{VISITED}"', f'host.realm="{VISITED}"', f"diameter.peers=[{peer}]",
                  'interworking.plmn="00101"', 'interworking.homes=[{plmn="99970"}]', thermo=False) as iwk:
            iwk.realm = VISITED
            made = Pair(home, iwk, line)
            until(made.is_joined, "the two to meet")
            yield made
            assert "9997000" not in home.log() + iwk.log(), "an IMSI was logged"
        line.close()


class Sim:
    def __init__(self, pair, tmp_path, devices, *options):
        self.pair, self.devices, self.oracle = pair, devices, tmp_path / "oracle"
        self.process = subprocess.Popen(
            [str(BUILD / "dromio-sim"), "--connect", f"127.0.0.1:{pair.iwk.diameter_port}", "--imsi-first", str(FIRST), "--realm", VISITED,
             "--plmn", "00101", "--identity", f"mme.{VISITED}", "--devices", str(devices), "--oracle", str(self.oracle), *options],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def goes_on(self, more):
        """So many more turns of twins."""
        before = self.pair.turns()
        until(lambda: self.pair.turns() > before + more, "more readings")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=LIMIT_S)
        assert self.process.returncode == 0
        summary = json.loads(out)
        assert (summary["uplinks_refused"], summary["duplicates_differ"]) == (0, 0), summary
        lines = {one["imsi"]: one for one in map(json.loads, self.oracle.read_text().splitlines())}
        for number in range(self.devices):
            line, twin = lines[str(FIRST + number)], self.pair.values(number)
            assert line["doubt"] == 0 and twin["rejected"] == 0, (line, twin)
            assert {name: twin[name] for name in COUNTED} == {name: line[name] for name in COUNTED}, (line, twin, summary)
        return summary


def test_twins_at_home_hold_what_their_devices_sent(pair, tmp_path):
    pair.twins(40)
    with Sim(pair, tmp_path, 40, *FAULTS, *AWAKE) as sim:
        sim.goes_on(1500)
        summary = sim.end()
        assert summary["attached"] >= 35 and summary["moves"] > 0
    shown = pair.home.admin.get("/v1/twins/t1@sim.example").json()["connection"]
    assert (shown["plmn"], shown["roaming"], shown["via"]) == ("00101", True, f"iwk.{VISITED}") and shown["node"].endswith(VISITED)
    assert 'dromio_interworking_succeeded_total{home="99970",direction="up",command="MO-Data"}' in pair.iwk.metrics()


@pytest.mark.parametrize("who", ["home", "iwk"])
def test_nothing_acknowledged_is_lost_when_one_of_them_is_killed(pair, tmp_path, who):
    pair.twins(60)
    killed = pair.home if who == "home" else pair.iwk
    with Sim(pair, tmp_path, 60, *FAULTS, *AWAKE) as sim:
        for _ in range(3):
            sim.goes_on(200)
            killed.kill()
            killed.start()
            until(pair.is_joined, "the two to meet again")
        sim.goes_on(400)
        sim.end()


def test_nothing_acknowledged_is_lost_when_they_are_parted(pair, tmp_path):
    pair.twins(60)
    with Sim(pair, tmp_path, 60, *FAULTS, *AWAKE) as sim:
        for _ in range(3):
            sim.goes_on(200)
            pair.line.cut()
            until(lambda: not pair.is_joined(), "the end of their connection")
            pair.line.mend()
            until(pair.is_joined, "the two to meet again")
        sim.goes_on(400)
        sim.end()


def test_downlinks_reach_devices_and_groups_abroad(pair, tmp_path):
    pair.twins(20)
    admin = pair.home.admin
    assert admin.put("/v1/groups/abroad@sim.example", {}).status in (200, 201)
    members = "".join(json.dumps({"id": f"t{i}@sim.example"}) + "\n" for i in range(20))
    assert admin.post("/v1/groups/abroad@sim.example/members:bulk", members.encode(), Content_Type="application/x-ndjson").status == 200
    with Sim(pair, tmp_path, 20, *AWAKE):
        until(lambda: all(pair.values(i)["readings"] for i in range(20)), "a reading of each")
        answer = admin.request("PUT", "/v1/twins/t1@sim.example/properties/period?wait=reported&timeout=20s", {"value": 120})
        assert answer.status == 200 and answer.json()["state"] == "reported"
        answer = admin.post("/v1/groups/abroad@sim.example/actions/blink", {"seconds": 2})
        assert answer.status == 202, answer
        ticket = answer.json()["ticket"]
        until(lambda: admin.get(f"/v1/groups/abroad@sim.example/tickets/{ticket}").json()["counts"]["delivered"] == 20, "all 20 to blink")
    assert 'dromio_interworking_succeeded_total{home="99970",direction="down",command="MT-Data"}' in pair.iwk.metrics()


def test_a_sleeper_abroad_waits_for_its_contact(pair):
    pair.twins(1)
    sleeping = [avp(297, [avp(266, V3GPP), avp(298, 5653)])]
    with Mme(pair.iwk, f"mme7.{VISITED}", VISITED, on_downlink=lambda downlink: sleeping) as mme:
        mme.attach(str(FIRST))
        assert pair.home.admin.post("/v1/twins/t0@sim.example/actions/blink", {"seconds": 2}).status == 202
        mme.downlinks.get(timeout=LIMIT_S)
        mme.on_downlink = lambda downlink: 2001
        until(lambda: pair.home.admin.get("/v1/twins/t0@sim.example/tickets").json()["tickets"][0]["state"] == "pending", "it waits")
        assert result_of(mme.reachable(str(FIRST), datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc))) == 2001
        assert mme.downlinks.get(timeout=LIMIT_S).imsi == str(FIRST)
        assert pair.home.admin.get("/v1/twins/t0@sim.example").json()["contact"]["why"] == "reachable"


def test_the_end_of_a_device_at_home_releases_its_connection_abroad(pair):
    pair.twins(1)
    with Mme(pair.iwk, f"mme7.{VISITED}", VISITED) as mme:
        mme.attach(str(FIRST))
        assert pair.home.admin.request("DELETE", "/v1/twins/t0@sim.example").status == 204
        assert result_of(mme.odr(str(FIRST), b"\x01")) == 5001


