"""A disk that is full: reads go on, changes are refused, somebody is told, and once there is space all goes on. `tools/prove disk-full` does the same at length."""
import pytest
from host import Events, Host, thermo_reading, until
from mme import Mme, result_of
from small_disk import small_disk

IMSI = "001010000000071"


@pytest.fixture
def full(tmp_path):
    """A host, its MME and the disk that both fill."""
    with small_disk(tmp_path) as disk, Host("log.segment=1MiB", directory=tmp_path) as host, Mme(host) as mme:
        host.admin.put_twin("f@acme.example", imsi=IMSI)
        mme.attach(IMSI)
        yield host, mme, disk


def fill(host, mme, disk):
    """Uplinks until one is refused: those that met the full disk first wait, and are answered once there is space."""
    disk.fill()
    boxes = []

    def is_refused():
        boxes.append(mme.begin_odr(IMSI, thermo_reading(len(boxes)) + bytes(500)))
        found = [box.queue[0] for box in boxes if box.queue]
        return any(result_of(answer) == 3004 for answer in found)
    until(is_refused, "an uplink that is refused")
    return boxes


def test_at_a_full_disk_reads_go_on_changes_are_refused_at_once_and_health_says_why(full):
    host, mme, disk = full
    pid = host.process.pid, {name: number for name, number in host.rooms().items() if name.split()[0] in ("core", "gate", "cell")}  # the others may come a moment later
    assert host.client(None).get("/healthz").json()["storage"] == "ok"
    boxes = fill(host, mme, disk)
    refused = host.admin.write("f@acme.example", "limit", 5)
    assert refused.status == 503 and refused.headers["Retry-After"] and "the disk is full" in refused.json()["detail"], refused
    assert host.admin.get("/v1/twins/f@acme.example").status == 200
    assert host.admin.query('select count(*) from "acme/thermo"') == [[1]]
    with Events(host.admin, "?twin=f@acme.example", last="1") as events:
        assert events.status == 200 and events.next()["cloud"]["subject"] == "f@acme.example"
    health = host.client(None).get("/healthz")
    assert (health.status, health.json()["storage"]) == (200, "full")
    assert host.admin.get("/v1/status").json()["storage"] == "full" and host.metric("dromio_storage_full") == 1
    disk.make_room()
    results = [result_of(box.get(timeout=60)) for box in boxes]
    assert set(results) == {2001, 3004}
    until(lambda: host.client(None).get("/healthz").json()["storage"] == "ok", "space that is noticed")
    assert host.admin.write("f@acme.example", "limit", 5).status in (200, 202)
    assert host.process.pid == pid[0] and pid[1].items() <= host.rooms().items()
    host.kill()
    host.start()
    shown = host.admin.twin("f@acme.example")["properties"]
    assert shown["rejected"]["value"] == results.count(2001)  # they are no frames of thermo, each of them counted once


def test_a_start_with_a_full_disk_shows_what_is_there_and_refuses_changes(full):
    host, mme, disk = full
    fill(host, mme, disk)
    blocks = "disk no-ring" in host.log()  # where the kernel has no io_uring
    for _ in range(2):
        host.kill()
        disk.fill()
        host.start()
        assert host.admin.get("/v1/twins/f@acme.example").status == 200
        until(lambda: host.admin.write("f@acme.example", "limit", 5).status == 503, "a change that is refused")
        assert "the disk is full" in host.admin.write("f@acme.example", "limit", 5).json()["detail"]
        assert host.client(None).get("/healthz").json()["storage"] == "full"
    assert ("disk no-ring" in host.log()) == blocks
    disk.make_room()
    until(lambda: host.admin.write("f@acme.example", "limit", 5).status in (200, 202), "a change that is taken")


def test_what_needs_a_new_file_says_that_the_disk_is_full_and_not_an_input_output_error(full):
    host, mme, disk = full
    disk.fill()  # before the log is: it has room in its segment still
    made = host.admin.post("/v1/applications", {"id": "late", "domains": ["late.example"], "scopes": ["read"]})
    assert made.status == 503 and made.headers["Retry-After"] and "the disk is full" in made.json()["detail"], made
    twin = host.admin.put("/v1/twins/f@new.example", {"imsi": "001010000000072"})
    assert twin.status == 503 and "the disk is full" in twin.json()["detail"], twin
    disk.make_room()
    assert host.admin.post("/v1/applications", {"id": "late", "domains": ["late.example"], "scopes": ["read"]}).status == 201
    assert host.admin.put("/v1/twins/f@new.example", {"imsi": "001010000000072"}).status == 201
    host.kill()
    host.start()
    assert host.admin.get("/v1/applications/late").status == 200 and host.admin.get("/v1/twins/f@new.example").status == 200
