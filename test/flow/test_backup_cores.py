"""dromio backup of a running host with several cores: each core's log, the host's tables in step with them,
names that move between cores at no moment in two; the copy opens with any number of cores."""
import copy
import json
import os
import signal
import subprocess
import threading

from host import Host, until
from mme import Mme, result_of
from oracle import Oracle
from test_backup import DROMIO, SMALL_LOG, Taker, dromio, fill, is_refused, restored_host, rewritten, take

CORES = 3
SETTINGS = (*SMALL_LOG, f"host.cores={CORES}")
CONFLICT = "cannot be entered"


class Mover(threading.Thread):
    """Numbers that go from twin to twin, mostly of another core, and what only core 0 makes: new domains and applications."""
    PAIRS = 12

    def __init__(self, host):
        super().__init__()
        self.client = host.client(host.admin.token)
        self.stopped = threading.Event()
        self.rounds = 0
        self.failure = None
        for number in range(self.PAIRS):
            for side in range(2):
                assert self.put(number, side, self.imsi(number) if side == 0 else None) == 201

    @staticmethod
    def twin(number, side):
        return f"m{number}{'ab'[side]}@move{number * 2 + side}.example"

    @staticmethod
    def imsi(number):
        return f"00101{number + 7000:010d}"

    def put(self, number, side, imsi):
        return self.client.request("PUT", f"/v1/twins/{self.twin(number, side)}", {"model": "acme/thermo", "imsi": imsi}).status

    def run(self):
        try:
            while not self.stopped.is_set():
                old = self.rounds % 2
                for number in range(self.PAIRS):
                    assert self.put(number, old, None) == 200
                    assert self.put(number, 1 - old, self.imsi(number)) == 200, "a name that was given up is not free"
                name = f"new{self.rounds}"
                assert self.client.request("PUT", f"/v1/twins/t@{name}.example", {"model": "acme/thermo"}).status == 201
                assert self.client.post("/v1/applications", {"id": name, "domains": [f"{name}.example"], "scopes": ["read"]}).status == 201
                self.rounds += 1
        except Exception as failure:
            self.failure = failure

    def stop(self):
        self.stopped.set()
        self.join()
        if self.failure is not None:
            raise self.failure


def check_names(clone):
    """Of each pair one twin has the number, or none while it moved."""
    log = clone.log()
    assert CONFLICT not in log, log
    with Mme(clone, identity="move.epc.test") as mme:
        for number in range(Mover.PAIRS):
            assert result_of(mme.cmr(Mover.imsi(number))) in (2001, 5652)
    for application in clone.admin.get("/v1/applications").json()["applications"]:
        if application["id"].startswith("new"):  # made after its twin was acknowledged
            assert clone.admin.get(f"/v1/twins/t@{application['id']}.example").status in (200, 404)


def check_devices(clone, oracle, acknowledged, sent):
    for device in oracle.devices:
        shown = {name: what["value"] for name, what in clone.admin.twin(device.name)["properties"].items()}
        assert acknowledged[device.name] <= shown["readings"] <= sent[device.name], (device.name, shown)
        assert shown["lost"] == shown["duplicates"] == 0 and shown["temperature"] == (shown["readings"] - 1) % 300


