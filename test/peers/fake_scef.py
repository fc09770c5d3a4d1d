"""A small SCEF for tests of the simulated network: T6a over TCP, one thread a connection.

Messages are read and written by python-diameter, so that nothing here comes from
Dromio's own codec. A test looks at `scef.requests` and decides answers with the
attribute `policy`.
"""
import collections
import datetime
import socket
import struct
import threading
import time

from diameter.message import Avp, Message, MessageHeader
from diameter.message.constants import (
    AVP_AUTH_SESSION_STATE, AVP_EXPERIMENTAL_RESULT, AVP_EXPERIMENTAL_RESULT_CODE, AVP_HOST_IP_ADDRESS,
    AVP_ORIGIN_HOST, AVP_ORIGIN_REALM, AVP_PRODUCT_NAME, AVP_RESULT_CODE, AVP_SESSION_ID,
    AVP_SUPPORTED_VENDOR_ID, AVP_VENDOR_ID, AVP_DESTINATION_HOST, AVP_DESTINATION_REALM, AVP_USER_NAME,
    AVP_VENDOR_SPECIFIC_APPLICATION_ID, AVP_AUTH_APPLICATION_ID, AVP_SERVICE_SELECTION, AVP_DISCONNECT_CAUSE,
    AVP_ORIGIN_STATE_ID, AVP_TGPP_BEARER_IDENTIFIER, AVP_TGPP_CMR_FLAGS, AVP_TGPP_CONNECTION_ACTION,
    AVP_TGPP_MAXIMUM_RETRANSMISSION_TIME, AVP_TGPP_NON_IP_DATA, AVP_TGPP_RAT_TYPE,
    AVP_TGPP_REQUESTED_RETRANSMISSION_TIME, AVP_TGPP_SCEF_WAIT_TIME, AVP_TGPP_TDA_FLAGS,
    AVP_TGPP_USER_IDENTIFIER, VENDOR_TGPP)

CER, DWR, DPR, CMR, ODR, TDR = 257, 280, 282, 8388732, 8388733, 8388734
T6A = 16777346
ESTABLISH, RELEASE, UPDATE = 0, 1, 2

# What a test wants to know of a message, by name.
FIELDS = {
    "session": [(AVP_SESSION_ID, 0)],
    "origin_host": [(AVP_ORIGIN_HOST, 0)],
    "origin_realm": [(AVP_ORIGIN_REALM, 0)],
    "destination_host": [(AVP_DESTINATION_HOST, 0)],
    "destination_realm": [(AVP_DESTINATION_REALM, 0)],
    "imsi": [(AVP_TGPP_USER_IDENTIFIER, VENDOR_TGPP), (AVP_USER_NAME, 0)],
    "bearer": [(AVP_TGPP_BEARER_IDENTIFIER, VENDOR_TGPP)],
    "action": [(AVP_TGPP_CONNECTION_ACTION, VENDOR_TGPP)],
    "cmr_flags": [(AVP_TGPP_CMR_FLAGS, VENDOR_TGPP)],
    "apn": [(AVP_SERVICE_SELECTION, 0)],
    "rat_type": [(AVP_TGPP_RAT_TYPE, VENDOR_TGPP)],
    "data": [(AVP_TGPP_NON_IP_DATA, VENDOR_TGPP)],
    "result": [(AVP_RESULT_CODE, 0)],
    "experimental": [(AVP_EXPERIMENTAL_RESULT, 0), (AVP_EXPERIMENTAL_RESULT_CODE, 0)],
    "retransmission_time": [(AVP_TGPP_REQUESTED_RETRANSMISSION_TIME, VENDOR_TGPP)],
    "tda_flags": [(AVP_TGPP_TDA_FLAGS, VENDOR_TGPP)],
    "disconnect_cause": [(AVP_DISCONNECT_CAUSE, 0)],
    "auth_session_state": [(AVP_AUTH_SESSION_STATE, 0)],
    "application": [(AVP_VENDOR_SPECIFIC_APPLICATION_ID, 0), (AVP_AUTH_APPLICATION_ID, 0)],
    "origin_state": [(AVP_ORIGIN_STATE_ID, 0)],
}


