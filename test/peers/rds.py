"""A device that speaks the Reliable Data Service (TS 24.250), for flow tests: a codec and a procedure of its own,
written from the figure below and not from the host's table, so that one wrong on either side is seen.

          8    7    6    5   4   3   2   1        then
  I       PD   C/R  ADS  0   A   N(S)              N(R) 8-6, S 5-4, R 3-1; ports
  S       PD   C/R  ADS  1   0   A   X   X         N(R) 8-6, S 5-4, R 3-1; ports
  UI      PD   C/R  ADS  1   1   0   X   X         N(U) 8-6, X; ports
  U       PD   C/R  ADS  1   1   1   M             ports
  ports, where ADS is 1: source 8-5, destination 4-1

The places of these bits are unverified: see spec/rds_frame.csv.
"""
import dataclasses
import threading

ACK = 1                                               # supervisory functions
SET_ACK_MODE, SET_UNACK_MODE, MANAGE_PORT = 0, 1, 2   # functions of U
RESERVE, RELEASE, QUERY, NOTIFY = 1, 2, 3, 4          # actions of MANAGE_PORT
ACCEPTED, IN_USE, UNKNOWN, REFUSED = 0, 1, 2, 3       # its statuses


@dataclasses.dataclass
class Frame:
    kind: str                   # "I", "S", "UI", "U"
    data: bytes = b""
    source: int = None          # ports; None: no port octet
    destination: int = None
    is_response: bool = False
    asks: bool = False          # A
    sent: int = 0               # N(S)
    received: int = 0           # N(R)
    supervisory: int = 0        # S
    function: int = 0           # M
    unconfirmed: int = 0        # N(U)

    def encode(self):
        first = 0x40 * self.is_response + 0x20 * (self.source is not None)
        numbers = bytes([self.received << 5 | self.supervisory << 3])
        if self.kind == "I":
            header = bytes([first | 0x08 * self.asks | self.sent]) + numbers
        elif self.kind == "S":
            header = bytes([first | 0x10 | 0x04 * self.asks]) + numbers
        elif self.kind == "UI":
            header = bytes([first | 0x18, self.unconfirmed << 5])
        else:
            header = bytes([first | 0x1C | self.function])
        if self.source is not None:
            header += bytes([self.source << 4 | self.destination])
        return header + self.data

    @classmethod
    def decode(cls, octets):
        first = octets[0]
        assert first & 0x80 == 0, f"PD is 1: {octets.hex()}"
        frame = cls("", is_response=bool(first & 0x40))
        at = 1
        if first & 0x10 == 0:
            frame.kind, frame.asks, frame.sent = "I", bool(first & 8), first & 7
        elif first & 0x08 == 0:
            frame.kind, frame.asks = "S", bool(first & 4)
        elif first & 0x04 == 0:
            frame.kind, frame.unconfirmed, at = "UI", octets[1] >> 5, 2
        else:
            frame.kind, frame.function = "U", first & 3
        if frame.kind in ("I", "S"):
            frame.received, frame.supervisory, at = octets[1] >> 5, octets[1] >> 3 & 3, 2
        if first & 0x20:
            frame.source, frame.destination, at = octets[at] >> 4, octets[at] & 15, at + 1
        frame.data = octets[at:]
        return frame


@dataclasses.dataclass
class Ports:
    """What MANAGE_PORT carries."""
    action: int
    status: int = 0
    pairs: tuple = ()           # (source, destination, formats, application)

    def encode(self):
        return bytes([self.action << 4 | self.status]) + b"".join(
            bytes([source << 4 | destination, formats, len(name)]) + name.encode() for source, destination, formats, name in self.pairs)

    @classmethod
    def decode(cls, octets):
        pairs, at = [], 1
        while at < len(octets):
            end = at + 3 + octets[at + 2]
            pairs.append((octets[at] >> 4, octets[at] & 15, octets[at + 1], octets[at + 3:end].decode()))
            at = end
        return cls(octets[0] >> 4, octets[0] & 15, tuple(pairs))


