"""The rule by which nonces are taken, as a search through all that can happen to a data directory and the hosts on it, up to a depth. A fresh random number is a new symbol: that two are the
same by chance (2^-63 for two starts of a host) is left to arithmetic."""
from collections import deque

DIRECTORIES, CORES = 2, 2

# A directory: (epoch that is kept, generation of its key). A host: (directory, epoch, counters of its cores, generation).
BUILT = dict(fresh_epoch=True, durable_first=True, per_core=True, rolls_back=False, can_snapshot=False)
WRONG = {
    "an epoch that is kept over starts": {"fresh_epoch": False},
    "an epoch that all cores share, with a counter each": {"per_core": False},
    "a counter that a round which was given up takes back": {"rolls_back": True},
    "a host's memory that is copied and goes on twice": {"can_snapshot": True},
}


def steps(state, rule):
    """What may happen next: (name, state after it, (key, nonce) that was used or None)."""
    drawn, directories, hosts = state
    for number, directory in enumerate(directories):
        if directory is not None and not any(host[0] == number for host in hosts):
            kept, generation = directory
            epoch = drawn if rule["fresh_epoch"] or kept is None else kept
            after = directories[:number] + ((epoch, generation),) + directories[number + 1:]
            yield "start", (drawn + 1, after, hosts + ((number, epoch, (0,) * CORES, generation),)), None
    for at, host in enumerate(hosts):
        number, epoch, counters, generation = host
        others = hosts[:at] + hosts[at + 1:]
        for core in range(CORES):
            key = (generation, epoch, core if rule["per_core"] else 0)
            more = counters[:core] + (counters[core] + 1,) + counters[core + 1:]
            yield "seal", (drawn, directories, others + ((number, epoch, more, generation),)), (key, counters[core])
            if rule["rolls_back"]:
                yield "seal, given up", (drawn, directories, hosts), (key, counters[core])
        yield "kill", (drawn, directories, others), None
        if directories[number] is not None:
            kept, _ = directories[number]
            rotated = directories[:number] + ((kept, drawn),) + directories[number + 1:]
            yield "rotate", (drawn + 1, rotated, others + ((number, epoch, counters, drawn),)), None
        if rule["can_snapshot"] and len(hosts) < DIRECTORIES:
            yield "snapshot resumed", (drawn, directories, hosts + ((1 - number, *host[1:]),)), None
    for to in range(DIRECTORIES):
        if any(host[0] == to for host in hosts):
            continue
        for of in range(DIRECTORIES):
            if of != to and directories[of] is not None:  # also while a host is on it: a copy of files, or a backup
                yield "copy", (drawn, directories[:to] + (directories[of],) + directories[to + 1:], hosts), None
        if directories[to] is not None:  # the file of the epoch is lost, or an older one put back
            yield "epoch lost", (drawn, directories[:to] + ((None, directories[to][1]),) + directories[to + 1:], hosts), None


def search(rule, depth):
    """(states, None) or (states, the way to a pair that was used twice)."""
    first = ((1, ((None, 0), None), ()), frozenset())
    seen, queue = {first}, deque([(first, ())])
    while queue:
        (state, used), way = queue.popleft()
        if len(way) == depth:
            continue
        for name, after, pair in steps(state, rule):
            if pair in used:
                return len(seen), (*way, name)
            reached = (after, used | {pair} if pair else used)
            if reached not in seen:
                seen.add(reached)
                queue.append((reached, (*way, name)))
    return len(seen), None
