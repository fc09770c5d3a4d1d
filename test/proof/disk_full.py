"""A host on a file system of 64 MiB of its own, under the load of the oracle of `kill`, which others and the host's own log fill. While it is full, reads, queries and event streams go on, writes
are refused with 503 and Retry-After, uplinks with 3004, and `/healthz` and `/v1/status` say why; a room that is killed then comes back without a restart of the host. Once there is room it goes on
by itself: no process of it has ended, and all that was acknowledged is there exactly once, in the charging files too. Some fills end in a kill of the whole host and a start as soon as there
is room; some in kills and starts while the disk is as full as before, after which it shows what it has, refuses changes, and goes on once there is room."""
import random
import shutil
import subprocess
import traceback

import charged
from host import Client, Events, Host, until
from kills import Kills
from promised import Oracle
from small_disk import SmallDisk
from t8 import CALLBACKS

PROMISE = "A full disk refuses changes in the protocol's words and nothing else; once there is room all goes on without a restart"
UNIT = "fills"
SHORT, LONG = 6, 600
SECONDS = 60
IN_CHECK = True
LIMITS = "tmpfs, which has no journal of its own. Quotas of users (EDQUOT) are treated alike in the code, and not tried. Needs root, for the mount."

LIFE = 6  # fills of one host


def refuses(host, oracle):
    """Until changes are refused, and how."""
    client = Client(host.http_port, host.admin.token)

    def is_refused():
        oracle.must_be_well()
        answer = client.put("/v1/twins/one-more@kill.example", {"imsi": "001010000009999"})
        if answer.status not in (503, 507):
            assert answer.status in (200, 201, 504), answer
            return False
        assert answer.headers["Retry-After"], answer.headers
        assert "the disk is full" in answer.json()["detail"], answer
        return True
    until(is_refused, "a refusal")
    refused = oracle.refused
    until(lambda: oracle.must_be_well() or oracle.refused > refused + 30, "refusals of all that ask")
    client.close()


def reads_go_on(host, oracle):
    name = oracle.readings.name_of(0)
    assert host.admin.get(f"/v1/twins/{name}").status == 200
    assert host.admin.get("/v1/twins?limit=5").status == 200
    assert host.admin.query('select count(*) from "acme/thermo"')[0][0] >= len(oracle.readings.devices)
    with Events(host.admin, f"?twin={name}&property=readings", last="1") as events:
        assert events.status == 200, events.status
    health = host.client(None).get("/healthz")
    assert (health.status, health.json()["storage"]) == (200, "full"), health
    assert host.admin.get("/v1/status").json()["storage"] == "full"
    assert host.metric("dromio_storage_full") >= 1


def fill_once(host, oracle, kills, small, chance):
    oracle.runs(chance.randrange(50, 300))
    rooms = host.rooms()
    small.fill()
    refuses(host, oracle)
    reads_go_on(host, oracle)
    how = chance.choice(("go on", "go on", "kill a room", "kill the host", "start while it is full"))
    if how == "kill a room":
        kills.kill_room(chance.choice(("gate", "cell", "desk", "charging")))
        host.admin.close()
        refuses(host, oracle)
    if how == "kill the host":
        host.kill()
        small.make_room()
        host.start()
    if how == "start while it is full":
        for _ in range(2):
            host.kill()
            small.fill()
            host.start()
            refuses(host, oracle)
            reads_go_on(host, oracle)
    small.make_room()
    oracle.runs(200)
    oracle.check()
    until(lambda: host.client(None).get("/healthz").json()["storage"] == "ok", "a host that is well")
    if how == "go on":
        assert host.rooms() == rooms, "a room has ended"
    kills.look_at_log()
    return how


def live(proof, directory, seed, chance):
    small = SmallDisk(directory)
    host = Host(CALLBACKS, "log.segment=1MiB", "log.replay=1MiB", f"host.cores={chance.choice((1, 1, 2))}", "charging.enabled=true", "charging.file_age=1", directory=directory)
    try:
        with Oracle(host, seed) as oracle, host:
            oracle.begin()
            kills = Kills(host, oracle, chance)
            for _ in range(LIFE):
                how = fill_once(host, oracle, kills, small, chance)
                proof.measured[f"fills after which: {how}"] = proof.measured.get(f"fills after which: {how}", 0) + 1
                proof.count()
                if proof.over():
                    break
            oracle.finish()
            records = charged.must_be_charged(host, oracle)
            for name, count in (("refusals", oracle.refused), ("charging records compared", records)):
                proof.measured[name] = proof.measured.get(name, 0) + count
    except AssertionError as broken:
        where = "".join(traceback.format_exception(broken)[-2:])
        proof.fail(f"{where}\nthe host of fill {proof.done}, seed {seed}; its log:\n{host.log()[-3000:]}")
    finally:
        host.close()
        small.close()


def run(proof):
    try:
        SmallDisk(proof.work / "try").close()
    except (OSError, subprocess.CalledProcessError):
        proof.unavailable("no tmpfs can be mounted here: it needs root")
    while not proof.over():
        seed = proof.seed_of(proof.done)
        directory = proof.work / f"host-{proof.done}"
        shutil.rmtree(directory, ignore_errors=True)
        live(proof, directory, seed, random.Random(seed))
