"""Charging records: one for each delivery and event, in files, none lost, none twice. An oracle outside the process counts what was
acknowledged."""
import collections
import json
import os
import random
import re
import shutil
import stat
import subprocess

import pytest
from host import BUILD, Client, Host, thermo_reading, until
from mme import RELEASE, V3GPP, Mme, avp, find, is_asleep, result_of
from oracle import Oracle
from parameter_hss import ParameterHss
from t8 import CALLBACKS, b64, path_of
from trigger import EXPIRED, SUCCESS, MtcIwf

ON = ("charging.enabled=true", "charging.file_age=1")
SETTINGS = (CALLBACKS, *ON)
HSS_IS_KNOWN = 'diameter.peers=[{identity="hss1.epc.test",applications=["s6t"]}]'
ASLEEP = is_asleep()
FINAL = re.compile(r"charging-\d{10}-\d{8}T\d{6}Z\.jsonl")


def directory_of(host):
    return host.data / "charging"


def records_in(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def records(host):
    """Of the closed files, in order; checked as a consumer would."""
    found = []
    for path in sorted(directory_of(host).glob("charging-*.jsonl")):
        assert FINAL.fullmatch(path.name), path
        assert path.read_bytes().endswith(b"\n"), path
        found += records_in(path)
    assert [record["localSequenceNumber"] for record in found] == list(range(1, len(found) + 1)), "a gap, or one twice"
    ids = [record["id"] for record in found]
    assert len(set(ids)) == len(ids), "an id twice"
    assert len({id.split("-")[0] for id in ids}) <= 1, "one series"
    return found


def charged(host, wanted, **members):
    """Waits until there are so many of these."""
    def find():
        found = [r for r in records(host) if all(r.get(name) == value for name, value in members.items())]
        assert len(found) <= wanted, found[wanted:]
        return found if len(found) == wanted else None
    return until(find, f"{wanted} records of {members}")


# ---- what is charged ----

def test_a_connection_and_its_uplinks_are_charged(real, thermometer, mme):
    device = thermometer()
    device.uplink(thermo_reading(1))
    device.uplink(b"\xff" * 17)
    assert mme.cmr(device.imsi, action=RELEASE)
    [established] = charged(real, 1, externalIdentifier=device.id, recordType="Connection-Establishment")
    assert established["servingNodeIdentity"] == "mme1.epc.test" and established["sCEFID"] == real.identity
    up = charged(real, 2, externalIdentifier=device.id, recordType="MO-Data")
    assert [record["accountingInputOctets"] for record in up] == [8, 17]
    assert "exceptionReport" not in up[0] and "scsAsIds" not in up[0]
    [released] = charged(real, 1, externalIdentifier=device.id, recordType="Connection-Release")
    assert established["localSequenceNumber"] < up[0]["localSequenceNumber"] < released["localSequenceNumber"]
    assert not any("servedIMSI" in record for record in records(real))
    assert not any(device.imsi.encode() in path.read_bytes() for path in directory_of(real).iterdir())


def test_the_visited_network_is_charged(real, mme, names):
    name, imsi = next(names)
    real.admin.put_twin(name, imsi=imsi)
    answer = mme.cmr(imsi, apn="roam.test", extra=[avp(1407, bytes.fromhex("62f210"), V3GPP), avp(13, "0800", V3GPP, m=False)])
    assert result_of(answer) == 2001
    mme.uplink(imsi, thermo_reading(1))
    [established] = charged(real, 1, externalIdentifier=name, recordType="Connection-Establishment")
    [up] = charged(real, 1, externalIdentifier=name, recordType="MO-Data")
    assert established["chargingID"] == find(answer, 2050)
    for record in established, up:
        assert (record["servingNodePLMNIdentifier"], record["chargingCharacteristics"], record["accessPointNameNI"]) == ("26201", "0800", "roam.test")


def test_files_are_for_their_owner_alone(real, thermometer):
    device = thermometer()
    device.uplink(thermo_reading(1))
    charged(real, 1, externalIdentifier=device.id, recordType="MO-Data")
    assert stat.S_IMODE(directory_of(real).stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory_of(real).iterdir()} == {0o600}


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["nidd"])


