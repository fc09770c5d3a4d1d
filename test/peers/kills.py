"""kill -9 of a host's rooms, of dromiod or of all at once, under the load of an oracle (promised.py)."""
import re
import time

from host import killed, until

ROOM_KINDS = ("gate", "core", "cell", "desk", "charging", "audit")
DEATHS_MAX, DEATHS_S = 15, 10  # dromiod gives up at 20 in 10 s: that is not what is looked at here
BAD_LINE = re.compile(r"^.*(ended: (?!signal 9|killed)|Assertion|log damaged|broke its ring|panic|Sanitizer).*$", re.M)


class Kills:
    def __init__(self, host, oracle, chance, cores=()):
        self.host, self.oracle, self.chance = host, oracle, chance
        self.cores = cores        # numbers of cores that a start of the whole host may have; none: as it is
        self.deaths = []
        self.log_seen = 0
        self.killed = {}

    def kinds(self):
        return [kind for kind in ROOM_KINDS if any(name.split()[0] == kind for name in self.host.rooms())]

    def cycle(self, acknowledgements=120):
        """Load, a kill at any moment of it, the way back, and what is there then."""
        self.oracle.runs(self.chance.randrange(1, acknowledgements))
        kind = self.chance.choice([*self.kinds(), "dromiod", "host", "host"])
        now = time.monotonic()
        self.deaths = [at for at in self.deaths if at > now - DEATHS_S]
        if kind in ROOM_KINDS and len(self.deaths) >= DEATHS_MAX:
            kind = "host"
        self.killed[kind] = self.killed.get(kind, 0) + 1
        if kind in ROOM_KINDS:
            self.kill_room(kind)
        else:
            self.kill_host(kind)
        self.host.admin.close()
        self.oracle.check()
        self.look_at_log()
        return kind

    def kill_room(self, kind):
        name, pid = self.chance.choice([(name, pid) for name, pid in self.host.rooms().items() if name.split()[0] == kind])
        self.deaths.append(time.monotonic())
        killed(pid)
        until(lambda: self.host.rooms().get(name, pid) != pid, f"another {name}")
        self.host.wait()

    def kill_host(self, kind):
        self.deaths = []
        if kind == "dromiod":
            self.host.process.kill()
            self.host.process.wait()
            until(lambda: not self.host.left(), "the end of the rooms of a dromiod that was killed")
        else:
            self.host.kill()
        if self.cores and self.chance.random() < 0.3:
            self.change_cores()
        self.host.start()

    def change_cores(self):
        number = self.chance.choice(self.cores)
        settings = [s for s in self.host.settings if not s.startswith("host.cores=")]
        if f"host.cores={number}" not in self.host.settings:
            self.oracle.follower.gaps_allowed += 1
        self.host.settings = (*settings, f"host.cores={number}")

    def look_at_log(self):
        with open(self.host.log_path, errors="replace") as log:
            log.seek(self.log_seen)
            new = log.read()
            self.log_seen = log.tell()
        found = BAD_LINE.search(new)
        assert found is None, f"in the host's log: {found.group(0)}"
