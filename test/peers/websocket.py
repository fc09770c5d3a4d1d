"""A websocket client for tests (RFC 6455): frames as bytes, so that a test can send bad ones."""
import base64
import hashlib
import os
import socket
import struct

from host import LIMIT_S

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(opcode, payload=b"", first=None, mask=b"\x11\x22\x33\x44"):
    """A masked frame; `first` in place of its first byte."""
    head = bytes([0x80 | opcode if first is None else first])
    length = len(payload)
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 65536:
        head += bytes([0x80 | 126]) + struct.pack("!H", length)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", length)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


class Websocket:
    """Connects; `status` is the answer's. Pings are answered while frames are read, unless told otherwise."""

    def __init__(self, port, path, token, protocol=None, context=None, early=b"", **fields):
        key = base64.b64encode(os.urandom(16))
        head = {"Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Key": key.decode(),
                "Sec-WebSocket-Version": "13", "Authorization": f"Bearer {token}"}
        if protocol is not None:
            head["Sec-WebSocket-Protocol"] = protocol
        head.update({name.replace("_", "-"): value for name, value in fields.items()})
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value is not None)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode() + early)
        self.bytes = b""
        self.answers_pings = True
        self.head = self._until(b"\r\n\r\n").decode()
        self.status = int(self.head.split()[1])
        if self.status == 101:
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
            assert f"Sec-WebSocket-Accept: {accept}\r\n" in self.head, self.head

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _until(self, end):
        while end not in self.bytes:
            part = self.socket.recv(65536)
            assert part, self.bytes
            self.bytes += part
        found, self.bytes = self.bytes.split(end, 1)
        return found + end

    def _exactly(self, count):
        while len(self.bytes) < count:
            part = self.socket.recv(65536)
            if not part:
                raise EOFError
            self.bytes += part
        found, self.bytes = self.bytes[:count], self.bytes[count:]
        return found

    def send(self, data):
        self.socket.sendall(data)

    def frame(self):
        """The next frame: (opcode, payload)."""
        first, second = self._exactly(2)
        assert first & 0x70 == 0 and first & 0x80 and not second & 0x80, "whole, unmasked, no extension"
        length = second
        if second == 126:
            (length,) = struct.unpack("!H", self._exactly(2))
        elif second == 127:
            (length,) = struct.unpack("!Q", self._exactly(8))
        return first & 15, self._exactly(length)

    def text(self):
        """The next text message; pings on the way are answered."""
        while True:
            opcode, payload = self.frame()
            if opcode == PING and self.answers_pings:
                self.send(frame(PONG, payload))
            if opcode == TEXT:
                return payload
            assert opcode in (PING, PONG), (opcode, payload)

    def taken(self):
        """A text message and the Ping that names it, which is answered."""
        text = self.text()
        opcode, name = self.frame()
        assert opcode == PING and name
        self.send(frame(PONG, name))
        return text

    def closed(self):
        """The code of the host's Close, then the end."""
        while True:
            opcode, payload = self.frame()
            if opcode == CLOSE:
                break
        code = struct.unpack("!H", payload[:2])[0]
        try:
            while self.socket.recv(4096):
                pass
        except OSError:
            pass
        return code