class Device:
    """Behind an MME. `loses_down(frame)` and `loses_up(frame)` say which frames the radio eats; the MME has answered for the first."""

    def __init__(self, mme, imsi):
        self.mme, self.imsi = mme, imsi
        self.lock = threading.RLock()
        self.numbers = {}       # V(S), V(R) by pair; what is not there is not established
        self.taken = []         # information of the host, once each: (data, own port, port of the host)
        self.frames = []        # every frame that came, lost or not
        self.managed = []       # MANAGE_PORT of the host
        self.loses_down = self.loses_up = lambda frame: False
        self.refuses = False    # acknowledged transfer
        self.manages = lambda ports: ACCEPTED
        self.answers = 2001     # what the MME says
        mme.on_downlink = self.on_downlink

    # ---- from the host: on the MME's own thread, so nothing here waits for an answer ----

    def on_downlink(self, downlink):
        frame = Frame.decode(downlink.data)
        with self.lock:
            self.frames.append(frame)
        if self.answers == 2001 and not self.loses_down(frame):
            self.take(frame)
        return self.answers

    def take(self, frame):
        with self.lock:
            pair = (frame.destination, frame.source)
            if frame.kind == "U":
                self.take_function(frame, pair)
            elif frame.kind == "UI":
                self.taken.append((frame.data, *pair))
            elif pair in self.numbers:
                self.take_numbered(frame, pair)

    def take_function(self, frame, pair):
        if frame.function == SET_ACK_MODE and self.refuses:
            self.say(Frame("U", is_response=True, function=SET_UNACK_MODE), pair)
        elif frame.function == SET_ACK_MODE:
            self.numbers[pair] = [0, 0]
            if not frame.is_response:
                self.say(Frame("U", is_response=True, function=SET_ACK_MODE), pair)
        elif frame.function == SET_UNACK_MODE:
            self.numbers.pop(pair, None)
        else:
            ports = Ports.decode(frame.data)
            self.managed.append((frame.is_response, ports))
            status = None if frame.is_response or ports.action == NOTIFY else self.manages(ports)
            if status is not None:
                answer = Ports(ports.action, status, tuple((d, s, f, n) for s, d, f, n in ports.pairs))
                self.say(Frame("U", answer.encode(), is_response=True, function=MANAGE_PORT), pair)

    def take_numbered(self, frame, pair):
        numbers = self.numbers[pair]
        if frame.kind == "I" and frame.sent == numbers[1]:
            numbers[1] = (numbers[1] + 1) % 8
            self.taken.append((frame.data, *pair))
        if frame.asks:
            self.say(Frame("S", is_response=True, received=numbers[1], supervisory=ACK), pair)

    # ---- to the host ----

    def say(self, frame, pair=(None, None)):
        """Without waiting for the MME's answer."""
        frame.source, frame.destination = pair
        if not self.loses_up(frame):
            self.mme.begin_odr(self.imsi, frame.encode())

    def put(self, frame, pair=(None, None)):
        frame.source, frame.destination = pair
        self.mme.uplink(self.imsi, frame.encode())

    def set_ack_mode(self, pair=(None, None)):
        self.put(Frame("U", function=SET_ACK_MODE), pair)

    def send(self, data, pair=(None, None), again=False):
        """An I frame that asks for acknowledgement; `again`: under the number of the one before."""
        with self.lock:
            numbers = self.numbers[pair]
            numbers[0] = numbers[0] if again else (numbers[0] + 1) % 8
            frame = Frame("I", data, asks=True, sent=(numbers[0] - 1) % 8, received=numbers[1], supervisory=ACK)
        self.put(frame, pair)

    def came(self, kind, **members):
        """Frames of the host of that kind, with these members."""
        with self.lock:
            return [frame for frame in self.frames if frame.kind == kind and all(getattr(frame, name) == value for name, value in members.items())]
