"""An MME for flow tests: python-diameter's encoder and decoder over a socket of its own,
so that a test chooses End-to-End ids, the T flag, and when to go away."""
import itertools
import queue
import socket
import struct
import threading
import time

from diameter.message import Avp, Message, MessageHeader
from diameter.message.packer import Unpacker

from host import LIMIT_S

V3GPP, T6A, S6T = 10415, 16777346, 16777345
CER, DWR, DPR, CMR, ODR, TDR, RIR = 257, 280, 282, 8388732, 8388733, 8388734, 8388719
ESTABLISH, RELEASE, UPDATE = 0, 1, 2
PROXIABLE, RETRANSMITTED = 0x40, 0x10
ends = itertools.count(int(time.time()) << 12 & 0xFFFFF000)


def avp(code, value, vendor=0, m=True):
    return Avp.new(code, vendor, value=value, is_mandatory=m)


def plain(data):
    """A message with its AVPs, none of their values looked at."""
    header = MessageHeader.from_bytes(data)
    unpacker = Unpacker(data)
    unpacker.set_position(header.length_header)
    avps = []
    while not unpacker.is_done():
        avps.append(Avp.from_unpacker(unpacker))
    return Message(header, avps)


def find(message, *codes):
    """Value of the first AVP down that path of codes, or None."""
    avps = message.avps
    found = None
    for code in codes:
        found = next((item for item in avps if item.code == code), None)
        if found is None:
            return None
        avps = found.value if isinstance(found.value, list) else []
    return found.value


def result_of(message):
    """Result-Code, or the code inside Experimental-Result."""
    result = find(message, 268)
    return result if result is not None else find(message, 297, 298)


def encode(code, application, avps, hop, end, is_request=True, flags=0):
    message = Message()
    message.header.command_code, message.header.application_id = code, application
    message.header.hop_by_hop_identifier, message.header.end_to_end_identifier = hop, end
    message.header.is_request = is_request
    message.header.is_proxyable = bool(flags & PROXIABLE)
    message.header.is_retransmit = bool(flags & RETRANSMITTED)
    for item in avps:
        message.append_avp(item)
    return message.as_bytes()


class Downlink:
    """An MT-Data-Request as it came."""

    def __init__(self, message):
        self.message = message
        self.imsi = find(message, 3102, 1)
        self.data = find(message, 4315)
        self.bearer = find(message, 1020)
        self.is_answered = threading.Event()


class Downlinks(queue.Queue):
    """What came. It is in here before it is answered, so that whoever hears of that finds it; who takes it out knows that its answer is on its way."""

    def get(self, block=True, timeout=None):
        downlink = super().get(block, timeout)
        downlink.is_answered.wait()
        return downlink


