"""A host with contexts.memory so small that nearly each turn reads its context from the log and puts another one to sleep. After a warm-up that makes all there will be, with four times as much of what comes and goes as later, it goes through cycles: uplinks of
twins that slept (turn, wake, sleep), with twins made and removed, connections over HTTP and Diameter that come and go, event streams, sessions, queries, and images that are pushed again or refused among
them. Before all cycles of a host and behind each quarter of them the memory, descriptors and mappings of every room are read from /proc, each the least of ten looks, so what is taken and given back in between does not count.
Memory is anonymous memory: a page that dromiod still shares with a room it forked becomes its private one when the room writes to it, which is no growth. A core's is without what rounds of its log have filled, told by
`dromio_log_memory_bytes` and in a table of its own: five buffers of 4 MiB at most, of which more are used when the disk is slow for a moment, and each grows to the largest round that was ever in it. From the warm-up to the end no room may have grown by more
than 1 % and 32 KiB: a room of 4 MiB has 10 pages for its 1 %, and a list of the heap that a busy moment makes longer takes its pages by the block; a byte lost in each cycle would be 98 KiB. Descriptors and mappings
may not grow in both halves. The table shows all five looks. Last, images that are new, each of which makes new cells beside the old ones: they stay by design, so told is what one costs, in the second half as
in the first. The long form does the same with one new host after the other, a million cycles each, none of which may grow by more over all of them."""
import pathlib
import re
import socket
import tempfile

PROMISE = "No room's memory, descriptors or mappings grow with work done: less than 1 % (and 32 KiB, for pages come in blocks) over 100,000 sleep and wake cycles"
UNIT = "cycles"
SHORT, LONG = 100_000, 10_000_000
SECONDS = 180
IN_CHECK = False
LIMITS = "Memory that rounds of the log fill is judged by its bound only; memory that tables are allowed to take (duplicates, timelines, tickets of a day) is filled by the warm-up as far as its time goes; images are never removed, so only pushes are gone through"

TWINS, BURST, CHURN_EVERY, CHURN_WARM_EVERY, WARM = 2000, 200, 2000, 500, 200_000
CYCLES, CYCLES_LONG = 100_000, 1_000_000            # of one host
GROWTH, BLOCK_KB, LOOKS, LOOK_EVERY, QUARTERS = 0.01, 32, 10, 2000, 4
ROUNDS_KB = 5 * 4096                                # that rounds of a core's log may fill
IMAGES, IMAGE_KB, IMAGE_OTHERS = 40, 128, 0.5      # new ones; what each may cost a room that stays: its model is in tables


def memory_kb(pid):
    """What is the process's own: shared memory belongs to tables of a fixed size."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"^(?:Anonymous|Swap): +(\d+) kB", text, re.MULTILINE))


def mappings(pid):
    return [re.sub(r"^(\w+-\w+) (\S+) \w+ \S+ \d+ *", r"\1 \2 ", line) for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()]


def rooms(host):
    return {"dromiod": host.process.pid, **host.rooms()}


def rounds_kb(host):
    return int(host.metric("dromio_log_memory_bytes")) // 1024


def look(host, found):
    """Into {room: (KB, descriptors, mappings)}, the least that was seen."""
    rounds = rounds_kb(host)
    for name, pid in rooms(host).items():
        try:
            now = (memory_kb(pid) - (rounds if name == "core 0" else 0), len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())), len(mappings(pid)))
        except OSError:
            continue
        found[name] = tuple(map(min, zip(found.get(name, now), now)))


class Work:
    """Uplinks by hand, pipelined: 1,000s a second; the rest by the usual clients."""

    def __init__(self, host, proof):
        from host import THERMO
        from mme import Mme, raw_uplink
        self.host, self.proof, self.raw = host, proof, raw_uplink
        self.known, self.bad = THERMO.read_bytes(), THERMO.read_bytes()[:-7]
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
        assert admin.post("/v1/images", self.known, Content_Type="application/wasm").status == 200
        assert admin.post("/v1/images", self.bad, Content_Type="application/wasm").status in (400, 422)
        self.mme.close()
        self.connect()


WHAT = ("KB", "descriptors", "mappings")


def grown(looks):
    """[(room, what, values)] of what grew by more than it may. `looks`: before the first quarter and behind each."""
    found = []
    for room, was in looks[0].items():
        if any(room not in each for each in looks):
            found.append((room, "is gone", ()))
            continue
        values = [[each[room][at] for each in looks] for at in range(3)]
        if values[0][QUARTERS] - was[0] > was[0] * GROWTH + BLOCK_KB:
            found.append((room, WHAT[0], values[0]))
        found += [(room, WHAT[at], values[at]) for at in (1, 2) if values[at][QUARTERS] > values[at][QUARTERS // 2] > values[at][0]]
    return found


def new_images(proof, host):
    """What a new image costs each room that stays, by halves; cells are new ones each time."""
    import hostile

    def push(first, count):
        for n in range(first, first + count):
            with tempfile.TemporaryDirectory() as directory:
                assert host.push(hostile.image(pathlib.Path(directory), f"acme/leaks{n}")).status == 201
        found = {}
        for _ in range(LOOKS):
            host.admin.query("select 1")
            look(host, found)
        return {room: found[room] for room in found if not room.startswith(("cell", "admit"))}

    looks = [push(0, 5), push(5, IMAGES // 2), push(5 + IMAGES // 2, IMAGES // 2)]
    costs = {room: [[(b[at] - a[at]) / (IMAGES // 2) for at in range(3)] for a, b in zip(values, values[1:])]
             for room in looks[0] if len(values := [each[room] for each in looks if room in each]) == 3}
    proof.table("What a new image costs", ("room", "KB each, first half", "second half", "descriptors each", "second half", "mappings each", "second half"),
                [[room, *(f"{half[at]:.2f}" for at in range(3) for half in halves)] for room, halves in costs.items()])
    for room, (_, second) in costs.items():
        if second[0] > IMAGE_KB or max(second[1:]) > IMAGE_OTHERS:
            proof.fail(f"{room}: a new image costs {second[0]:.1f} KB, {second[1]:.1f} descriptors, {second[2]:.1f} mappings")


def run(proof):
    """A host that was begun is brought to its end, also when a slice's time is up: else it could not be judged."""
    while not proof.over():
        one_host(proof, min(CYCLES_LONG if proof.is_long else CYCLES, proof.wanted - proof.done))


