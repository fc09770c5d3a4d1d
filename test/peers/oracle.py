"""Readings of devices, driven by a test's own hand: what was acknowledged is there, nothing is counted twice, nothing
appears that was not sent. promised.py knows of all that a host does, and asks by itself."""
import random

from host import thermo_reading, until
from mme import Load, Mme

TWINS = 40


class Device:
    def __init__(self, number):
        self.name, self.imsi = f"k{number}@kill.example", f"00101{number + 500:010d}"
        self.sent = 0           # readings ever sent, each with the next sequence
        self.acknowledged = 0   # of them
        self.under_way = None   # (End-to-End id, frame): one at a time, as a device does


class Oracle:
    def __init__(self, host, seed):
        self.host = host
        self.chance = random.Random(seed)
        self.devices = [Device(number) for number in range(TWINS)]
        self.next_end = 1
        self.again = 0
        self.load = None

    def provision(self):
        answers = self.host.admin.bulk({"id": d.name, "model": "acme/thermo", "imsi": d.imsi} for d in self.devices)
        assert all(answer["status"] == 201 for answer in answers)
        with Mme(self.host, identity="kill.epc.test") as mme:
            for device in self.devices:
                mme.attach(device.imsi)

    def send_next(self, device):
        device.under_way = (self.next_end, thermo_reading(device.sent, device.sent % 300))
        self.next_end += 1
        device.sent += 1
        self.load.send(device.imsi, device.under_way[1], device.under_way[0])

    def send_some(self):
        try:
            for device in self.devices:
                if self.load is not None and device.under_way is None and self.chance.random() < 0.7:
                    self.send_next(device)
        except OSError:  # of the host before: what it had answered was all that was left of the connection
            pass

    def run(self, answers):
        """Until that many more are acknowledged, or the connection ends."""
        wanted = sum(d.acknowledged for d in self.devices) + answers
        try:
            if self.load is None:
                self.load = Load(self.host, "kill.epc.test")
                for device in self.devices:
                    if device.under_way is not None:  # not answered: again, with the T flag and the same End-to-End id
                        self.load.send(device.imsi, device.under_way[1], device.under_way[0], is_again=True)
                        self.again += 1
            while sum(d.acknowledged for d in self.devices) < wanted:
                for device in self.devices:
                    if device.under_way is None:
                        self.send_next(device)
                self.load.receive()
                self.take()
            return True
        except (OSError, EOFError):
            if self.load is not None:
                self.load.close()
            self.load = None
            return False

    def take(self):
        for device in self.devices:
            result = self.load.results.pop(device.under_way[0], None) if device.under_way is not None else None
            if result is None:
                continue
            if result == 3004:  # not kept: the same again
                self.load.send(device.imsi, device.under_way[1], device.under_way[0], is_again=True)
                continue
            assert result == 2001, f"{device.imsi} got {result}"
            device.acknowledged += 1
            device.under_way = None

    def check(self):
        """What the host says of each device against what was answered and sent."""
        for device in self.devices:
            shown = {name: what["value"] for name, what in self.host.admin.twin(device.name)["properties"].items()}
            assert device.acknowledged <= shown["readings"] <= device.sent, (device.name, device.acknowledged, shown, device.sent)
            assert (shown["lost"], shown["duplicates"], shown["late"], shown["rejected"]) == (0, 0, 0, 0), (device.name, shown)
            if shown["readings"] > 0:
                assert shown["temperature"] == (shown["readings"] - 1) % 300, (device.name, shown)

    def finish(self):
        """All that is under way is answered: then all that was sent is there exactly once."""
        def is_done():
            if self.load is None and not self.run(0):
                return False
            try:
                while any(d.under_way for d in self.devices):
                    self.load.receive()
                    self.take()
                return True
            except (OSError, EOFError):
                self.load = None
                return False
        until(is_done, "the last answers")
        self.load.close()
        self.load = None
        for device in self.devices:
            assert device.acknowledged == device.sent
        self.check()
