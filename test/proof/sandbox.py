"""Takes the WebAssembly sandbox as broken: in a build of its own (meson option `hostile`) guest code has one more import, which runs native code in the cell's process, behind its filter. The table below
tries system calls of every family (by their usual numbers, as x32, by `int 0x80` and the vsyscall page), every descriptor the cell has, searches all memory it can read for planted secrets of others, and
writes what it should not into its rings: forged twins and ids, lengths of all kinds, indexes that lie, results that change while the core reads them, answers twice, never and in floods. Each action runs in a
twin of one of eight hostile domains, in eight cells at once, while a twin of another domain in a cell of its own reports all the time. After each action it is known what became of it: the cell ended, was
given up, the event became a dead letter, or nothing came of it. A call that is not one of the seven a cell has must be the cell's end by the filter's signal (SIGSYS; SIGSEGV where the kernel has no such
way to call at all): one that returns, or that ends the cell in its own way, is a success of the attacker and breaks the proof. Two calls newer kernels take before they ask any filter, uretprobe and uprobe, which serve a tracer's traps: the first has to end the
cell, the second has to refuse. All readable memory is searched before the attacks and after them. The rest of the
actions are system calls with random numbers and arguments, by seed."""
import os
import pathlib
import random
import re
import subprocess
import threading
import time

PROMISE = "A broken sandbox reaches nobody else: at least 100 different attacks from native code in a cell, none succeeds"
UNIT = "actions"
SHORT, LONG = 400, 10_000
SECONDS = 150
IN_CHECK = False
LIMITS = "Twins of domains that share a cell (cells.max is smaller than their number) share its fate, and what the broken code does to the turns they have there; side channels of the processor."

CELLS, MASK, BASE = 9, 0x5A, 0xFEED0000
HERE = pathlib.Path(__file__).resolve().parents[2]
ALLOWED = ("read", "write", "futex", "clock_nanosleep", "clock_gettime", "restart_syscall", "rt_sigreturn", "exit_group")
UNFILTERED, ENXIO = {"uretprobe": 335, "uprobe": 336}, 6  # Linux 6.14, 6.18: seccomp is not asked for them; older kernels do not have them
ENDS, REFUSED, GIVEN_UP, DEAD, KEPT, ANY = "the kernel ends the cell", "the kernel refuses it or ends the cell", "the core gives the cell up", "the event is a dead letter", "nothing comes of it", "given up, or nothing comes of it"


def action_numbers():
    text = re.sub(r"/\*.*?\*/", "", (HERE / "src/cell/hostile.h").read_text(), flags=re.S)
    return {name: number for number, name in enumerate(re.findall(r"ACTION_(\w+)", text[:text.index("};")]))}


