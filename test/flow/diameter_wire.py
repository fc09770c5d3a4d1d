"""A relay that records both directions, and tshark's view of what went through."""
import shutil
import socket
import struct
import subprocess
import threading

PORT = 3868


def tshark():
    return shutil.which("tshark")


class Recorder:
    """Listens on self.port and passes everything on to `port`."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.flows = []  # of (from_host, bytes) in order, one list for each connection
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            flow = []
            self.flows.append(flow)
            threading.Thread(target=self._copy, args=(near, far, False, flow), daemon=True).start()
            threading.Thread(target=self._copy, args=(far, near, True, flow), daemon=True).start()

    @staticmethod
    def _copy(source, sink, from_host, flow):
        try:
            while data := source.recv(65536):
                flow.append((from_host, data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def stop(self):
        self.listener.close()

    def write_pcap(self, path):
        """Ethernet, IPv4 and TCP around what was seen; checksums are left out (0)."""
        with open(path, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            for number, flow in enumerate(self.flows):
                sequences = {False: 1, True: 1}
                for from_host, data in flow:
                    for at in range(0, len(data), 1400):
                        self._write_segment(file, number, from_host, data[at:at + 1400], sequences)

    @staticmethod
    def _write_segment(file, number, from_host, data, sequences):
        ports = (PORT, 40000 + number) if from_host else (40000 + number, PORT)
        tcp = struct.pack(">HHIIBBHHH", *ports, sequences[from_host], sequences[not from_host], 0x50, 0x18, 65535, 0, 0) + data
        addresses = (b"\x0a\0\0\1", b"\x0a\0\0\2")
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + b"".join(addresses if from_host else addresses[::-1])
        frame = bytes(12) + b"\x08\0" + ip + tcp
        file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
        sequences[from_host] += len(data)


def dissect(path, *fields, only="diameter"):
    """Rows of field values, one for each frame that `only` selects."""
    arguments = [argument for field in fields for argument in ("-e", field)]
    done = subprocess.run(["tshark", "-r", str(path), "-d", f"tcp.port=={PORT},diameter", "-Y", only, "-T", "fields", *arguments],
                          capture_output=True, text=True, check=True, timeout=120)
    return [line.split("\t") for line in done.stdout.splitlines()]
