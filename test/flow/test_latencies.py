"""The histograms of /metrics: each thing that is measured counts once, in all cores, and a percentile lies where the times are."""
import re

import pytest
from host import Host, thermo_reading
from mme import Mme

BOUNDS = [half * 2 ** power / 1e6 for power in range(24) for half in (1, 1.5)]
NAMES = ("dromio_uplink_seconds", "dromio_http_request_seconds", "dromio_round_seconds", "dromio_turn_cpu_seconds")


@pytest.fixture(scope="module", params=["host.cores=1", "host.cores=3"])
def host(request):
    with Host(request.param) as host:
        yield host


def histogram(text, name):
    """(bounds, counts up to each, sum); checked for its form."""
    buckets = re.findall(rf'^{name}_bucket{{le="([^"]+)"}} (\d+)$', text, re.M)
    count, total = (float(re.search(rf"^{name}_{part} (\S+)$", text, re.M)[1]) for part in ("count", "sum"))
    counts = [int(number) for _, number in buckets]
    assert [float(bound) for bound, _ in buckets[:-1]] == pytest.approx(BOUNDS) and buckets[-1][0] == "+Inf"
    assert counts == sorted(counts) and counts[-1] == count
    low = sum((upto - below) * bound for upto, below, bound in zip(counts[1:], counts, BOUNDS))
    assert low <= total + 1e-6, "the sum is less than its buckets say"
    return counts, total


def test_each_uplink_turn_and_request_is_measured_once(host):
    twins = 12
    with Mme(host) as mme:
        for number in range(twins):
            host.admin.put_twin(f"l{number}@acme{number}.example", imsi=f"00101{number + 50:010d}")
            mme.attach(f"00101{number + 50:010d}")
        before = host.metrics()
        for reading in range(3):
            for number in range(twins):
                mme.uplink(f"00101{number + 50:010d}", thermo_reading(reading, 20 + reading))
        mme.odr("001010000099999", thermo_reading(0, 20))  # nobody's: refused, so not measured
        after = host.metrics()

    def more(name):
        (old, old_sum), (new, new_sum) = histogram(before, name), histogram(after, name)
        return new[-1] - old[-1], new_sum - old_sum

    count, seconds = more("dromio_uplink_seconds")
    assert count == 3 * twins and seconds > 0
    count, seconds = more("dromio_turn_cpu_seconds")
    turns = [int(re.search(r"^dromio_turns_total (\d+)$", text, re.M)[1]) for text in (before, after)]
    assert count == turns[1] - turns[0] >= 3 * twins and seconds > 0
    count, seconds = more("dromio_round_seconds")
    assert 0 < count and seconds > 0
    assert more("dromio_uplink_seconds")[1] >= more("dromio_round_seconds")[1] / count, "an uplink waits for a round"


def test_a_request_counts_once_and_one_that_waits_does_not(host):
    host.admin.put_twin("wait@acme.example")
    before, _ = histogram(host.metrics(), "dromio_http_request_seconds")
    for _ in range(5):
        assert host.admin.get("/v1/twins/wait@acme.example").status == 200
    assert host.admin.get("/no/such/route").status == 404
    assert host.admin.write("wait@acme.example", "period", 600, "?wait=delivered&timeout=100ms") is not None
    after, _ = histogram(host.metrics(), "dromio_http_request_seconds")
    assert after[-1] - before[-1] == 5 + 1 + 1  # the first look at /metrics too


def test_each_has_the_same_bounds(host):
    for name in NAMES:
        assert len(histogram(host.metrics(), name)[0]) == len(BOUNDS) + 1