def configured(as1, device, **members):
    answer = as1.post("/3gpp-nidd/v1/as1/configurations", {"externalId": device.id, "notificationDestination": "http://127.0.0.1:9/", **members})
    assert answer.status == 201, answer
    return path_of(answer.headers["Location"])


def send(as1, at, device, data, **members):
    return as1.post(at + "/downlink-data-deliveries", {"externalId": device.id, "data": b64(data), **members})


def test_a_downlink_of_an_application_is_charged_once_it_has_ended(real, as1, thermometer, mme):
    device = thermometer()
    at = configured(as1, device)
    mme.on_downlink = lambda downlink: ASLEEP
    assert send(as1, at, device, b"later").status == 201
    device.uplink(thermo_reading(1))  # a contact: it is tried again, and again the device sleeps
    [up] = charged(real, 1, externalIdentifier=device.id, recordType="MO-Data")
    assert up["scsAsIds"] == ["as1"]
    mme.on_downlink = lambda downlink: 2001
    device.uplink(thermo_reading(2))
    [down] = charged(real, 1, externalIdentifier=device.id, recordType="MT-Data")
    assert (down["scsAsIds"], down["accountingOutputOctets"], down["result"]) == (["as1"], 5, "SUCCESS_NEXT_HOP_UNACKNOWLEDGED")
    assert down["submissionTimestamp"] <= down["eventTimestamp"]


def test_each_member_of_a_groups_downlink_is_charged(real, as1, thermometer, mme):
    devices = [thermometer() for _ in range(3)]
    assert real.admin.put("/v1/groups/billed@acme.example", {}).status == 201
    for device in devices:
        assert real.admin.put(f"/v1/groups/billed@acme.example/members/{device.id}", {}).status in (200, 201, 204)
    mme.on_downlink = lambda downlink: 5012 if downlink.imsi == devices[2].imsi else 2001
    made = as1.post("/3gpp-nidd/v1/as1/configurations", {"externalGroupId": "billed@acme.example", "notificationDestination": "http://127.0.0.1:9/"})
    assert made.status == 201, made
    sent = as1.post(path_of(made.headers["Location"]) + "/downlink-data-deliveries", {"externalGroupId": "billed@acme.example", "data": b64(b"all of you")})
    assert sent.status in (200, 201), sent
    told = charged(real, 2, recordType="Group-MT-Data", result="SUCCESS_NEXT_HOP_UNACKNOWLEDGED")
    assert {record["externalIdentifier"] for record in told} == {device.id for device in devices[:2]}
    assert all((record["externalGroupIdentifier"], record["scsAsIds"], record["accountingOutputOctets"]) == ("billed@acme.example", ["as1"], 10)
               for record in told)
    mme.on_downlink = lambda downlink: 2001
    devices[2].uplink(thermo_reading(1))  # it waited, and is reached now
    charged(real, 3, recordType="Group-MT-Data", result="SUCCESS_NEXT_HOP_UNACKNOWLEDGED")
    assert not [r for r in records(real) if r["recordType"] == "MT-Data" and r["externalIdentifier"] in {device.id for device in devices}]


def test_a_downlink_that_fails_says_how(real, as1, thermometer, mme):
    device = thermometer()
    at = configured(as1, device)
    mme.on_downlink = lambda downlink: ASLEEP
    assert send(as1, at, device, b"now", maximumLatency=0).status >= 400
    [down] = charged(real, 1, externalIdentifier=device.id, recordType="MT-Data")
    assert down["result"] == "FAILURE_TEMPORARILY_NOT_REACHABLE"


