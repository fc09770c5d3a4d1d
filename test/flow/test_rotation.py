"""Keys of domains: another one takes the place of the first while the host works, and what is under neither is gone; a domain
that is deleted cannot be read any more; another master key wraps them all."""
import os
import shutil
import subprocess
import tarfile

from host import BUILD, LIMIT_S, Host, until
from key_file import KeyFile, all_records, found_in_files
from oracle import Oracle
from test_cold import BUDGET, Fleet

SMALL = ("log.segment=1MiB", "log.replay=1MiB", "log.timeline=0")
COLD = (*SMALL, f"contexts.memory={BUDGET}")
DROMIO = BUILD / "dromio"
FIRST = 1  # number of the first domain that a host is told of


def domains(host):
    return {entry["domain"]: entry for entry in host.admin.get("/v1/domains").json()["domains"]}


def rotate(host, domain, query="?history=drop"):
    answer = host.admin.post(f"/v1/domains/{domain}/keys{query}")
    assert answer.status == 202, answer
    return answer.json()


def rotated(host, domain):
    """Waits for the end of the older key."""
    return until(lambda: "older_key" not in (found := host.admin.get(f"/v1/domains/{domain}").json()) and found, "the end of the older key")


def only_domain(host):
    name, = domains(host)
    return name


def test_all_of_a_domain_gets_under_its_new_key_and_nothing_is_lost():
    with Host(*SMALL) as host:
        oracle = Oracle(host, 1)
        oracle.provision()
        oracle.run(200)
        domain = only_domain(host)
        before = KeyFile(host.data)
        assert rotate(host, domain)["key"]["number"] == 2
        oracle.run(200)
        assert rotated(host, domain)["key"]["number"] == 2
        oracle.check()
        after = KeyFile(host.data)
        assert (before.generations(FIRST), after.generations(FIRST)) == ([0], [1])
        assert found_in_files(host.data, {"the older key as it was wrapped": before.wrapped[FIRST, 0][12:44],
                                          "the older key": before.keys[FIRST, 0]}) == []
        host.kill()
        host.start()
        oracle.run(100)
        oracle.finish()


def test_nothing_under_the_older_key_can_be_read():
    with Host(*SMALL) as host:
        oracle = Oracle(host, 2)
        oracle.provision()
        oracle.run(200)
        before = KeyFile(host.data)
        old = host.data.parent / "old"
        for log in host.data.glob("log*"):
            shutil.copytree(log, old / log.name)
        rotate(host, only_domain(host))
        rotated(host, only_domain(host))
        now = KeyFile(host.data)
        seen = [record for domain, _, _, record in all_records(old) if domain == FIRST]
        assert len(seen) > 200 and all(before.record_open(record)[0] is not None for record in seen)
        assert all(now.record_open(record) == (None, None) for record in seen)
        newer = [record for domain, tag, _, record in all_records(host.data) if domain == FIRST and tag == 1]
        assert newer and all(now.record_open(record)[0] is not None for record in newer)
        oracle.finish()


def test_how_far_a_rotation_is_stands_in_status_and_metrics():
    with Host() as host:
        assert host.admin.get("/v1/status").json()["rotations"] == [] and host.metric("dromio_rotations") == 0
        oracle = Oracle(host, 5)
        oracle.provision()
        oracle.run(20)
        domain = only_domain(host)
        count = domains(host)[domain]["twins"]
        rotate(host, domain, query="")  # timelines keep the older key
        shown, = host.admin.get("/v1/status").json()["rotations"]
        assert (shown["domain"], shown["state"], shown["twins"]) == (domain, "rotating", count) and shown["older_key"]["twins"] <= count
        assert host.metric("dromio_rotations") == 1 and host.metric(f'dromio_rotation_twins{{domain="{domain}"}}') == count
        until(lambda: host.metric(f'dromio_rotation_twins_left{{domain="{domain}"}}') == 0, "the last twin")
        until(lambda: host.admin.get("/v1/status").json()["rotations"][0]["older_key"]["waits_for"] == "history", "the end of all but timelines")
        rotate(host, domain)
        rotated(host, domain)
        assert host.admin.get("/v1/status").json()["rotations"] == [] and host.metric("dromio_rotation_twins") == 0
        assert (host.metric("dromio_rotations"), host.metric("dromio_domain_keys_destroyed_total")) == (0, 1)
        oracle.finish()


def test_kills_in_the_middle_of_a_rotation_lose_nothing():
    with Host(*SMALL, "host.cores=2") as host:
        oracle = Oracle(host, 3)
        oracle.provision()
        oracle.run(100)
        domain = only_domain(host)
        for number in range(2, 6):
            rotate(host, domain)
            for _ in range(2):
                oracle.run(3)
                host.kill()
                host.start()
            oracle.run(20)
            assert rotated(host, domain)["key"]["number"] == number
            oracle.check()
        assert KeyFile(host.data).generations(FIRST) == [4]
        oracle.finish()


