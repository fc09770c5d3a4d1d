"""kill -9 under load, again and again, with an oracle outside the process: what is acknowledged is there, nothing is done
twice, nothing appears that was not asked for. `tools/prove kill` does the same at length."""
import os
import random

import charged
from host import Host
from kills import Kills
from promised import Oracle
from t8 import CALLBACKS

ALWAYS = (CALLBACKS, "log.segment=1MiB", "log.replay=1MiB")


def kill_loop(cycles, seed, *settings, cores=()):
    with Host(*ALWAYS, *settings) as host, Oracle(host, seed) as oracle:
        oracle.begin()
        kills = Kills(host, oracle, random.Random(seed), cores)
        for _ in range(cycles):
            kills.cycle()
        oracle.finish()
        if "charging.enabled=true" in settings:
            charged.must_be_charged(host, oracle)
        assert oracle.follower.resumed > 0 and oracle.readings.again > 0


def test_10_kills_of_a_host_with_one_core_lose_nothing():
    kill_loop(10, int(os.environ.get("DROMIO_SEED", "1")), "charging.enabled=true", "charging.file_age=1", cores=(1, 2))


def test_10_kills_of_a_host_with_three_cores_and_two_gates_lose_nothing():
    kill_loop(10, int(os.environ.get("DROMIO_SEED", "2")), "host.cores=3", "host.gates=2")
