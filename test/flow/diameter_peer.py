"""Peers for the tests: an MME on python-diameter, and a raw one that sends any bytes.

python-diameter's own encoder and decoder are used for both, so that no code of
ours judges what we send.
"""
import datetime
import queue
import socket
import struct
import time

from diameter.message import Avp, Message, MessageHeader
from diameter.message.commands import CapabilitiesExchange, ConnectionManagement, DeviceWatchdog, DisconnectPeer, MOData, ReportingInformation
from diameter.message.packer import Unpacker
from diameter.node import Node
from diameter.node.application import SimpleThreadingApplication

V3GPP = 10415
T6A = 16777346
S6T = 16777345
IMSI = "001010000000001"
LIMIT_S = 20
SERVED_S = 5  # a good peer is served at once; this is only the end of the test's patience


def avp(code, value, vendor=0, m=True):
    return Avp.new(code, vendor, value=value, is_mandatory=m)


def raw_avp(code, data, flags=0x40, vendor=None, length=None):
    """An AVP with any length and flags."""
    head = 8 if vendor is None else 12
    said = head + len(data) if length is None else length
    body = struct.pack(">IB", code, flags | (0x80 if vendor is not None else 0)) + said.to_bytes(3, "big")
    body += b"" if vendor is None else struct.pack(">I", vendor)
    return body + data + bytes(-len(data) % 4)


def user(imsi=IMSI):
    return avp(3102, [avp(1, imsi)], V3GPP)


def origin(host="mme1.example.org", realm="example.org"):
    return [avp(264, host.encode()), avp(296, realm.encode())]


def capabilities(host="mme1.example.org", application=T6A):
    return origin(host) + [avp(257, "127.0.0.1"), avp(266, 0), avp(269, "test", m=False), avp(265, V3GPP),
                           avp(260, [avp(266, V3GPP), avp(258, application)])]


def request(kind, application, avps, proxiable=True, hop=1, end=None, extra=b""):
    """Bytes of a request; `extra` are bytes behind the AVPs."""
    message = Message()
    message.header.command_code = kind.code
    message.header.application_id = application
    message.header.hop_by_hop_identifier = hop
    message.header.end_to_end_identifier = int(time.time() * 1000) & 0xFFFFFFFF if end is None else end
    message.header.is_request, message.header.is_proxyable = True, proxiable
    for item in avps:
        message.append_avp(item)
    return with_length(message.as_bytes() + extra)


def with_length(data, length=None):
    return data[:1] + (len(data) if length is None else length).to_bytes(3, "big") + data[4:]


def cer(host="mme1.example.org", application=T6A, extra=b"", avps=None):
    return request(CapabilitiesExchange, 0, capabilities(host, application) if avps is None else avps, proxiable=False, extra=extra)


def t6a_avps(imsi=IMSI, host="mme1.example.org", realm=b"dromio.test", session="mme1.example.org;1;1"):
    return [avp(263, session), user(imsi), avp(1020, b"\x05", V3GPP), avp(277, 1)] + origin(host) + [avp(283, realm)]


def odr(data=b"hello", imsi=IMSI, host="mme1.example.org", extra=b"", **header):
    return request(MOData, T6A, t6a_avps(imsi, host) + [avp(4315, data, V3GPP)], extra=extra, **header)


def dwr(host="mme1.example.org"):
    return request(DeviceWatchdog, 0, origin(host), proxiable=False)


def dpr(host="mme1.example.org"):
    return request(DisconnectPeer, 0, origin(host) + [avp(273, 0)], proxiable=False)


def dpa(goodbye):
    """The answer to a Disconnect-Peer-Request."""
    answer = Message()
    answer.header.command_code = 282
    answer.header.hop_by_hop_identifier = goodbye.header.hop_by_hop_identifier
    answer.header.end_to_end_identifier = goodbye.header.end_to_end_identifier
    for item in [avp(268, 2001), *origin()]:
        answer.append_avp(item)
    return answer.as_bytes()


def plain(data):
    """A message with its AVPs, none of their values looked at."""
    header = MessageHeader.from_bytes(data)
    unpacker = Unpacker(data)
    unpacker.set_position(header.length_header)
    avps = []
    while not unpacker.is_done():
        avps.append(Avp.from_unpacker(unpacker))
    return Message(header, avps)