def test_contexts_that_are_not_in_memory_are_sealed_anew():
    with Host(*COLD) as host:
        fleet = Fleet(host)
        domain = only_domain(host)
        fleet.report()
        rotate(host, domain)
        fleet.report()
        rotated(host, domain)
        fleet.report()
        host.kill()
        host.start()
        fleet.report()
        assert host.metric("dromio_contexts_unreadable_total") == 0
        assert {tag for of, tag, _, _ in all_records(host.data) if of == FIRST} >= {1}
        assert all(context in (None, 1) for of, tag, context, _ in all_records(host.data) if of == FIRST and tag == 1)


def test_the_older_key_stays_for_timelines_unless_they_are_given_up():
    with Host("log.segment=1MiB", "log.replay=1MiB") as host:
        oracle = Oracle(host, 4)
        oracle.provision()
        oracle.run(100)
        domain = only_domain(host)
        name = next(device.name for device in oracle.devices if host.admin.get(f"/v1/twins/{device.name}/timeline").json()["events"])
        before = len(host.admin.get(f"/v1/twins/{name}/timeline").json()["events"])
        rotate(host, domain, "")
        waits = until(lambda: (found := host.admin.get(f"/v1/domains/{domain}").json())["older_key"]["waits_for"] == "history" and found, "all sealed")
        assert (waits["state"], waits["older_key"]) == ("rotating", {"number": 1, "twins": 0, "history": "keep", "waits_for": "history"})
        assert host.admin.post(f"/v1/domains/{domain}/keys").status == 409
        host.restart()
        assert len(host.admin.get(f"/v1/twins/{name}/timeline").json()["events"]) == before > 0
        until(lambda: host.admin.get(f"/v1/domains/{domain}").json()["older_key"]["waits_for"] == "history", "all sealed")
        rotate(host, domain, "?history=drop")
        rotated(host, domain)
        assert host.admin.get(f"/v1/twins/{name}/timeline").json()["events"] == []
        host.kill()
        host.start()
        oracle.run(50)
        oracle.finish()
        assert any(host.admin.get(f"/v1/twins/{device.name}/timeline").json()["events"] for device in oracle.devices)


def test_a_deleted_domain_is_gone_and_unreadable_and_others_are_not_touched():
    with Host(*SMALL, "host.cores=2") as host:
        oracle = Oracle(host, 5)
        oracle.provision()
        oracle.run(50)
        kept = only_domain(host)
        for number in range(300):
            assert host.admin.put_twin(f"d{number}@gone.example", imsi=f"00102{number:010}", secrets={"key": "c2l4dGVlbiBieXRlcyAhIQ=="})
        host.admin.post("/v1/twins/d1@gone.example/actions/blink", {"seconds": 3})
        before = KeyFile(host.data)
        old = host.data.parent / "old"
        shutil.copytree(host.data, old, ignore=shutil.ignore_patterns("*.sock"))
        assert host.admin.delete("/v1/domains/gone.example").status == 202
        assert host.admin.delete("/v1/domains/gone.example").status in (404, 409)
        assert host.admin.put("/v1/twins/late@gone.example", {"model": "acme/thermo"}).status in (201, 409)
        until(lambda: host.admin.get("/v1/twins/d1@gone.example").status == 404, "the end of its twins")
        until(lambda: before.wrapped[2, 0] not in (host.data / "log" / "keys").read_bytes(), "the end of its key")
        now = KeyFile(host.data)
        assert 2 in now.gone
        seen = [record for domain, _, _, record in all_records(old) if domain == 2]
        assert len(seen) >= 300 and all(before.record_open(record)[0] is not None for record in seen)
        assert all(now.record_open(record) == (None, None) for record in seen)
        oracle.run(50)
        host.kill()
        host.start()
        assert host.admin.get("/v1/twins/d1@gone.example").status == 404
        assert kept in domains(host)
        host.admin.put_twin("d1@gone.example", imsi="001020000000001")  # the name is free: another domain, another key
        assert (now := KeyFile(host.data)).generations(max(number for number, _ in now.wrapped)) == [0]
        oracle.finish()


def test_a_backup_taken_in_the_middle_has_all_it_needs():
    with Host(*SMALL) as host:
        oracle = Oracle(host, 6)
        oracle.provision()
        oracle.run(100)
        rotate(host, only_domain(host), "")
        other_directory = host.data.parent / "other"
        taken = host.data.parent / "taken.tar"
        taken.write_bytes(host.admin.get("/v1/backup").body)
        with tarfile.open(taken) as archive:
            archive.extractall(other_directory / "data")
        shutil.copy(host.data / "master.key", other_directory / "data" / "master.key")
        readings = {device.name: host.admin.property(device.name, "readings")["value"] for device in oracle.devices}
        with Host(*SMALL, directory=other_directory, thermo=False) as other:
            assert other.admin.get(f"/v1/domains/{only_domain(other)}").json()["key"]["number"] == 2
            assert {name: other.admin.property(name, "readings")["value"] for name in readings} == readings
        oracle.finish()


