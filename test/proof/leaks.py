"""A host with contexts.memory so small that nearly each turn reads its context from the log and puts another one to sleep. After a warm-up that makes all there will be, it goes through cycles: uplinks of
twins that slept (turn, wake, sleep), with twins made and removed, groups made and removed, connections over HTTP and Diameter that come and go, event streams, sessions and queries among them. Before
and after, the private memory, descriptors and mappings of every room are read from /proc, each the least of ten looks between the last 20,000 cycles of warm-up or work: what is taken and given back in
between does not count. Private memory, which is stricter than all that is resident, may grow by 1 % (or 256 KiB, a step of malloc), descriptors and mappings not at all."""
import pathlib
import socket

PROMISE = "No room's memory, descriptors or mappings grow with work done: less than 1 % over 100,000 sleep and wake cycles"
UNIT = "cycles"
SHORT, LONG = 100_000, 10_000_000
SECONDS = 180
IN_CHECK = False
LIMITS = "Memory that tables are allowed to take (duplicates, timelines, tickets of a day) is filled by the warm-up as far as its time goes; images pushed and removed are in test/flow/test_images.py."

TWINS, BURST, CHURN_EVERY, WARM = 2000, 200, 2000, 200_000
SLACK_KB, LOOKS, LOOK_EVERY = 256, 10, 2000


def private_kb(pid):
    """What is the process's own: shared memory belongs to tables of a fixed size."""
    kb = 0
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Dirty:", "Private_Clean:")):
            kb += int(line.split()[1])
    return kb


def look(host, found):
    """Into {room: (private KB, descriptors, mappings)}, the least that was seen."""
    for name, pid in {"dromiod": host.process.pid, **host.rooms()}.items():
        try:
            now = (private_kb(pid), len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())), len(pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()))
        except OSError:
            continue
        found[name] = tuple(map(min, zip(found.get(name, now), now)))


class Work:
    """Uplinks by hand, pipelined: 1,000s a second; the rest by the usual clients."""

    def __init__(self, host, proof):
        from mme import Mme, raw_uplink
        self.host, self.proof, self.raw = host, proof, raw_uplink
        self.imsis = [f"00104{n:010}" for n in range(TWINS)]
        host.admin.bulk([{"id": f"s{n}@acme.example", "model": "acme/thermo", "imsi": imsi} for n, imsi in enumerate(self.imsis)])
        mme = Mme(host, identity="leaks.epc.test")
        for imsi in self.imsis:
            mme.attach(imsi)
        mme.close()
        self.end, self.turns, self.churned = 1, 0, 0
        self.connect()

    def connect(self):
        from mme import Mme
        self.mme = Mme(self.host, identity="leaks.epc.test")

    def burst(self):
        """Each twin's turn finds its context in the log, and its own goes there again."""
        from host import thermo_reading
        from mme import result_of
        boxes = []
        for _ in range(BURST):
            twin = self.turns % TWINS
            boxes.append(self.mme.begin_odr(self.imsis[twin], thermo_reading(self.turns // TWINS)))
            self.turns += 1
        for box in boxes:
            answer = box.get(timeout=60)
            if answer is None or result_of(answer) != 2001:
                self.proof.fail(f"an uplink was not taken: {answer}")

    def churn(self):
        """All that comes and goes."""
        from host import Events
        admin = self.host.admin
        self.churned += 1
        for n in range(20):
            name = f"gone{n}@acme.example"
            admin.put_twin(name, imsi=f"00105{n:010}", tags={"n": str(self.churned)})
            assert admin.delete(f"/v1/twins/{name}").status in (200, 204)
        for _ in range(10):
            other = self.host.client(admin.token)
            assert other.get("/v1/status").status == 200
            other.close()
            with socket.create_connection(("127.0.0.1", self.host.http_port)) as half:
                half.sendall(b"GET /v1/status HT")
        with Events(admin, "?model=acme/thermo"):
            pass
        admin.query("select count(*), avg(temperature) from thermo")
        answer = admin.post("/v1/applications", {"id": "passing", "domains": ["acme.example"], "scopes": ["read"]})
        assert answer.status == 201, answer
        assert admin.delete("/v1/applications/passing").status in (200, 204)
        self.mme.close()
        self.connect()


def grown(before, after):
    """[(room, what, before, after)] of what grew more than it may."""
    found = []
    for room, was in before.items():
        now = after.get(room)
        if now is None:
            found.append((room, "it is gone", 0, 0))
            continue
        if now[0] > was[0] * 1.01 and now[0] > was[0] + SLACK_KB:
            found.append((room, "private KB", was[0], now[0]))
        found += [(room, what, was[at], now[at]) for at, what in ((1, "descriptors"), (2, "mappings")) if now[at] > was[at]]
    return found


def run(proof):
    proof.built()
    from host import Host
    with Host("host.cores=1", "contexts.memory=64KiB", "log.segment=4MiB", "log.timeline=8MiB", "log.replay=8MiB", "columns.memory=64MiB") as host:
        work = Work(host, proof)

        def cycles(count, is_counted):
            found = {}
            for n in range(0, count, BURST):
                if is_counted and proof.over():
                    break
                work.burst()
                if work.turns % CHURN_EVERY == 0:
                    work.churn()
                if is_counted:
                    proof.count(BURST)
                if n % LOOK_EVERY == 0 and n >= count - LOOKS * LOOK_EVERY:
                    look(host, found)
            look(host, found)
            return found

        before = cycles(WARM, False)
        missed = host.metric("dromio_context_misses_total") if "dromio_context_misses_total" in host.metrics() else None
        after = cycles(proof.wanted - proof.done, True)
        if missed is not None:
            proof.measured["contexts_read_from_the_log"] = int(host.metric("dromio_context_misses_total") - missed)
        proof.table("Rooms before and after", ["room", "private KB", "descriptors", "mappings"], [[room, *(f"{was} to {now}" for was, now in zip(before[room], after.get(room, ())))] for room in before])
        for room in before:
            proof.measured[f"growth of {room}, % of private memory"] = round(100 * (after[room][0] / before[room][0] - 1), 2)
        wrong = grown(before, after)
        if wrong and proof.done >= proof.wanted:
            proof.fail("; ".join(f"{room}: {what} {was} to {now}" for room, what, was, now in wrong))
        work.mme.close()
