"""Floods: many connections that each do as little as keeps a place, and what honest clients get meanwhile."""
import fcntl
import os
import pathlib
import resource
import select
import socket
import struct
import time

from host import LIMIT_S, Host, until

HALF_HEAD = b"GET /v1/twins HTTP/1.1\r\nHost: x\r\nX-A: b"
LONG_HEAD = b"GET /v1/twins HTTP/1.1\r\nHost: x\r\nX-A: " + b"b" * 12000
UNREAD = b"GET /v1/twins HTTP/1.1\r\nHost: x\r\n\r\n"
UNREAD_PAGE = b"GET /console/twin.js HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW_BODY = b"POST /v1/twins:bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\nab"
SLOW_FORM = b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\n" + b"a" * 4000
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SMALL_WINDOW = 2048
SIOCOUTQ = 0x5411  # bytes sent that the other side has not acknowledged


class NarrowHost(Host):
    """One whose gate may have some 200 connections only."""

    def arguments(self):
        return ["prlimit", "--nofile=256:256", *super().arguments()]


def may_open(count):
    """So many descriptors of our own; what the system does not allow is the caller's to know."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 200)), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200


def flood(port, count, first=b"", window=None):
    """Connections that have sent `first`, as much of it as is taken."""
    held = []
    for _ in range(count):
        one = socket.socket()
        if window is not None:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        one.settimeout(LIMIT_S)
        one.connect(("127.0.0.1", port))
        one.setblocking(False)
        try:
            if first:
                one.send(first)
        except (BlockingIOError, ConnectionError):
            pass
        held.append(one)
    return held


def are_read(held):
    """All that was sent has been read, so the host has done what it does with it. Of who was closed nothing is left to read."""
    def unread():
        return sum(read_left(one) for one in held)
    until(lambda: unread() == 0, "all bytes of the flood read")


def read_left(one):
    try:
        return struct.unpack("i", fcntl.ioctl(one, SIOCOUTQ, b"\0" * 4))[0]
    except OSError:
        return 0


def close(held):
    for one in held:
        one.close()


def open_ones(held):
    """How many the host has not ended."""
    poll = select.poll()
    for one in held:
        poll.register(one, select.POLLIN | select.POLLRDHUP)
    return len(held) - sum(1 for _, event in poll.poll(0) if event & (select.POLLRDHUP | select.POLLHUP | select.POLLERR))


def private_kib(pid):
    """Memory that is a process's own: nothing of the kernel's, nothing shared."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1])
    raise AssertionError("no Private_Dirty")


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def request_of(host, path="/v1/twins?limit=1"):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {host.admin.token}\r\n\r\n".encode()


def honest(host, count):
    """`count` requests, each on a connection of its own: seconds each took, sorted. All must be answered well."""
    request, times = request_of(host), []
    for _ in range(count):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", host.http_port), timeout=LIMIT_S) as one:
            one.sendall(request)
            answer = b"".join(iter(lambda: one.recv(1 << 16), b""))
        times.append(time.monotonic() - began)
        assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
    return sorted(times)


def percentile(times, part):
    return times[min(len(times) - 1, int(len(times) * part))]
