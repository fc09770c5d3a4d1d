"""Keeps many connections to a port, each of which sends something and then a little now and again, and opens them anew when they are closed. A program of its own, so that it runs beside
who measures: `_flooder.py PORT COUNT RATE WINDOW DRIP < first bytes`; it says a line once all were open and another for each second; it ends with its input."""
import resource
import select
import socket
import sys
import time


def opened(port, first, window):
    one = socket.socket()
    if window:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    one.setblocking(False)
    try:
        one.connect(("127.0.0.1", port))
    except BlockingIOError:
        pass
    except OSError:
        one.close()
        return None
    return one


def say(one, data):
    """False: it has ended."""
    try:
        one.send(data)
    except BlockingIOError:
        pass
    except OSError:
        return False
    return True


def main():
    port, count, rate, window, drip = (int(word) for word in sys.argv[1:])
    first = sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(4), "big"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    poll, held, reopened, was_full = select.epoll(), {}, 0, False
    poll.register(sys.stdin.fileno(), select.EPOLLIN | select.EPOLLHUP)
    allowance, last, told = float(count), time.monotonic(), time.monotonic()
    while True:
        now = time.monotonic()
        allowance = min(max(allowance, count if not was_full else 0) + (now - last) * rate, max(rate, count))
        last = now
        for _ in range(200):
            if len(held) >= count or allowance < 1:
                break
            one = opened(port, first, window)
            if one is None:
                break
            allowance -= 1
            reopened += 1
            held[one.fileno()] = (one, now)
            poll.register(one.fileno(), select.EPOLLOUT | select.EPOLLRDHUP)
        if len(held) >= count and not was_full:
            was_full = True
            print("full", flush=True)
        for number, events in poll.poll(0.005 if was_full else 0, 1000):
            if number == sys.stdin.fileno():
                return
            one, _ = held[number]
            if events & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR) or (events & select.EPOLLOUT and first and not say(one, first)):
                del held[number]
                one.close()
            else:
                poll.modify(number, select.EPOLLRDHUP)
        if now - told >= 1:
            told = now
            for one, _ in list(held.values())[::3] if drip else []:
                say(one, b"c" * drip)
            print(len(held), reopened, flush=True)


main()