class RawPeer:
    """A TCP connection that sends bytes and reads messages."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _read(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.socket.recv(count - len(data))
            except ConnectionResetError:
                part = b""
            if not part:
                return None
            data += part
        return data

    def receive(self):
        """The next message, or None when the connection has ended."""
        head = self._read(4)
        if head is None:
            return None
        rest = self._read(int.from_bytes(head[1:], "big") - 4)
        return None if rest is None else plain(head + rest)

    def is_closed(self):
        while (message := self.receive()) is not None:
            del message
        return True

    def open(self, host="mme1.example.org"):
        self.send(cer(host))
        answer = self.receive()
        assert answer is not None and result_of(answer) == 2001
        return self


def find(message, *codes):
    """Value of the first AVP down that path of codes."""
    avps = message.avps
    for code in codes:
        found = next((item for item in avps if item.code == code), None)
        if found is None:
            return None
        avps = found.value if isinstance(found.value, list) else []
    return found.value


def result_of(message):
    result = find(message, 268)
    return result if result is not None else find(message, 297, 298)


def expect_service(port, host="mme9.example.org"):
    """Another, good peer is served at once."""
    with RawPeer(port) as peer:
        peer.socket.settimeout(SERVED_S)
        peer.open(host)
        peer.send(odr(host=host))
        answer = peer.receive()
        assert answer is not None and result_of(answer) == 2001
        peer.send(dpr(host))
        assert result_of(peer.receive()) == 2001


class Mme:
    """An MME on python-diameter. It answers MT-Data-Requests with self.answer(request)."""

    def __init__(self, host="mme1.example.org", realm="example.org", port=None, listen_port=None):
        self.host, self.realm = host, realm
        self.is_stopped = False
        self.downlinks = queue.Queue()
        self.answer_result = [avp(268, 2001)]
        self.answer_more = []
        self.node = Node(host, realm, ip_addresses=["127.0.0.1"] if listen_port else None, tcp_port=listen_port, vendor_ids=[V3GPP])
        self.application = SimpleThreadingApplication(T6A, is_auth_application=True, request_handler=self._on_request)
        uri = f"aaa://scef.dromio.test:{port or 3868};transport=tcp"
        self.peer = self.node.add_peer(uri, "dromio.test", ip_addresses=["127.0.0.1"], is_persistent=listen_port is None)
        self.node.add_application(self.application, [self.peer], ["dromio.test", realm])
        self.node.wakeup_interval = 0.2  # it looks so often whether it may end
        self.node.start()

    def wait(self):
        self.application.wait_for_ready(LIMIT_S)
        return self

    def stop(self):
        if not self.is_stopped:
            self.is_stopped = True
            self.node.stop()

    def _on_request(self, _application, message):
        self.downlinks.put(message)
        answer = message.to_answer()
        session = next(item for item in message.avps if item.code == 263)
        for item in [session, *self.answer_result, avp(277, 1), *origin(self.host, self.realm), *self.answer_more]:
            answer.append_avp(item)
        return answer

    def _send(self, message, avps):
        message.header.application_id = T6A
        message.header.is_request = message.header.is_proxyable = True
        head = [avp(263, self.node.session_generator.next_id()), user(), avp(1020, b"\x05", V3GPP), avp(277, 1)]
        for item in head + origin(self.host, self.realm) + [avp(283, b"dromio.test")] + avps:
            message.append_avp(item)
        return self.application.send_request(message, timeout=LIMIT_S)

    def uplink(self, data):
        return self._send(MOData(), [avp(4315, data, V3GPP)])

    def connect_device(self, apn="nidd.test", action=0):
        return self._send(ConnectionManagement(), [avp(4314, action, V3GPP), avp(493, apn), avp(1032, 1005, V3GPP)])

    def device_is_reachable(self, until):
        return self._send(ConnectionManagement(), [avp(4314, 2, V3GPP), avp(4317, 1, V3GPP), avp(3329, until, V3GPP)])

    def report(self, reference):
        message = ReportingInformation()
        message.header.application_id = T6A
        message.header.is_request = message.header.is_proxyable = True
        for item in [avp(263, self.node.session_generator.next_id()), avp(277, 1), *origin(self.host, self.realm), avp(283, b"dromio.test"),
                     avp(3123, [avp(3124, reference, V3GPP), avp(3125, b"scef.dromio.test", V3GPP)], V3GPP)]:
            message.append_avp(item)
        return self.application.send_request(message, timeout=LIMIT_S)

    def is_asleep_until(self, when):
        """From now on downlinks are answered DIAMETER_ERROR_USER_TEMPORARILY_UNREACHABLE."""
        self.answer_result = [avp(297, [avp(266, V3GPP), avp(298, 5653)])]
        self.answer_more = [avp(3331, when, V3GPP, m=False)]


def utc(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
