"""Fixtures of the flow tests: the real host, thermometers and their MME."""
import itertools
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
from host import Host  # noqa: E402
from mme import Mme  # noqa: E402
from sink import Sink  # noqa: E402

numbers = itertools.count(1001)


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; ./check --all runs it")


def pytest_collection_modifyitems(items):
    """What all others said on T8 is checked in the end."""
    items.sort(key=lambda item: item.path.name == "test_t8_spec.py")


@pytest.fixture(scope="module")
def real(request):
    """A host for the tests of one file, with the SETTINGS of that; at its end no IMSI is in its log and no process is left."""
    with Host(*getattr(request.module, "SETTINGS", ())) as host:
        yield host
        assert host.imsi_in_log() is None, "an IMSI was logged"


@pytest.fixture
def mme(real):
    with Mme(real) as peer:
        yield peer


class Thermometer:
    """A twin with a device behind it."""

    def __init__(self, host, mme, name, imsi, **members):
        self.host, self.mme, self.id, self.imsi = host, mme, name, imsi
        host.admin.put_twin(name, imsi=imsi, **members)
        if mme is not None:
            mme.attach(imsi)

    def __getitem__(self, name):
        return self.host.admin.value(self.id, name)

    def property(self, name):
        return self.host.admin.property(self.id, name)

    def uplink(self, frame, **more):
        return self.mme.uplink(self.imsi, frame, **more)

    def write(self, name, value, query=""):
        answer = self.host.admin.write(self.id, name, value, query)
        assert answer.status in (200, 202), answer
        return answer.json()

    def ticket_is(self, ticket, state):
        return self.host.admin.ticket_is(self.id, ticket["ticket"] if isinstance(ticket, dict) else ticket, state)


@pytest.fixture
def names():
    """New (id, imsi) pairs, never given twice."""
    return ((f"t{n}@acme.example", f"00101{n:010d}") for n in numbers)


@pytest.fixture
def thermometer(real, mme, names):
    """Makes attached thermometers."""
    def make(**members):
        name, imsi = next(names)
        return Thermometer(real, members.pop("at", mme), name, imsi, **members)
    return make


@pytest.fixture(scope="module")
def sink():
    with Sink() as sink:
        yield sink