class Seen:
    """One message that came in, and when."""

    def __init__(self, message, connection):
        self.time = time.time()
        self.connection = connection
        self.command = message.header.command_code
        self.is_request = message.header.is_request
        self.is_retransmit = message.header.is_retransmit
        self.hop_by_hop = message.header.hop_by_hop_identifier
        self.end_to_end = message.header.end_to_end_identifier
        self.message = message
        for name, path in FIELDS.items():
            found = message.find_avps(*path)
            value = found[0].value if found else None
            setattr(self, name, _text(value) if name in ("origin_host", "origin_realm", "destination_host",
                                                         "destination_realm") else value)


class Silence(Exception):
    """Raised by a policy: no answer."""


class HangUp(Exception):
    """Raised by a policy: the connection ends at once, without an answer."""


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.host = None
        self.lock = threading.Lock()

    def send(self, message):
        with self.lock:
            self.sock.sendall(message.as_bytes())


class FakeScef:
    identity, realm = "scef.dromio.test", "dromio.test"

    def __init__(self, port=0, capabilities_result=2001):
        self.requests, self.answers = [], []
        self.connections = []
        self.policy = lambda seen: 2001  # Result-Code, or ("experimental", code)
        self.capabilities_result = capabilities_result
        self.changed = threading.Condition()
        self.hop_by_hop = 1
        self.serving = {}  # IMSI -> connection that established it last
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    address = property(lambda self: f"127.0.0.1:{self.port}")

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.hang_up()

    def hang_up(self):
        for connection in list(self.connections):
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def wait(self, condition, limit=30):
        """Until condition() is true; its value."""
        end = time.monotonic() + limit
        with self.changed:
            while not (value := condition()):
                left = end - time.monotonic()
                assert left > 0, f"not within {limit} s; {self.summary()}"
                self.changed.wait(left)
            return value

    def summary(self):
        return dict(collections.Counter((s.command, s.is_retransmit) for s in self.requests))

    def of(self, command, **fields):
        """Requests of this command whose fields have these values."""
        return [s for s in list(self.requests)
                if s.command == command and all(getattr(s, name) == value for name, value in fields.items())]

    # ---- downlinks ----

    def downlink(self, imsi, data, bearer=b"\x05", wait_s=None, retransmit_s=None, connection=None):
        """Sends a TDR; the number its answer will carry (hop-by-hop)."""
        connection = connection or self.serving[imsi]
        self.hop_by_hop += 1
        header = MessageHeader(command_code=TDR, application_id=T6A, hop_by_hop_identifier=self.hop_by_hop,
                               end_to_end_identifier=self.hop_by_hop + 5000)
        header.is_request = header.is_proxyable = True
        avps = [Avp.new(AVP_SESSION_ID, value=f"{self.identity};1;{self.hop_by_hop}"),
                Avp.new(AVP_TGPP_USER_IDENTIFIER, VENDOR_TGPP, value=[Avp.new(AVP_USER_NAME, value=imsi)]),
                Avp.new(AVP_TGPP_BEARER_IDENTIFIER, VENDOR_TGPP, value=bearer),
                Avp.new(AVP_AUTH_SESSION_STATE, value=1)] + self._origin()
        avps += [Avp.new(AVP_DESTINATION_HOST, value=connection.host.encode()),
                 Avp.new(AVP_DESTINATION_REALM, value=b"epc.dromio.test"),
                 Avp.new(AVP_TGPP_NON_IP_DATA, VENDOR_TGPP, value=data)]
        for seconds, code in ((wait_s, AVP_TGPP_SCEF_WAIT_TIME), (retransmit_s, AVP_TGPP_MAXIMUM_RETRANSMISSION_TIME)):
            if seconds is not None:
                avps.append(Avp.new(code, VENDOR_TGPP, value=datetime.datetime.fromtimestamp(time.time() + seconds)))
        connection.send(Message(header, avps))
        return self.hop_by_hop

    def request(self, connection, command, application=0):
        """Sends a bare request of the base protocol, or one nobody knows."""
        self.hop_by_hop += 1
        header = MessageHeader(command_code=command, application_id=application, hop_by_hop_identifier=self.hop_by_hop,
                               end_to_end_identifier=self.hop_by_hop + 5000)
        header.is_request = True
        avps = self._origin() + ([Avp.new(AVP_DISCONNECT_CAUSE, value=0)] if command == DPR else [])
        connection.send(Message(header, avps))
        return self.hop_by_hop

    def answer_to(self, number, limit=30):
        return self.wait(lambda: next((s for s in list(self.answers) if s.hop_by_hop == number), None), limit)

    # ---- inside ----

    def _origin(self):
        return [Avp.new(AVP_ORIGIN_HOST, value=self.identity.encode()), Avp.new(AVP_ORIGIN_REALM, value=self.realm.encode())]

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            connection = Connection(sock)
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        buffer = b""
        try:
            while chunk := connection.sock.recv(65536):
                buffer += chunk
                while len(buffer) >= 20:
                    length = struct.unpack(">I", buffer[:4])[0] & 0xffffff
                    if len(buffer) < length:
                        break
                    self._on_message(connection, Message.from_bytes(buffer[:length], plain_msg=True))
                    buffer = buffer[length:]
        except (OSError, HangUp):
            pass
        connection.sock.close()
        if connection in self.connections:
            self.connections.remove(connection)
        with self.changed:
            self.changed.notify_all()

    def _on_message(self, connection, message):
        seen = Seen(message, connection)
        if connection.host is None and seen.command == CER:
            connection.host = seen.origin_host
        result = None
        if seen.is_request:
            try:
                result = self._result(seen, connection)
            except Silence:
                pass
            except HangUp:
                self._note(seen)
                raise
        # Noted after the decision, before the answer is out.
        self._note(seen)
        if result is not None:
            connection.send(self._answer(message, seen, result))
        if seen.is_request and seen.command == DPR:
            raise HangUp

    def _note(self, seen):
        with self.changed:
            (self.requests if seen.is_request else self.answers).append(seen)
            self.changed.notify_all()

    def _result(self, seen, connection):
        if seen.command == CER:
            return self.capabilities_result
        if seen.command in (DWR, DPR):
            return 2001
        result = self.policy(seen)
        if seen.command == CMR and seen.action == ESTABLISH and result == 2001:
            self.serving[seen.imsi] = connection
        return result

    def _answer(self, message, seen, result):
        answer = Message(message.to_answer().header)
        avps = [Avp.new(AVP_SESSION_ID, value=seen.session)] if seen.session else []
        if isinstance(result, tuple):
            avps.append(Avp.new(AVP_EXPERIMENTAL_RESULT, value=[
                Avp.new(AVP_VENDOR_ID, value=VENDOR_TGPP), Avp.new(AVP_EXPERIMENTAL_RESULT_CODE, value=result[1])]))
        else:
            avps.append(Avp.new(AVP_RESULT_CODE, value=result))
            answer.header.is_error = 3000 <= result < 4000
        avps += self._origin()
        if seen.command == CER:
            avps += [Avp.new(AVP_HOST_IP_ADDRESS, value="127.0.0.1"), Avp.new(AVP_VENDOR_ID, value=0),
                     Avp.new(AVP_PRODUCT_NAME, value="fake-scef"), Avp.new(AVP_SUPPORTED_VENDOR_ID, value=VENDOR_TGPP),
                     Avp.new(AVP_VENDOR_SPECIFIC_APPLICATION_ID, value=[
                         Avp.new(AVP_VENDOR_ID, value=VENDOR_TGPP), Avp.new(AVP_AUTH_APPLICATION_ID, value=T6A)])]
        answer.avps = avps
        return answer


def _text(value):
    return value.decode() if isinstance(value, bytes) else value
