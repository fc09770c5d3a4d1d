"""A data directory opens with any number of cores, also when the host is killed between and
during the move to new logs: what was acknowledged is there, once."""
import os

from host import Host, until
from oracle import Oracle

ALWAYS = ("log.segment=1MiB", "log.replay=1MiB")


def with_cores(host, number):
    host.settings = (*ALWAYS, f"host.cores={number}")


def logs(host):
    """Generations that have logs."""
    return {path.name.split("-")[1] for path in host.data.glob("log-*")} | ({"0"} if any((host.data / "log").glob("segment-*")) else set())


def everything_is_there(host, oracle):
    oracle.check()
    until(lambda: {name.split()[0] for name in host.rooms()} >= {"core", "cell", "gate", "desk"}, "all kinds of rooms")
    assert host.admin.query("select count(*) from \"acme/thermo\"") == [[len(oracle.devices)]]
    assert host.metric("dromio_twins") == len(oracle.devices)


def test_kills_between_numbers_of_cores_lose_nothing():
    with Host(*ALWAYS, "host.cores=1") as host:
        oracle = Oracle(host, int(os.environ.get("DROMIO_SEED", "1")))
        oracle.provision()
        oracle.run(100)
        for number in (4, 2, 3, 1, 1, 2):
            for device in oracle.devices:  # some are on the wire when it dies
                if oracle.load is not None and device.under_way is None:
                    oracle.send_next(device)
            host.kill()
            with_cores(host, number)
            host.start()
            assert sum(name.startswith("core ") for name in host.rooms()) == number
            oracle.run(100)  # while it moves
            everything_is_there(host, oracle)
        oracle.finish()


def test_kills_during_a_move_lose_nothing():
    with Host(*ALWAYS, "host.cores=1") as host:
        oracle = Oracle(host, int(os.environ.get("DROMIO_SEED", "2")))
        oracle.provision()
        oracle.run(100)
        for number in (3, 2, 4, 1, 3):  # each at once after its start: moves are left undone, one upon the other
            host.kill()
            with_cores(host, number)
            host.start()
            oracle.run(5)
        until(lambda: len(logs(host)) == 1, "the end of the move")
        everything_is_there(host, oracle)
        oracle.finish()
        host.restart()
        everything_is_there(host, oracle)
        listed, page = [], "/v1/twins?limit=500"
        while page is not None:
            answer = host.admin.get(page).json()
            listed += [twin["id"] for twin in answer["twins"]]
            page = f"/v1/twins?limit=500&cursor={answer['cursor']}" if "cursor" in answer else None
        assert sorted(listed) == sorted(device.name for device in oracle.devices)


def test_configurations_are_listed_whatever_core_made_them():
    with Host("host.cores=2") as host:
        as1 = host.application("as1", ["acme.example"], ["nidd"])
        at, wanted = "/3gpp-nidd/v1/as1/configurations", sorted(f"t{n}@acme.example" for n in range(30))
        for n, twin in enumerate(wanted):
            host.admin.put_twin(twin, imsi=f"00101{n:010d}")
            answer = as1.post(at, {"externalId": twin, "notificationDestination": "http://127.0.0.1:9/none"})
            assert answer.status == 201, answer
        for number in (1, 3, 2):
            host.kill()
            host.settings = (f"host.cores={number}",)
            host.start()
            as1.close()
            assert sorted(each["externalId"] for each in as1.get(at).json()) == wanted, number