def test_a_command_is_charged(real, thermometer, mme):
    device = thermometer()
    ticket = device.write("period", 600)["ticket"]
    device.ticket_is(ticket, "delivered")
    [down] = charged(real, 1, externalIdentifier=device.id, recordType="MT-Data")
    assert (down["accountingOutputOctets"], down["result"]) == (3, "delivered")
    assert "scsAsIds" not in down and down["reference"] == str(ticket)


def test_a_trigger_is_charged_once_it_has_ended(real, thermometer):
    device = thermometer()
    client = real.application("as2", ["acme.example"], ["trigger"])
    body = {"externalId": device.id, "validityPeriod": 3600, "priority": "PRIORITY", "applicationPortId": 4711, "triggerPayload": b64(b"wake up"),
            "notificationDestination": "http://127.0.0.1:9/"}
    with MtcIwf(real, can_replace=True) as iwf:
        for outcome, result in ((SUCCESS, "SUCCESS"), (EXPIRED, "EXPIRED")):
            made = client.post("/3gpp-device-triggering/v1/as2/transactions", body)
            assert made.status == 201, made
            reference = iwf.asked.get(timeout=60).reference
            assert result_of(iwf.tell(reference, outcome)) == 2001
            assert result_of(iwf.tell(reference, outcome)) == 2001  # it has ended already
            [record] = charged(real, 1, externalIdentifier=device.id, recordType="Device-Trigger", result=result)
            assert record["scsAsIds"] == ["as2"] and record["reference"] == made.headers["Location"].rsplit("/", 1)[1]
        made = client.post("/3gpp-device-triggering/v1/as2/transactions", body)
        assert client.delete(path_of(made.headers["Location"])).status in (200, 204)
        charged(real, 1, externalIdentifier=device.id, recordType="Device-Trigger", result="TERMINATE")