def call_numbers():
    """The system calls of this machine."""
    done = subprocess.run(["gcc", "-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "/dev/null"], capture_output=True, text=True, check=True)
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)$", done.stdout, flags=re.M)}


ACTIONS, CALLS = action_numbers(), call_numbers()
IS_X86 = os.uname().machine == "x86_64"


def act(name, *bytes_):
    return bytes([ACTIONS[name]]) + b"".join(bytes_)


def call(name, *arguments, way=0):
    """A system call; bytes and texts among the arguments lie in the cell's memory."""
    rest, head = b"", bytes([way]) + (CALLS[name] if isinstance(name, str) else name).to_bytes(4, "little")
    for argument in list(arguments) + [0] * (6 - len(arguments)):
        if isinstance(argument, int):
            head += b"\0" + (argument % 2**64).to_bytes(8, "little")
        else:
            head += b"\1" + len(rest).to_bytes(8, "little")
            rest += (argument.encode() if isinstance(argument, str) else argument) + bytes(8)
    return act("CALL", head, rest)


def system_calls(host):
    """(name, frame) of calls that have to end the cell."""
    room, data, at_fdcwd = host.room, str(host.data), -100
    core, gate, desk, parent = room("core"), room("gate"), room("desk"), host.process.pid
    pids = {"core": core, "gate": gate, "desk": desk, "dromiod": parent, "init": 1}
    loopback = b"\x02\0" + host.http_port.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    diameter = b"\x02\0" + host.diameter_port.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    found = []

    def put(name, *arguments, what="", way=0):
        if name in CALLS:
            found.append((f"{name} {what}".strip() + (" (x32)" if way == 2 else ""), call(name, *arguments, way=way)))

    paths = [data, f"{data}/master.key", f"{data}/admin.token", f"{data}/log/keys", f"{data}/log/host", "/etc/shadow", "/etc/passwd", "/proc/self/mem", "/proc/self/maps", "/proc/self/environ",
             f"/proc/{core}/mem", f"/proc/{gate}/mem", f"/proc/{parent}/environ", f"/proc/{core}/fd/5", "/proc/self/fd/0", "/dev/shm/x", "/dev/mem", "/dev/kmsg", "/sys/kernel/debug", "/"]
    for path in paths:
        put("openat", at_fdcwd, path, 0, what=path.replace(data, "DATA"))
    for path in (f"{data}/master.key", "/tmp/hostile"):
        put("openat", at_fdcwd, path, 0o102, 0o600, what=f"to write {path.replace(data, 'DATA')}")
        put("open", path, 0o102, 0o600, what=path.replace(data, "DATA"))
        put("creat", path, 0o600, what=path.replace(data, "DATA"))
        put("openat2", at_fdcwd, path, bytes(24), 24, what=path.replace(data, "DATA"))
    put("unlink", f"{data}/master.key"); put("unlinkat", at_fdcwd, f"{data}/master.key", 0); put("renameat2", at_fdcwd, f"{data}/master.key", at_fdcwd, "/tmp/k", 0)
    put("linkat", at_fdcwd, f"{data}/master.key", at_fdcwd, "/tmp/k", 0); put("symlinkat", "/etc/shadow", at_fdcwd, "/tmp/k"); put("mkdirat", at_fdcwd, "/tmp/k", 0o700)
    put("mknodat", at_fdcwd, "/tmp/k", 0o10600, 0); put("truncate", f"{data}/log/host", 0); put("fchmodat", at_fdcwd, f"{data}/master.key", 0o666); put("faccessat", at_fdcwd, "/etc/shadow", 4)
    put("newfstatat", at_fdcwd, "/etc/shadow", bytes(256), 0); put("statx", at_fdcwd, "/etc/shadow", 0, 0xFFF, bytes(256)); put("readlinkat", at_fdcwd, "/proc/self/exe", bytes(64), 64)
    put("getdents64", 0, bytes(256), 256); put("chdir", "/"); put("getcwd", bytes(128), 128)
    for family, kind in (("inet", (2, 1, 0)), ("inet datagram", (2, 2, 0)), ("inet6", (10, 1, 0)), ("unix", (1, 1, 0)), ("netlink", (16, 3, 0)), ("packet", (17, 3, 0x300)), ("vsock", (40, 1, 0)),
                         ("sctp", (2, 1, 132)), ("raw", (2, 3, 1)), ("alg", (38, 5, 0))):
        put("socket", *kind, what=family)
    put("socketpair", 1, 1, 0, bytes(8))
    for number in range(3, 7):
        put("connect", number, loopback, 16, what=f"{number} to the host's HTTP")
    put("connect", 3, diameter, 16, what="to the host's Diameter"); put("bind", 3, loopback, 16); put("listen", 3, 1); put("accept4", 3, 0, 0, 0); put("sendto", 3, b"x", 1, 0, loopback, 16)
    put("sendmsg", 3, bytes(56), 0); put("recvmsg", 3, bytes(56), 0); put("shutdown", 3, 2); put("setsockopt", 3, 1, 2, bytes(4), 4)
    for name, pid in pids.items():
        put("ptrace", 16, pid, 0, 0, what=f"attach {name}"); put("kill", pid, 9, what=name); put("process_vm_readv", pid, bytes(16), 1, bytes(16), 1, 0, what=name)
        put("process_vm_writev", pid, bytes(16), 1, bytes(16), 1, 0, what=name); put("pidfd_open", pid, 0, what=name); put("tgkill", pid, pid, 9, what=name)
    put("tkill", core, 9); put("pidfd_send_signal", 3, 9, 0, 0); put("pidfd_getfd", 3, 0, 0); put("rt_sigqueueinfo", core, 9, bytes(128)); put("rt_tgsigqueueinfo", core, core, 9, bytes(128))
    put("process_madvise", 3, bytes(16), 1, 4, 0); put("process_mrelease", 3, 0); put("kcmp", core, gate, 0, 0, 0); put("prlimit64", core, 7, bytes(16), 0, what="of the core")
    put("setrlimit", 7, bytes(16)); put("sched_setaffinity", core, 8, b"\1" + bytes(7)); put("sched_setscheduler", 0, 1, bytes(4)); put("setpriority", 0, core, 19); put("ioprio_set", 1, core, 0)
    for name in ("fork", "vfork"):
        put(name)
    put("clone", 17, 0, 0, 0, 0); put("clone", 0x10000000 | 17, what="in a new user namespace"); put("clone3", bytes(88), 88); put("execve", "/bin/sh", 0, 0); put("execveat", at_fdcwd, "/bin/sh", 0, 0, 0)
    put("mmap", 0, 4096, 5, 0x22, -1 % 2**32, 0, what="executable"); put("mmap", 0, 4096, 3, 0x22, -1 % 2**32, 0, what="plain"); put("mprotect", 0, 4096, 7); put("pkey_mprotect", 0, 4096, 7, 0)
    put("mremap", 0, 4096, 8192, 1, 0); put("munmap", 0, 4096); put("brk", 0); put("madvise", 0, 4096, 4); put("mlock", 0, 4096); put("memfd_create", "x", 0); put("memfd_secret", 0)
    for number in range(0, 4):
        put("mmap", 0, 4096, 3, 1, number, 0, what=f"descriptor {number}")
    put("userfaultfd", 0); put("bpf", 0, bytes(128), 128); put("io_uring_setup", 8, bytes(120)); put("io_uring_enter", 3, 1, 0, 0, 0, 0); put("io_setup", 8, bytes(8)); put("io_submit", 0, 1, bytes(8))
    put("perf_event_open", bytes(128), 0, -1, -1, 0); put("keyctl", 0, -3, 0); put("add_key", "user", "x", b"y", 1, -3); put("request_key", "user", "x", 0, -3); put("unshare", 0x10000000)
    put("setns", 3, 0); put("mount", "x", "/tmp", "tmpfs", 0, 0); put("umount2", "/tmp", 0); put("chroot", "/tmp"); put("pivot_root", "/tmp", "/tmp"); put("fsopen", "tmpfs", 0); put("open_tree", at_fdcwd, "/", 0)
    put("move_mount", 3, "", 4, "", 0); put("init_module", bytes(64), 64, ""); put("finit_module", 3, "", 0); put("delete_module", "x", 0); put("kexec_load", 0, 0, 0, 0)
    put("reboot", 0xFEE1DEAD, 0x28121969, 0, 0); put("swapon", "/tmp/x", 0); put("acct", "/tmp/x"); put("setuid", 0); put("setgid", 0); put("setresuid", 0, 0, 0); put("setgroups", 0, 0)
    put("capset", bytes(16), bytes(24)); put("prctl", 4, 1, what="dumpable"); put("prctl", 22, 2, bytes(16), what="seccomp"); put("prctl", 15, "name", what="name"); put("prctl", 0x59616D61, -1, what="ptracer")
    put("seccomp", 1, 0, bytes(16)); put("arch_prctl", 0x1002, 0); put("modify_ldt", 1, bytes(16), 16); put("iopl", 3); put("ioperm", 0, 1024, 1); put("personality", 0x0400000)
    put("ioctl", 0, 0x5412, b"x", what="TIOCSTI"); put("ioctl", 0, 0x541B, bytes(8), what="FIONREAD"); put("open_by_handle_at", 3, bytes(32), 0); put("name_to_handle_at", at_fdcwd, "/", bytes(32), bytes(4), 0)
    put("inotify_init1", 0); put("fanotify_init", 0, 0); put("landlock_create_ruleset", bytes(8), 8, 0); put("rt_sigaction", 31, bytes(32), 0, 8); put("rt_sigprocmask", 0, bytes(8), 0, 8); put("sigaltstack", bytes(24), 0)
    put("shmget", 0, 4096, 0o1600); put("shmat", 0, 0, 0); put("semget", 0, 1, 0o1600); put("msgget", 0, 0o1600); put("mq_open", "x", 0o102, 0o600, 0); put("splice", 0, 0, 1, 0, 64, 0)
    put("vmsplice", 1, bytes(16), 1, 0); put("tee", 0, 1, 64, 0); put("sendfile", 1, 0, 0, 64); put("copy_file_range", 0, 0, 1, 0, 64, 0); put("pipe2", bytes(8), 0); put("eventfd2", 0, 0); put("signalfd4", -1, bytes(8), 8, 0)
    put("timerfd_create", 0, 0); put("timer_create", 0, 0, bytes(8)); put("epoll_create1", 0); put("poll", bytes(8), 0, 0); put("ppoll", bytes(8), 0, 0, 0, 0); put("getrandom", bytes(8), 8, 0); put("getpid"); put("gettid")
    put("clock_gettime", 0, bytes(16)); put("nanosleep", bytes(16), 0); put("sched_yield"); put("uname", bytes(400)); put("sysinfo", bytes(128)); put("syslog", 3, bytes(64), 64); put("times", bytes(32))
    put("exit", 0, what="of one thread"); put("set_tid_address", 0); put("set_robust_list", bytes(24), 24); put("rseq", bytes(32), 32, 0, 0); put("membarrier", 0, 0, 0); put("getcpu", 0, 0, 0); put("futex_waitv", bytes(24), 1, 0, 0, 0)
    for operation, what in ((6, "lock_pi"), (0x86, "private lock_pi"), (11, "wait_requeue_pi"), (3, "requeue"), (5, "wake_op"), (0, "wait, shared"), (1, "wake, shared")):
        put("futex", bytes(8), operation, 1, 0, bytes(8), 0, what=what)
    for number in range(0, 8):
        put("dup", number, what=str(number)); put("ftruncate", number, 0, what=str(number)); put("fallocate", number, 0, 0, 4096, what=str(number)); put("fcntl", number, 1033, 0xF, what=f"{number} seals")
        put("pwrite64", number, b"x" * 8, 8, 0, what=str(number)); put("pread64", number, bytes(8), 8, 0, what=str(number)); put("writev", number, bytes(16), 1, what=str(number)); put("close", number, what=str(number))
    for number in (0, 1, 2, 200):  # those of its own, and the bell it may ring, are what it lives on
        put("read", number, bytes(64), 64, what=str(number)); put("write", number, b"\1" + bytes(7), 8, what=str(number))
    if IS_X86:
        for name in ("getpid", "openat", "socket", "execve", "ptrace", "read", "write"):
            put(name, 0, "/etc/shadow", 0, way=2)
        found += [(f"int 0x80, {what}", call(number, 0, 0, 0, way=1)) for what, number in (("getpid", 20), ("read", 3), ("open", 5), ("execve", 11), ("fork", 2), ("ptrace", 26), ("exit", 1), ("socketcall", 102))]
        found += [(f"vsyscall {what}", call(number, way=3)) for number, what in enumerate(("gettimeofday", "time", "getcpu"))]
    return found


RING = [("FORGED_TWIN", GIVEN_UP), ("FORGED_ID", GIVEN_UP), ("OLD_ID", GIVEN_UP), ("CONTEXT_HUGE", GIVEN_UP), ("EFFECTS_HUGE", GIVEN_UP), ("LENGTHS_WRAP", GIVEN_UP), ("STATUS_UNKNOWN", DEAD),
        ("OUTCOME_UNKNOWN", DEAD), ("CPU_HUGE", KEPT), ("CPU_NONE", KEPT), ("EFFECTS_GARBAGE", DEAD), ("EFFECTS_TOO_MANY", DEAD), ("FOREIGN_PROPERTY", DEAD), ("FOREIGN_TICKET", ANY), ("BAD_TEXT", DEAD),
        ("CONTEXT_GARBAGE", KEPT), ("SHORT", GIVEN_UP), ("DEADLINE_LIE", DEAD), ("EVENTS_FLOOD", ANY), ("LENGTH_0", GIVEN_UP), ("LENGTH_4", GIVEN_UP), ("LENGTH_ODD", GIVEN_UP), ("LENGTH_HUGE", GIVEN_UP),
        ("LENGTH_PAST_TAIL", GIVEN_UP), ("TYPE_TURN", GIVEN_UP), ("TYPE_PAD", GIVEN_UP), ("TYPE_UNKNOWN", GIVEN_UP), ("TWICE", ANY), ("FLOOD", ANY), ("TAIL_ODD", ANY), ("TAIL_BACK", ANY), ("TAIL_FAR", ANY),
        ("PADS", ANY), ("PADS_ENDLESS", ANY), ("HEAD_FORWARD", ANY), ("HEAD_BACK", ANY), ("SLEEPING", KEPT), ("CHANGE_HEADER", ANY), ("CHANGE_RESULT", ANY), ("CHANGE_EFFECTS", ANY), ("CHANGE_CONTEXT", ANY),
        ("SCRIBBLE", ANY), ("BLAME_NOBODY", DEAD), ("BLAME_ANOTHER", DEAD), ("SILENT", GIVEN_UP), ("LATE", KEPT), ("RING_BELL", KEPT), ("JUMP", DEAD), ("WRITE_CODE", DEAD)]


def random_call(dice):
    """Any number but those a cell has and those no filter is asked for, any arguments: pointers to the cell's own memory, small numbers, descriptors, bits."""
    barred = {CALLS[name] for name in ALLOWED} | set(UNFILTERED.values())
    number = dice.choice([n for n in range(0, 470) if n not in barred] + [dice.randrange(2**31) | 512 for _ in range(40)])
    values = [dice.choice([bytes(dice.randrange(256) for _ in range(32)), dice.randrange(16), dice.getrandbits(64), -dice.randrange(1, 200), 1 << dice.randrange(64)]) for _ in range(6)]
    return f"random call {number}", call(number, *values)


class Domain:
    """A hostile domain: a thread's own twins, MME and cell."""

    def __init__(self, host, number, mme):
        self.host, self.number, self.mme, self.count = host, number, mme, 0
        self.name = f"h{number}.example"
        self.client = host.client(host.admin.token)
        self.cell = None
        self.log_at = 0

    def twin(self, key=b""):
        self.count += 1
        name, imsi = f"t{self.count}@{self.name}", f"00102{self.number:02}{self.count:08}"
        self.client.put_twin(name, imsi=imsi, image=self.host.hostile, **({"secrets": {"key": to_base64(key)}} if key else {}))
        self.mme.attach(imsi)
        return name, imsi

    def fresh_log(self):
        text = self.host.log()
        new, self.log_at = text[self.log_at:], len(text)
        return [line for line in new.splitlines() if self.cell is None or re.search(rf"\bcell[ =]{self.cell}\b", line)]

    def run(self, frame, key=b""):
        """(result or None, lines of the log about its cell): None means that the event became a dead letter."""
        name, imsi = self.twin(key)
        self.fresh_log()
        self.mme.uplink(imsi, frame)
        shown = self.client.twin(name)["properties"]
        value = shown["result"]["value"]
        return value, self.fresh_log(), shown


def to_base64(data):
    import base64
    return base64.b64encode(data).decode()


def expect(proof, what, expected, value, lines, shown):
    way_out = r"signal (31|11)\b" if what.startswith(("vsyscall", "int 0x80")) else r"signal 31\b"  # a kernel without these ways of calling says that there is nothing
    ended = sum(re.search(" ended: " + way_out, line) is not None for line in lines)
    given_up = sum("broke its ring" in line or "gives no results" in line for line in lines)
    died = sum(" ended: " in line for line in lines)
    told = f"{what}: result {value}, {died} cells ended ({ended} by the filter), {given_up} were given up; expected: {expected}; {lines[-4:]}"
    if expected == ENDS and (value is not None or ended < 2 or ended != died):
        proof.fail(f"it went through: {told}")
    if expected == REFUSED and value not in (None, -ENXIO):
        proof.fail(f"it went through: {told}")
    if expected == GIVEN_UP and (value is not None or given_up < 2):
        proof.fail(f"the core did not notice: {told}")
    if expected == DEAD and value is not None:
        proof.fail(f"it was kept: {told}")
    if expected == KEPT and (value is None or died):
        proof.fail(f"something came of it: {told}")
    if value is not None and shown["said"]["value"] != "done":
        proof.fail(f"a text nobody set: {told}: {shown}")
    return ENDS if ended else GIVEN_UP if given_up else DEAD if value is None else KEPT


class Witness:
    """A twin of another domain in another cell, that must not notice."""

    def __init__(self, host, domain, key):
        from host import thermo_reading
        from mme import Mme
        self.host, self.reading, self.sent, self.waits = host, thermo_reading, 0, []
        self.id, self.imsi = f"w@{domain}", "001030000000001"
        host.admin.put_twin(self.id, imsi=self.imsi, secrets={"key": to_base64(key)})
        self.mme = Mme(host, identity="witness.epc.test").attach(self.imsi)
        self.is_ended, self.wrong = threading.Event(), None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.is_ended.wait(0.002):
                asked = time.monotonic()
                self.mme.uplink(self.imsi, self.reading(self.sent, temperature=self.sent % 30))
                self.waits.append(time.monotonic() - asked)
                self.sent += 1
        except BaseException as wrong:  # told by the thread that looks
            self.wrong = wrong

    def end(self, proof):
        self.is_ended.set()
        self.thread.join()
        if self.wrong is not None:
            proof.fail(f"the twin of another domain noticed: {self.wrong!r}")
        shown = {name: what["value"] for name, what in self.host.admin.twin(self.id)["properties"].items()}
        if (shown["readings"], shown["lost"], shown["duplicates"], shown["late"], shown["rejected"]) != (self.sent, 0, 0, 0, 0) or shown["temperature"] != (self.sent - 1) % 30:
            proof.fail(f"the twin of another domain is not what it would be: {self.sent} sent, {shown}")
        self.mme.close()


def look_around(proof, host, domain, secrets):
    """Searches of all that the cell can read; what it finds of its own twin shows that it would find others'."""
    own = bytes(random.Random(proof.seed).randrange(1, 256) for _ in range(32))
    def masked(needle):
        return act("SEARCH", bytes(byte ^ MASK for byte in needle))
    value, lines, _ = domain.run(masked(own), own)
    if not value:
        proof.fail(f"a search does not even find the twin's own secret: {value} {lines}")
    yield "search: its own twin's secret", "found, as it must be"
    for what, needle in secrets.items():
        value, lines, _ = domain.run(masked(needle))
        if value != 0:
            proof.fail(f"a cell has {what} in its memory: {value} times {lines}")
        yield f"search: {what}", "not there"
    for name, most in (("SHARED", 3), ("WRITABLE_CODE", 0)):
        value, lines, _ = domain.run(act(name))
        if value is None or value > most:
            proof.fail(f"{name}: {value} mappings, at most {most} are wanted")
        yield {"SHARED": "shared mappings it can write", "WRITABLE_CODE": "mappings it can write and run"}[name], str(value)


def run(proof):
    build = proof.built("hostile")
    os.environ["DROMIO_BUILD"] = str(build)
    import importlib
    import host as peers
    importlib.reload(peers)
    from mme import Mme
    shipped = (proof.build / "dromiod").read_bytes()
    if b"hostile build" in shipped or b"hostile_act" in shipped or b"hostile_act" not in (build / "dromiod").read_bytes():
        proof.fail("the shipped dromiod has the hostile import")
    dice = random.Random(proof.seed)
    witness_key, neighbour_key = (bytes(dice.randrange(1, 256) for _ in range(32)) for _ in range(2))
    outcomes, lock, wrong = proof.state.setdefault("outcomes", {}), threading.Lock(), []
    with peers.Host("host.cores=1", f"cells.max={CELLS}", "quarantine.kills=0", "quarantine.twins=0") as host:
        host.hostile = host.push((build / "test/proof/hostile.wasm").read_bytes()).json()["image"]
        domains = []
        for number in range(CELLS):  # a domain for each cell; the last one's stays quiet
            domain = Domain(host, number, Mme(host, identity=f"mme{number}.epc.test"))
            domain.twin()
            domains.append(domain)
        neighbour = Domain(host, CELLS, Mme(host, identity="neighbour.epc.test"))
        neighbour.twin(neighbour_key)
        for domain in domains + [neighbour]:  # which cell is whose: it ends by a forbidden call
            value, lines, _ = domain.run(call("getpid"))
            cells = {int(found) for line in lines for found in re.findall(r"cell (\d+) ended: signal 31", line)}
            assert len(cells) == 1 and value is None, (domain.name, value, lines)
            domain.cell = cells.pop()
        assert len({domain.cell for domain in domains}) == CELLS and neighbour.cell == domains[0].cell
        host.admin.delete(f"/v1/twins/t1@{domains[-1].name}")
        witness = Witness(host, domains[-1].name, witness_key)  # alone in its cell
        admin, master = (host.data / "admin.token").read_text().strip().encode(), (host.data / "master.key").read_bytes().strip()
        secrets = {"the secret of a twin of another domain": witness_key, "the secret of an idle twin of a domain that shares the cell": neighbour_key, "the admin's token": admin, "the master key": master,
                   "an IMSI of another domain": witness.imsi.encode(), "the file of domain keys": (host.data / "log/keys").read_bytes()[64:96]}
        attackers = domains[:-1]
        table = [(what, frame, ENDS) for what, frame in system_calls(host)] + [(what, call(number, bytes(64)), REFUSED) for what, number in UNFILTERED.items()] + [(what.lower().replace("_", " "), act(what), expected) for what, expected in RING]
        dice.shuffle(table)
        fixed = len(table)
        names = set(proof.state.get("names", []))  # of all that was done, over slices
        tasks = iter(range(proof.done, proof.wanted))

        def note(what, came):
            with lock:
                outcomes[came] = outcomes.get(came, 0) + 1
                names.add(what)
                proof.count()

        def work(domain):
            try:
                while not wrong:
                    with lock:
                        n = next(tasks, None) if not proof.over() else None
                    if n is None:
                        return
                    unit = n % max(proof.wanted, 1)
                    what, frame, expected = table[unit] if unit < fixed else (*random_call(random.Random(proof.seed_of(unit))), ENDS)
                    note(what, expect(proof, what, expected, *domain.run(frame)))
            except BaseException as error:
                wrong.append(error)

        def look():
            for what, came in look_around(proof, host, attackers[0], secrets):
                proof.say(f"{what}: {came}")
                names.add(what)

        look()
        threads = [threading.Thread(target=work, args=(domain,)) for domain in attackers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if wrong:
            witness.is_ended.set()
            raise wrong[0]
        for domain in attackers:  # its cell works on
            assert domain.run(act("CPU_NONE"))[0] == 0, domain.name
        look()  # now that the cells went through all that
        witness.end(proof)
        log = host.log()
        for sign in ("core ended", "gate 0 ended", "desk ended", "giving up", f"cell {domains[-1].cell} ended: exit"):
            if sign in log:
                proof.fail(f"another room ended: {[line for line in log.splitlines() if sign in line]}")
        proof.state["names"] = sorted(names)
        proof.measured["different_actions"] = len(names)
        if proof.done > 0:
            proof.measured["succeeded"] = 0
        proof.measured["readings_of_the_other_domain_meanwhile"] = witness.sent
        proof.measured["its_median_wait_ms"], proof.measured["its_longest_wait_ms"] = (round(1000 * sorted(witness.waits)[at], 1) for at in (len(witness.waits) // 2, -1))
        proof.measured.update({f"came_to: {came}": count for came, count in sorted(outcomes.items())})
        for domain in domains + [neighbour]:
            domain.mme.close()