class Mme:
    """Connects at once. Downlinks are answered with what `on_downlink(downlink)` gives: a result, AVPs, or None for no answer."""

    def __init__(self, host, identity="mme1.epc.test", realm="epc.test", application=T6A, on_downlink=None):
        self.identity, self.realm = identity, realm
        self.destination = host.realm.encode()
        self.downlinks, self.releases = Downlinks(), queue.Queue()
        self.on_downlink = on_downlink or (lambda downlink: 2001)
        self.order = []  # what came, in order: ("answer", code) and ("downlink", data)
        self.hops = itertools.count(1)
        self.waiting = {}
        self.has_ended = threading.Event()
        self.socket = socket.create_connection(("127.0.0.1", host.diameter_port), timeout=LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lock = threading.Lock()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        answer = self.ask(CER, 0, [avp(257, "127.0.0.1"), avp(266, 0), avp(269, "flow", m=False), avp(265, V3GPP),
                                   avp(260, [avp(266, V3GPP), avp(258, application)])], flags=0)
        assert result_of(answer) == 2001, answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Goes away without a word."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.reader.join(LIMIT_S)
        self.socket.close()

    def leave(self):
        """Disconnect-Peer."""
        answer = self.ask(DPR, 0, [avp(273, 0)], flags=0)
        self.close()
        return answer

    # ---- bytes ----

    def origin(self):
        return [avp(264, self.identity.encode()), avp(296, self.realm.encode())]

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _read(self):
        self.socket.settimeout(None)
        try:
            while True:
                head = self._exactly(4)
                self._take(plain(head + self._exactly(int.from_bytes(head[1:], "big") - 4)))
        except (OSError, EOFError):
            pass
        self.has_ended.set()
        for box in list(self.waiting.values()):
            box.put(None)

    def _take(self, message):
        header = message.header
        if not header.is_request:
            self.order.append(("answer", header.command_code))
            box = self.waiting.pop(header.hop_by_hop_identifier, None)
            if box is not None:
                box.put(message)
        elif header.command_code == TDR:
            downlink = Downlink(message)
            self.order.append(("downlink", downlink.data))
            said = self.on_downlink(downlink)
            self.downlinks.put(downlink)
            try:
                if said is not None:
                    result = [avp(268, said)] if isinstance(said, int) else said
                    session = next(item for item in message.avps if item.code == 263)
                    self._answer(message, [session, *result, avp(277, 1), *self.origin()])
            finally:
                downlink.is_answered.set()
        elif header.command_code in (DWR, DPR):
            self._answer(message, [avp(268, 2001), *self.origin()])
        else:
            self.on_other(message)

    def on_other(self, message):
        """A request of the host that is neither a downlink nor of the connection itself: here it ends a device's connection."""
        self.releases.put(message)
        session = next(item for item in message.avps if item.code == 263)
        self._answer(message, [session, avp(268, 2001), avp(277, 1), *self.origin()])

    def _answer(self, request, avps):
        header = request.header
        self.send(encode(header.command_code, header.application_id, avps, header.hop_by_hop_identifier, header.end_to_end_identifier,
                         is_request=False, flags=PROXIABLE if header.is_proxyable else 0))

    def send(self, data):
        with self.lock:
            self.socket.sendall(data)

    # ---- requests ----

    def begin(self, code, application, avps, end=None, flags=PROXIABLE):
        """Sends a request; gives the box its answer will come into (None: the connection ended)."""
        hop, box = next(self.hops), queue.Queue()
        self.waiting[hop] = box
        self.send(encode(code, application, self.origin() + avps, hop, next(ends) & 0xFFFFFFFF if end is None else end, flags=flags))
        if self.has_ended.is_set():
            box.put(None)
        return box

    def ask(self, *arguments, **more):
        answer = self.begin(*arguments, **more).get(timeout=LIMIT_S)
        if answer is None:
            raise ConnectionError("the host ended the connection")
        return answer

    def _user(self, imsi, bearer):
        return [avp(263, f"{self.identity};1;{next(ends)}"), avp(3102, [avp(1, imsi)], V3GPP), avp(1020, bearer, V3GPP), avp(277, 1),
                avp(283, self.destination)]

    def cmr(self, imsi, action=ESTABLISH, bearer=b"\x05", apn="nidd.test", extra=()):
        more = [avp(4314, action, V3GPP), avp(493, apn), avp(1032, 1005, V3GPP)]
        return self.ask(CMR, T6A, self._user(imsi, bearer) + more + list(extra))

    def attach(self, imsi, **more):
        answer = self.cmr(imsi, **more)
        assert result_of(answer) == 2001, answer
        return self

    def reachable(self, imsi, until, **more):
        """CMR update: the UE is reachable until then."""
        return self.cmr(imsi, action=UPDATE, extra=[avp(4317, 1, V3GPP), avp(3329, until, V3GPP)], **more)

    def begin_odr(self, imsi, data, bearer=b"\x05", end=None, is_again=False, is_exception=False):
        flags = PROXIABLE | (RETRANSMITTED if is_again else 0)
        cause = [avp(4318, [avp(4319, 1, V3GPP)], V3GPP)] if is_exception else []  # RRC-Cause-Counter{Counter-Value}
        return self.begin(ODR, T6A, self._user(imsi, bearer) + [avp(4315, data, V3GPP), *cause], end=end, flags=flags)

    def odr(self, *arguments, **more):
        answer = self.begin_odr(*arguments, **more).get(timeout=LIMIT_S)
        if answer is None:
            raise ConnectionError("the host ended the connection")
        return answer

    def uplink(self, imsi, data, **more):
        """An uplink that is answered 2001."""
        answer = self.odr(imsi, data, **more)
        assert result_of(answer) == 2001, answer
        return answer

    def report(self, reference):
        """Reporting-Information-Request of a monitoring event."""
        group = avp(3123, [avp(3124, reference, V3GPP), avp(3125, b"scef.dromio.test", V3GPP)], V3GPP)
        return self.ask(RIR, T6A, [avp(263, f"{self.identity};2;{next(ends)}"), avp(277, 1), avp(283, self.destination), group])


def is_asleep(until=None):
    """An answer to a downlink: DIAMETER_ERROR_USER_TEMPORARILY_UNREACHABLE, with a Requested-Retransmission-Time if given."""
    more = [avp(3331, until, V3GPP, m=False)] if until is not None else []
    return [avp(297, [avp(266, V3GPP), avp(298, 5653)]), *more]


def raw_uplink(identity, imsi, data, hop, end, is_again=False):
    """An ODR made by hand, for load: python-diameter takes a millisecond for one."""
    def item(code, value, vendor=False):
        head = struct.pack(">IBBH", code, 0xC0 if vendor else 0x40, 0, (12 if vendor else 8) + len(value))
        return head + (struct.pack(">I", V3GPP) if vendor else b"") + value + bytes(-len(value) % 4)
    name = identity.encode()
    body = item(263, name + b";9;%d" % end) + item(264, name) + item(296, b"epc.test") + item(283, b"dromio.test")
    body += item(277, b"\0\0\0\1") + item(3102, item(1, imsi.encode()), True) + item(1020, b"\x05", True) + item(4315, data, True)
    flags = 0x80 | PROXIABLE | (RETRANSMITTED if is_again else 0)
    return struct.pack(">IIIII", 1 << 24 | (20 + len(body)), flags << 24 | ODR, T6A, hop, end) + body


class Load:
    """Many uplinks at once, made and read by hand; python-diameter opens the connection."""

    def __init__(self, host, identity):
        self.host, self.identity = host, identity
        self.results = {}    # by End-to-End id: the first answer
        self.waiting = {}    # by hop-by-hop: End-to-End
        self.rest = b""
        self.hop = 0
        self.socket = None
        self.connect()

    def connect(self):
        self.close()
        self.waiting, self.rest = {}, b""
        made = Mme.__new__(Mme)
        made.identity, made.realm = self.identity, "epc.test"
        self.socket = socket.create_connection(("127.0.0.1", self.host.diameter_port), timeout=LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(encode(CER, 0, made.origin() + [avp(257, "127.0.0.1"), avp(266, 0), avp(269, "flow", m=False), avp(265, V3GPP),
                                                            avp(260, [avp(266, V3GPP), avp(258, T6A)])], 1, next(ends) & 0xFFFFFFFF))
        self.hop = 1
        while not self.rest[4:8] or len(self.rest) < int.from_bytes(self.rest[1:4], "big"):
            part = self.socket.recv(65536)
            if not part:
                raise ConnectionError("the host ended the connection")
            self.rest += part
        length = int.from_bytes(self.rest[1:4], "big")
        if result_of(plain(self.rest[:length])) != 2001:
            raise ConnectionError("the host does not want this peer")
        self.rest = self.rest[length:]

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, imsi, data, end, is_again=False):
        self.hop += 1
        self.waiting[self.hop] = end
        self.socket.sendall(raw_uplink(self.identity, imsi, data, self.hop, end, is_again))

    def receive(self):
        """Waits for bytes and takes the answers in them. An OSError or EOFError when the connection has ended."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise EOFError
        self.rest += part
        at = 0
        while len(self.rest) - at >= 20 and len(self.rest) - at >= (length := int.from_bytes(self.rest[at + 1:at + 4], "big")):
            self._take(self.rest[at:at + length])
            at += length
        self.rest = self.rest[at:]

    def _take(self, data):
        flags, code = data[4], int.from_bytes(data[5:8], "big")
        hop = int.from_bytes(data[8 + 4:8 + 8], "big")
        if flags & 0x80:
            if code == DWR:
                message = plain(data)
                self.socket.sendall(encode(DWR, 0, [avp(268, 2001), avp(264, self.identity.encode()), avp(296, b"epc.test")], hop,
                                           message.header.end_to_end_identifier, is_request=False))
            return
        end = self.waiting.pop(hop, None)
        if end is not None:
            at = data.find(b"\0\0\1\x0c\x40\0\0\x0c")  # Result-Code
            result = int.from_bytes(data[at + 8:at + 12], "big") if at >= 0 else result_of(plain(data))
            self.results.setdefault(end, result)

    def drain(self, below=1):
        """Until fewer than `below` answers are missing."""
        while len(self.waiting) >= below:
            self.receive()