def one_host(proof, wanted):
    from host import Host
    with Host("host.cores=1", "contexts.memory=64KiB", "log.segment=4MiB", "log.timeline=8MiB", "log.replay=8MiB", "columns.memory=64MiB") as host:
        work = Work(host, proof)

        def cycles(count, is_counted):
            """Looks at the end of them, while they go on."""
            found = {}
            for n in range(0, count, BURST):
                work.burst()
                if work.turns % (CHURN_EVERY if is_counted else CHURN_WARM_EVERY) < BURST:
                    work.churn()
                if is_counted:
                    proof.count(BURST)
                if n % LOOK_EVERY == 0 and n >= count - LOOKS * LOOK_EVERY:
                    look(host, found)
            look(host, found)
            return found

        def maps():
            return {room: mappings(pid) for room, pid in rooms(host).items()}

        first, pids, maps_before, rounds = cycles(WARM, False), rooms(host), maps(), rounds_kb(host)
        missed = host.metric("dromio_context_misses_total") if "dromio_context_misses_total" in host.metrics() else None
        looks = [first, *(cycles((wanted // BURST + n) // QUARTERS * BURST, True) for n in range(QUARTERS))]
        if any((now := rooms(host)).get(room) != pid for room, pid in pids.items()):  # one more is no leak: probation, where a turn was slow
            proof.fail(f"rooms were replaced: {pids}, now {now}")
        if missed is not None:
            proof.measured["contexts_read_from_the_log"] = proof.measured.get("contexts_read_from_the_log", 0) + int(host.metric("dromio_context_misses_total") - missed)
        proof.table("Rooms before and behind each quarter", ["room", *WHAT], [[room, *(" to ".join(str(each[room][at]) for each in looks) for at in range(3))] for room in first])
        proof.table("What rounds of the log filled", ("room", "KB before", "KB at the end", "KB at most"), [["core 0", rounds, rounds_kb(host), ROUNDS_KB]])
        if rounds_kb(host) > ROUNDS_KB:
            proof.fail(f"rounds of the log filled {rounds_kb(host)} KB")
        for room, was in first.items():
            if room in looks[-1]:
                name = f"growth of {room}, % of its memory"
                proof.measured[name] = max(proof.measured.get(name, -100.0), round(100 * (looks[-1][room][0] - was[0]) / was[0], 2))
        wrong = grown(looks)
        new = {room: lines for room, now in maps().items() if (lines := sorted(set(now) - set(maps_before.get(room, []))))}
        proof.table("Mappings that came or changed", ("room", "mapping"), [[room, line] for room, lines in new.items() for line in lines])
        if wrong:
            proof.fail("; ".join(f"{room}: {what} {' to '.join(map(str, values))}" + (f", new: {new.get(room)}" if what == WHAT[2] else "") for room, what, values in wrong))
        work.mme.close()
        new_images(proof, host)