def test_each_report_of_a_watched_device_is_charged(sink):
    """Over the network of dromio-sim: its HSS is asked, its MME reports."""
    settings = (CALLBACKS, "diameter.peers=[{identity='hss.epc.dromio.test', realm='epc.dromio.test', applications=['s6t']}]", *ON)
    with Host(*settings) as host:
        host.admin.put_twin("thermo-1@demo.example", imsi="001010000000001")
        client = host.application("as1", ["demo.example"], ["monitoring"])
        network = subprocess.Popen([str(BUILD / "dromio-sim"), "--connect", f"127.0.0.1:{host.diameter_port}", "--devices", "1", "--hss", "1",
                                    "--period", "300", "--active", "10", "--speed", "200", "--edrx", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            body = {"externalId": "thermo-1@demo.example", "notificationDestination": sink.link("/charged"), "monitoringType": "UE_REACHABILITY",
                    "reachabilityType": "DATA", "maximumNumberOfReports": 2}
            def is_made():
                answer = client.post("/3gpp-monitoring-event/v1/as1/subscriptions", body)
                return answer if answer.status != 503 else None  # the HSS comes
            made = until(is_made, "an HSS that answers")
            assert made.status == 201, made
            told = charged(host, 2, recordType="Monitoring-Report")
            assert {record["eventType"] for record in told} == {"UE_REACHABILITY"}
            assert all(record["scsAsIds"] == ["as1"] and record["reference"] == made.headers["Location"].rsplit("/", 1)[1] for record in told)
            whole = charged(host, 2, recordType="Monitoring-Configuration")  # its second report was its last
            assert [record["result"] for record in whole] == ["made", "completed"]
            assert all((record["reference"], record["eventType"]) == (told[0]["reference"], "UE_REACHABILITY") for record in whole)
            del body["externalId"]
            for subject in ({"externalId": "thermo-1@demo.example"}, {"externalGroupId": "all@demo.example"}):
                made = client.post("/3gpp-monitoring-event/v1/as1/subscriptions", {**body, "maximumNumberOfReports": 1000, **subject})
                assert made.status == 201, made
                assert client.delete(path_of(made.headers["Location"])).status in (200, 204)
                whole = charged(host, 2, recordType="Monitoring-Configuration", reference=made.headers["Location"].rsplit("/", 1)[1])
                assert [record["result"] for record in whole] == ["made", "removed"]
                assert whole[1].get("externalGroupIdentifier") == subject.get("externalGroupId")
        finally:
            network.terminate()
            network.wait(60)


def test_parameters_that_the_network_took_are_charged():
    with Host(CALLBACKS, HSS_IS_KNOWN, *ON) as host, ParameterHss(host):
        host.admin.put_twin("p1@acme.example")
        client = host.application("as1", ["acme.example"], ["parameters"])
        at = "/3gpp-cp-parameter-provisioning/v1/as1/subscriptions"
        body = {"externalId": "p1@acme.example", "cpParameterSets": {"night": {"setId": "night", "stationaryIndication": "MOBILE"}}}
        made = client.post(at, body)
        assert made.status == 201, made
        [record] = charged(host, 1, recordType="Parameter-Change", result="made")
        assert (record["externalIdentifier"], record["scsAsIds"], record["eventType"]) == ("p1@acme.example", ["as1"], "3gpp-cp-parameter-provisioning")
        assert record["reference"] == made.headers["Location"].rsplit("/", 1)[1]
        body["cpParameterSets"]["night"]["stationaryIndication"] = "STATIONARY"
        assert client.put(path_of(made.headers["Location"]), body).status == 200
        charged(host, 1, recordType="Parameter-Change", result="changed")
        assert client.delete(path_of(made.headers["Location"])).status == 204
        charged(host, 1, recordType="Parameter-Change", result="removed", reference=record["reference"])


def test_what_is_set_for_a_group_is_charged_once_whatever_ends_when():
    """It is kept in the host's tables and not in the log: the host is killed behind each answer."""
    with Host(CALLBACKS, HSS_IS_KNOWN, *ON) as host:
        assert host.admin.put("/v1/groups/g@acme.example", {}).status == 201
        client = host.application("as1", ["acme.example"], ["parameters"])
        at, patterns = "/3gpp-network-parameter-configuration/v1/as1/configurations", "/3gpp-cp-parameter-provisioning/v1/as1/subscriptions"
        sets = {name: {"setId": name, "stationaryIndication": "MOBILE"} for name in ("night", "day")}
        made = []

        def make(path, **members):
            made.append(client.post(path, {"externalGroupId": "g@acme.example", **members}))
            return made[-1].status == 201

        steps = [
            lambda: make(at, maximumLatency=7200),
            lambda: client.put(path_of(made[0].headers["Location"]), {"externalGroupId": "g@acme.example", "maximumLatency": 3600}).status == 200,
            lambda: make(patterns, cpParameterSets=sets),
            lambda: client.delete(path_of(made[1].headers["Location"]) + "/cpSets/night").status == 204,
            lambda: client.delete(path_of(made[1].headers["Location"])).status == 204,
            lambda: make(at, maximumLatency=1800),
            lambda: client.delete(path_of(made[0].headers["Location"])).status == 204,
        ]
        for step in steps:
            with ParameterHss(host):
                until(lambda: any(peer["state"] == "open" for peer in host.admin.get("/v1/peers").json()["peers"]), "the HSS")
                assert step(), made
                host.kill()
            client.close()
            host.start()
        assert host.admin.delete("/v1/applications/as1").status == 204  # and what it had
        wanted = [(0, "made"), (0, "changed"), (1, "made"), (1, "changed"), (1, "removed"), (2, "made"), (0, "removed"), (2, "removed")]
        all_of = lambda: [r for r in records(host) if r["recordType"] == "Parameter-Change"]  # noqa: E731
        until(lambda: len(all_of()) >= len(wanted), "all records")
        references = [one.headers["Location"].rsplit("/", 1)[1] for one in made]
        assert [(r["reference"], r["result"]) for r in all_of()] == [(references[i], result) for i, result in wanted]
        assert {r["externalGroupIdentifier"] for r in all_of()} == {"g@acme.example"}
        assert all("externalIdentifier" not in r and "servingNodeIdentity" not in r for r in all_of())
        assert all(r["scsAsIds"] == ["as1"] for r in all_of()[:-1])
        for _ in range(2):
            host.kill()
            host.start()
        assert host.stop() == 0
        host.start()
        host.admin.put_twin("last@acme.example", imsi="001010000000088")
        with Mme(host) as mme:
            mme.attach("001010000000088")
            charged(host, 1, recordType="Connection-Establishment")  # behind all that could have come again
        assert len(all_of()) == len(wanted)


def test_what_is_charged_is_shown(real, thermometer):
    device = thermometer()
    device.uplink(thermo_reading(1))
    charged(real, 1, externalIdentifier=device.id, recordType="MO-Data")
    def is_all_shown():  # a file is closed before it is told
        shown = real.admin.get("/v1/charging").json()
        names = sorted(path.name for path in directory_of(real).glob("charging-*.jsonl"))[-32:]
        return shown if [file["name"] for file in shown["files"]] == names and shown["records"] == len(records(real)) else None
    shown = until(is_all_shown, "all files")
    assert shown["enabled"] and shown["state"] == "writing" and shown["gaps"] == 0 and shown["failures"] == 0
    assert all(file["bytes"] == (directory_of(real) / file["name"]).stat().st_size for file in shown["files"])
    assert real.metric("dromio_charging_records_total") == len(records(real))
    assert Client(real.http_port, as_token(real)).get("/v1/charging").status == 403


def as_token(real):
    answer = real.admin.post("/v1/applications", {"id": f"reader{random.randrange(1 << 30)}", "domains": ["acme.example"], "scopes": ["read"]})
    return answer.json()["token"]


def cli(*words, token=None, host=None):
    address = ["--host", f"http://127.0.0.1:{host.http_port}"] if host else []
    environment = {**os.environ, "DROMIO_TOKEN": token or "", "HOME": "/nonexistent"}
    return subprocess.run([str(BUILD / "dromio"), *words, *address], capture_output=True, text=True, env=environment, timeout=60)


def test_the_command_line_shows_and_checks_files(real, thermometer, tmp_path):
    device = thermometer()
    device.uplink(thermo_reading(1))
    charged(real, 1, externalIdentifier=device.id, recordType="MO-Data")
    def is_all_shown():
        shown = json.loads(cli("charging", "-o", "json", token=real.admin.token, host=real).stdout)
        newest = max(path.name for path in directory_of(real).glob("charging-*.jsonl"))
        return shown if shown["records"] == len(records(real)) and shown["files"][-1]["name"] == newest else None
    shown = until(is_all_shown, "all records")
    assert shown["state"] == "writing"
    table = cli("charging", token=real.admin.token, host=real).stdout
    assert "writing" in table and "[" not in table
    heads = next(line for line in table.splitlines() if line.startswith("LOG"))
    assert heads.split() == ["LOG", "READ", "TO", "RECORD"] and all(log["log"] in table.split(heads)[1] for log in shown["logs"])
    listed = cli("charging", "--files", "-o", "ndjson", token=real.admin.token, host=real)
    assert json.loads(listed.stdout.splitlines()[-1])["name"] == max(path.name for path in directory_of(real).glob("charging-*.jsonl"))
    checked = cli("charging", "--verify", str(directory_of(real)), "-o", "json")
    assert checked.returncode == 0
    assert json.loads(checked.stdout) == {**json.loads(checked.stdout), "intact": True, "first": 1, "records": shown["records"], "gaps": 0}
    for path in directory_of(real).glob("charging-*.jsonl"):
        shutil.copy(path, tmp_path)
    lines = [(path, number) for path in sorted(tmp_path.iterdir()) for number in range(len(path.read_text().splitlines()))]
    path, number = lines[len(lines) // 2]
    kept = path.read_text().splitlines(keepends=True)
    for damaged, word in ((kept[:number] + kept[number + 1:], "missing"), (kept[:number] + [kept[number]] * 2 + kept[number + 1:], "twice"),
                          (kept[:number] + ["{\n"] + kept[number + 1:], "no JSON")):
        path.write_text("".join(damaged))
        checked = cli("charging", "--verify", str(tmp_path), "-o", "json")
        assert checked.returncode == 1 and word in json.loads(checked.stdout)["problem"], (word, checked)
    assert cli("charging", "--verify", str(tmp_path / "nothing")).returncode == 3


def test_the_room_sees_its_directory_alone(real):
    pid = real.room("charging")
    opened = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    files = {name for name in opened if name.startswith("/") and not name.startswith(("/dev/", str(real.log_path)))}
    assert all(name.startswith(str(directory_of(real))) for name in files), files
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)
    assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1"


def test_the_imsi_is_there_only_where_it_is_asked_for():
    with Host(*ON, "charging.imsi=true") as host, Mme(host) as mme:
        host.admin.put_twin("i1@acme.example", imsi="001010000000077")
        mme.attach("001010000000077")
        mme.uplink("001010000000077", thermo_reading(1))
        [up] = charged(host, 1, recordType="MO-Data")
        assert up["servedIMSI"] == "001010000000077"
        assert not any(b"001010000000077" in path.read_bytes() for path in (host.data / "log").iterdir())


def test_nothing_is_written_while_it_is_off():
    with Host() as host, Mme(host) as mme:
        host.admin.put_twin("o1@acme.example", imsi="001010000000078")
        mme.attach("001010000000078")
        mme.uplink("001010000000078", thermo_reading(1))
        assert not directory_of(host).exists() and "charging" not in host.rooms()
        assert host.admin.get("/v1/charging").json() == {"enabled": False}


# ---- none lost, none twice ----

def check(host, oracle):
    """Each reading that was acknowledged has its record, once."""
    expected = {device.name: device.sent for device in oracle.devices if device.sent}
    def counted():
        found = collections.Counter(r["externalIdentifier"] for r in records(host) if r["recordType"] == "MO-Data")
        assert all(found[name] <= expected.get(name, 0) for name in found), "one twice, or made up"
        return found == collections.Counter(expected)
    until(counted, "all records")


def kill_loop(cycles, rooms, seed, *settings):
    with Host("log.segment=1MiB", "log.replay=1MiB", "log.timeline=0", *ON, *settings) as host:
        oracle = Oracle(host, seed)
        oracle.provision()
        for _ in range(cycles):
            oracle.run(oracle.chance.randrange(20, 400))
            try:
                for device in oracle.devices:  # at a random moment: with requests on the wire
                    if oracle.load is not None and device.under_way is None and oracle.chance.random() < 0.7:
                        oracle.send_next(device)
            except OSError:  # the room that ended before took the connection along
                oracle.load = None
            kind = oracle.chance.choice(rooms)
            if kind == "host":
                host.kill()
                host.start()
            else:
                dead = host.kill_room(kind)
                host.room_is_back(kind, dead)
                host.admin.close()
                host.wait()
            oracle.run(0)
        oracle.finish()
        check(host, oracle)
        assert host.metric("dromio_charging_gaps_total") == 0


def test_10_kills_of_the_host_lose_no_record():
    kill_loop(10, ["host"], int(os.environ.get("DROMIO_SEED", "1")))


def test_10_kills_of_rooms_lose_no_record():
    kill_loop(10, ["charging", "charging", "core", "cell"], int(os.environ.get("DROMIO_SEED", "2")))


@pytest.mark.long
def test_100_kills_lose_no_record():
    kill_loop(100, ["host", "host", "charging", "core", "cell"], int(os.environ.get("DROMIO_SEED", "3")), "charging.file_size=4096")


def test_another_number_of_cores_loses_no_record():
    host = Host("log.segment=1MiB", *ON)
    sizes = iter([3, 1, 2])
    with host:
        oracle = Oracle(host, 5)
        oracle.provision()
        for cores in sizes:
            while not oracle.run(300):  # a start ends the connection once
                pass
            host.kill()
            host.settings = ("log.segment=1MiB", *ON, f"host.cores={cores}")
            host.start()
        oracle.finish()
        check(host, oracle)
        until(lambda: len({r["id"].split("-")[1] for r in records(host)}) >= 3, "records of several logs")


# ---- when files cannot be written ----

def test_the_host_goes_on_without_its_charging_files_and_catches_up():
    with Host(*ON) as host, Mme(host) as mme:
        host.admin.put_twin("d1@acme.example", imsi="001010000000079")
        mme.attach("001010000000079")
        mme.uplink("001010000000079", thermo_reading(1))
        charged(host, 1, recordType="MO-Data")
        away = host.directory / "away"
        host.stop()
        directory_of(host).rename(away)
        directory_of(host).write_text("in the way")  # not even a directory
        host.start()
        with Mme(host, identity="mme2.epc.test") as again:
            again.attach("001010000000079")
            for n in range(2, 12):
                again.uplink("001010000000079", thermo_reading(n))
        assert host.admin.get("/v1/charging").json()["state"] != "writing"
        assert host.metric("dromio_charging_backlog_bytes") > 0
        directory_of(host).unlink()
        away.rename(directory_of(host))
        charged(host, 11, recordType="MO-Data")
        assert host.admin.get("/v1/charging").json()["state"] == "writing"


def test_more_than_the_backlog_is_given_up_and_said():
    settings = ("log.segment=1MiB", "log.replay=1MiB", "log.timeline=0", "charging.backlog=2MiB", *ON)
    with Host(*settings) as host:
        oracle = Oracle(host, 9)
        oracle.provision()
        charged(host, len(oracle.devices), recordType="Connection-Establishment")
        away = host.directory / "away"
        host.stop()
        directory_of(host).rename(away)
        directory_of(host).write_text("in the way")
        host.start()
        def is_full():
            oracle.run(2000)
            return host.metric("dromio_log_written_bytes_total") > 12 << 20
        until(is_full, "a log of more than the backlog")
        def is_given_up():  # whole segments of each core more; what the audit log has not looked through yet stays a moment longer
            oracle.run(200)
            return host.metric("dromio_charging_backlog_bytes") <= 8 << 20
        until(is_given_up, "the oldest are given up")
        oracle.finish()
        directory_of(host).unlink()
        away.rename(directory_of(host))
        until(lambda: host.metric("dromio_charging_is_writing") == 1 and host.metric("dromio_charging_backlog_bytes") == 0, "an end")
        gaps = charged(host, host.metric("dromio_charging_gaps_total"), recordType="Gap")  # one of each log that fell behind
        assert len(gaps) >= 1 and all(gap["from"] < gap["to"] and "externalIdentifier" not in gap for gap in gaps)
        up = [r for r in records(host) if r["recordType"] == "MO-Data"]
        assert 0 < len(up) < sum(d.sent for d in oracle.devices)
        shown = host.admin.get("/v1/charging").json()
        assert shown["gaps"] == len(gaps) and shown["state"] == "writing"


def test_an_open_file_that_was_taken_away_costs_its_own_records_only():
    with Host("charging.enabled=true", "charging.file_age=3600") as host, Mme(host) as mme:
        host.admin.put_twin("d2@acme.example", imsi="001010000000080")
        mme.attach("001010000000080")
        mme.uplink("001010000000080", thermo_reading(1))
        until(lambda: host.metric("dromio_charging_records_total") == 2, "two records")
        host.stop()
        [open_file] = directory_of(host).glob("*.open")
        open_file.unlink()
        host.start()
        assert "is not there" in until(lambda: host.log() if "lines before 3 are missing" in host.log() else None, "a word of it")
        with Mme(host, identity="mme2.epc.test") as again:
            again.attach("001010000000080")
        until(lambda: host.metric("dromio_charging_records_total") == 3, "one more")
        [open_file] = directory_of(host).glob("*.open")
        assert [record["localSequenceNumber"] for record in records_in(open_file)] == [3]