def test_another_master_key_wraps_all_and_the_one_before_opens_nothing():
    with Host(*SMALL, "host.cores=2") as host:
        oracle = Oracle(host, 7)
        oracle.provision()
        oracle.run(50)
        before, rooms = (host.data / "master.key").read_bytes(), host.rooms()
        assert host.admin.post("/v1/master-key").status == 204
        after = (host.data / "master.key").read_bytes()
        assert after != before and found_in_files(host.data, {"the master key of before": before}) == []
        assert all(key is None for key in KeyFile(host.data, before).keys.values())
        assert all(key is not None for key in KeyFile(host.data).keys.values())
        later = [f"new{number}@later.example" for number in range(8)]  # on both cores; their key is wrapped by the new one
        for name in later:
            host.admin.put_twin(name)
        rotate(host, "later.example")
        oracle.run(50)
        rotated(host, "later.example")
        assert host.rooms() == rooms, "a room had to begin anew to find the new one"
        host.kill()
        host.start()
        oracle.run(50)
        oracle.finish()
        assert [host.admin.get(f"/v1/twins/{name}").status for name in later] == [200] * 8


def test_a_power_cut_between_the_files_of_a_rekey_is_mended():
    with Host(*SMALL) as host:
        host.admin.put_twin("one@rekey.example")
        old_master, old_keys = (host.data / "master.key").read_bytes(), (host.data / "log" / "keys").read_bytes()
        assert host.admin.post("/v1/master-key").status == 204
        host.kill()
        new_master, new_keys = (host.data / "master.key").read_bytes(), (host.data / "log" / "keys").read_bytes()
        for keys, is_new in ((old_keys, False), (new_keys, True)):  # before the keys were replaced, and between them and the master key
            (host.data / "master.key").write_bytes(old_master)
            (host.data / "master.key.next").write_bytes(new_master)
            (host.data / "master.key.next").chmod(0o600)
            (host.data / "log" / "keys").write_bytes(keys)
            host.start()
            assert host.admin.get("/v1/twins/one@rekey.example").status == 200
            assert (host.data / "master.key").read_bytes() == (new_master if is_new else old_master)
            assert not (host.data / "master.key.next").exists()
            host.kill()


def test_a_master_key_given_beside_the_one_before_takes_its_place():
    with Host(*SMALL) as host:
        host.admin.put_twin("one@rekey.example")
        host.stop()
        (host.data / "master.key").rename(host.data.parent / "before.key")
        (host.data / "master.key").write_bytes(bytes(range(32)))
        (host.data / "master.key").chmod(0o600)
        settings = host.settings
        host.settings = (*settings, f"vault.master_key_before={host.data.parent / 'before.key'}")
        host.start()
        assert host.admin.get("/v1/twins/one@rekey.example").status == 200
        host.stop()
        host.settings = settings
        host.start()
        assert host.admin.get("/v1/twins/one@rekey.example").status == 200


def dromio(host, *words):
    known = {"DROMIO_HOST": f"http://127.0.0.1:{host.http_port}", "DROMIO_TOKEN": (host.data / "admin.token").read_text().strip()}
    return subprocess.run([str(DROMIO), *words], capture_output=True, text=True, timeout=LIMIT_S, env={**os.environ, **known})


def test_the_command_line_rotates_waits_and_deletes_and_a_stopped_host_is_well():
    with Host(*SMALL) as host:
        for domain in ("one.example", "two.example"):
            host.admin.put_twin(f"a@{domain}", secrets={"calibration": 1})
        done = dromio(host, "domain", "rotate", "one.example", "--history", "drop", "--wait")
        assert done.returncode == 0 and "all that lives in one.example is under its new key" in done.stderr
        rotated(host, "one.example")
        assert '"number": 2' in dromio(host, "domain", "show", "one.example", "-o", "json").stdout
        assert dromio(host, "domain", "show", "none.example").returncode == 3
        done = dromio(host, "domain", "delete", "two.example", "--wait")
        assert done.returncode == 0 and "two.example is gone" in done.stderr
        listed = dromio(host, "domain", "list").stdout
        assert "one.example" in listed and "two.example" not in listed
        assert dromio(host, "host", "rekey").returncode == 0
        host.stop()
        looked = dromio(host, "doctor", "--data", str(host.data))
        assert looked.returncode == 0, looked.stdout