def test_a_backup_under_load_restores_with_any_number_of_cores(tmp_path):
    with Host(*SETTINGS) as host:
        oracle = Oracle(host, 11)
        oracle.provision()
        mover = Mover(host)
        host.admin.write(oracle.devices[0].name, "period", 777)  # nobody answers: it waits
        oracle.run(500)
        mover.start()
        file = tmp_path / "dromio.tar"
        for attempt in range(4):
            file.unlink(missing_ok=True)
            acknowledged = {d.name: d.acknowledged for d in oracle.devices}
            words = [str(DROMIO), "backup", str(file), "-o", "json", "--host", f"http://127.0.0.1:{host.http_port}",
                     "--token-file", str(host.data / "admin.token")]
            with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as backup:
                while backup.poll() is None:
                    assert oracle.run(50)
                out, err = backup.communicate()
            assert backup.returncode == 0, err + host.log()[-3000:]
            sent = {d.name: d.sent for d in oracle.devices}
            key = host.data / "master.key"
            verified = dromio("backup", "--verify", file, "--master-key", key, "-o", "json")
            assert verified.returncode == 0, verified
            assert json.loads(out)["cores"] == json.loads(verified.stdout)["cores"] == CORES
            cores = (1, 2, 4, CORES)[attempt]
            with restored_host(file, tmp_path / f"clone{attempt}", key, *SMALL_LOG, f"host.cores={cores}", "host.identity=clone.dromio.test") as clone:
                check_devices(clone, oracle, acknowledged, sent)
                check_names(clone)
                tickets = clone.admin.get(f"/v1/twins/{oracle.devices[0].name}/tickets").json()["tickets"]
                assert [ticket["state"] for ticket in tickets] == ["pending"]
                if attempt == 0:
                    other = Oracle(clone, 12)
                    other.devices = [copy.copy(d) for d in oracle.devices]
                    for device in other.devices:
                        device.sent = device.acknowledged = int(clone.admin.twin(device.name)["properties"]["readings"]["value"])
                        device.under_way = None
                    other.next_end = oracle.next_end + 100000
                    assert other.run(300)
                    other.finish()
                    clone.restart()
                    other.check()
        assert mover.rounds > 0
        mover.stop()
        oracle.finish()


def test_a_host_killed_during_a_backup_goes_on_and_leaves_no_file(tmp_path):
    with Host(*SETTINGS, "log.timeline=12MiB") as host:
        oracle = Oracle(host, 13)
        oracle.provision()
        oracle.run(200)
        fill(host, 6)
        taker = Taker(host)  # it is half there
        taker.response.read(1)
        file = tmp_path / "b.tar"
        refused = dromio("backup", file, host=host)
        assert refused.returncode == 4 and not file.exists(), refused
        for device in oracle.devices:  # some are on the wire when it dies
            if device.under_way is None:
                oracle.send_next(device)
        host.kill()
        taker.close()
        host.start()
        assert oracle.run(0) or oracle.run(0)
        oracle.check()
        take(host, file)
        oracle.finish()


def test_an_asker_that_goes_away_makes_room_for_the_next(tmp_path):
    with Host(*SETTINGS, "host.gates=2", "log.timeline=12MiB") as host:
        fill(host, 6)
        taker = Taker(host)
        taker.response.read(1)
        until(lambda: host.admin.get("/v1/backup").status == 409, "a refusal, at whichever gate")
        taker.close()
        until(lambda: host.admin.get("/v1/backup").status == 200, "a backup for the next one")
        taker = Taker(host)
        taker.response.read(1)
        gates = {pid for name, pid in host.rooms().items() if name.startswith("gate")}
        for pid in gates:
            os.kill(pid, signal.SIGKILL)
        until(lambda: sum(name.startswith("gate") and pid not in gates for name, pid in host.rooms().items()) == len(gates), "new gates")
        host.admin.close()
        host.wait()
        until(lambda: host.admin.get("/v1/backup").status == 200, "a backup of the next gates")
        taker.close()


def test_a_log_that_is_missing_in_a_backup_is_told(tmp_path):
    with Host("host.cores=2") as host:
        file = take(host, tmp_path / "b.tar")
    out = tmp_path / "less.tar"
    is_refused(rewritten(file, out, lambda name, content: None if name == "log-1-1/replay" else content), "log-1-1/replay is missing")
    is_refused(rewritten(file, out, lambda name, content: content[:-1] + b"x" if name == "log/generations" else content), "log/generations is damaged")
    assert dromio("backup", "--verify", rewritten(file, out, lambda name, content: content)).returncode == 0
