"""What the network has of devices that are removed while it does not answer: it is told the end of that once it does, whatever happened
to the host in between."""
import itertools
import json

import pytest
from host import LIMIT_S, Host, until
from mme import Mme
from monte import MonteHss
from parameter_hss import ParameterHss
from t8 import CALLBACKS
from test_monitoring import HSS_IS_KNOWN, Subscription
from test_parameters import CP, NP, pattern
from test_schedule import CALM, Sleeper
from test_trigger import RECALL, SENDER_SET, Triggered
from trigger import Centre, MtcIwf, SubscriberHss

SMALL_LOG = ("log.segment=1MiB", "log.replay=1MiB", "log.timeline=0")
SETTINGS = (CALLBACKS, HSS_IS_KNOWN, *SMALL_LOG)
OF_TRIGGERS = (CALLBACKS, SENDER_SET, *SMALL_LOG)
names = itertools.count(1)


def waiting(host):
    return host.metric("dromio_farewells_waiting")


def all_told(host):
    until(lambda: waiting(host) == 0, "the end of all that the network was to be told")


def removed(host, name, left=1):
    assert host.admin.delete(f"/v1/twins/{name}").status == 204
    until(lambda: waiting(host) == left, "what the network is to be told")


def killed(host):
    host.kill()
    host.start()


def write_segments(host):
    """Until the log has nothing any more of what it had."""
    before = list(host.data.rglob("segment-*"))
    twins = "\n".join(json.dumps({"id": f"t{n}@acme.example", "model": "acme/thermo", "tags": {"t": "x" * 200}}) for n in range(400)).encode()

    def written():
        host.admin.post("/v1/twins:bulk", twins)
        return not any(path.exists() for path in before)
    until(written, "the end of the first segments")


def silent(hss):
    hss.on_watched = hss.on_cir = hss.on_asked = lambda asked: None


def test_a_silent_hss_is_told_after_kills_and_when_the_record_is_gone_from_the_log(sink):
    with Host(*SETTINGS) as host:
        client = host.application("as1", ["acme.example"], ["monitoring", "read"])
        with MonteHss(host) as hss:
            made = Subscription(host, client, sink).made(hss)
            silent(hss)
            removed(host, made.id)
            assert hss.watched.get(timeout=LIMIT_S).gone == [made.reference]
            assert client.get(made.at).status == 404 and host.admin.get(f"/v1/twins/{made.id}").status == 404
            killed(host)
        assert waiting(host) == 1
        write_segments(host)
        killed(host)
        assert waiting(host) == 1
        host.admin.put_twin(made.id)  # another one of that name has nothing to do with it
        with MonteHss(host) as hss:
            told = hss.watched.get(timeout=LIMIT_S)
            assert (told.gone, told.references, told.external_identifier) == ([made.reference], [], made.id)
            all_told(host)
            assert hss.watched.empty()
        killed(host)
        assert waiting(host) == 0
        write_segments(host)
        killed(host)
        assert waiting(host) == 0


def test_what_the_network_does_not_know_is_over_too(sink):
    with Host(*SETTINGS) as host:
        client = host.application("as1", ["acme.example"], ["monitoring"])
        with MonteHss(host) as hss:
            made = Subscription(host, client, sink).made(hss)
        until(lambda: host.admin.get("/v1/peers").json()["peers"][0]["state"] == "closed", "the end of the HSS's connection")
        removed(host, made.id)
        with ParameterHss(host) as hss:  # one that knows nobody
            hss.users = {"nobody@acme.example"}
            all_told(host)
        assert host.metric("dromio_farewells_total") == 1


def test_an_application_that_is_removed_ends_what_it_had_after_a_kill(sink):
    with Host(*SETTINGS) as host:
        client = host.application("as1", ["acme.example"], ["monitoring"])
        with MonteHss(host) as hss:
            made = Subscription(host, client, sink).made(hss)
            silent(hss)
            assert host.admin.delete("/v1/applications/as1").status == 204
            host.kill()
        host.start()
        with MonteHss(host) as hss:
            assert hss.watched.get(timeout=LIMIT_S).gone == [made.reference]


def test_all_of_many_devices_is_ended(sink):
    with Host(*SETTINGS) as host:
        client = host.application("as1", ["acme.example"], ["parameters"])
        with ParameterHss(host) as hss:
            devices = [f"f{next(names)}@acme.example" for _ in range(200)]  # more than are asked at a time
            for device in devices:
                host.admin.put_twin(device)
                assert client.post(NP, {"externalId": device, "maximumLatency": 7200}).status == 201
            had = dict(hss.networks)
            silent(hss)
            for number, device in enumerate(devices, 1):
                removed(host, device, number)
            host.kill()
        host.start()
        assert waiting(host) == len(had) == 200
        with ParameterHss(host) as hss:
            hss.networks = dict(had)
            all_told(host)
            assert not hss.networks and host.metric("dromio_farewells_dropped_total") == 0


def test_what_the_network_takes_while_the_device_goes_is_ended_there():
    with Host(*SETTINGS) as host, ParameterHss(host) as hss:
        client = host.application("as1", ["acme.example"], ["parameters"])

        def late(cir):
            hss.on_cir = hss.configure
            assert host.admin.delete(f"/v1/twins/{device}").status == 204
            return hss.configure(cir)
        for at, members in ((NP, {"maximumLatency": 7200}), (CP, {"cpParameterSets": {"a": pattern("a")}})):
            device = f"f{next(names)}@acme.example"
            host.admin.put_twin(device)
            hss.on_cir = late
            assert client.post(at, {"externalId": device, **members}).status == 404
            until(lambda: not hss.networks and not hss.sets, "the end in the network")
            all_told(host)


@pytest.mark.parametrize("before, after", [(1, 3), (3, 1), (3, 2)])
def test_all_that_was_provisioned_ends_with_another_number_of_cores(tmp_path, before, after):
    def settings(cores):
        return (*SETTINGS, f"host.cores={cores}")
    with Host(*settings(before), directory=tmp_path) as host:
        client = host.application("as1", ["acme.example"], ["parameters"])
        devices = [f"f{next(names)}@acme.example" for _ in range(8)]
        with ParameterHss(host) as hss:
            for device in devices:
                host.admin.put_twin(device)
                until(lambda: client.post(NP, {"externalId": device, "maximumLatency": 7200}).status == 201, "a way to the HSS")
                made = client.post(CP, {"externalId": device, "cpParameterSets": {"a": pattern("a"), "b": pattern("b")}})
                assert made.status == 201, made
            had = dict(hss.networks), dict(hss.sets)
            assert (len(had[0]), len(had[1])) == (8, 16)
            silent(hss)
            for number, device in enumerate(devices[:-1], 1):
                removed(host, device, 2 * number)
            host.kill()
    with Host(*settings(after), directory=tmp_path) as host:
        until(lambda: waiting(host) == 14, "what was to be told")
        killed(host)
        with ParameterHss(host) as hss:
            hss.networks, hss.sets = map(dict, had)
            all_told(host)
            assert (len(hss.networks), len(hss.sets)) == (1, 2), "of the device that is there still"


def test_a_twins_own_wish_is_withdrawn_when_the_hss_is_back(sink):
    with Host(*SETTINGS, "schedule.pause=1") as host:
        assert host.push(CALM.read_bytes()).status in (200, 201)
        with ParameterHss(host) as hss, Mme(host) as mme:
            sleeper = Sleeper(host, mme)
            sleeper.reading()
            sleeper.is_in("applied")
            had = dict(hss.networks)
            assert len(had) == 1
            silent(hss)
            removed(host, sleeper.id)
            host.kill()
        host.start()
        with ParameterHss(host) as hss:
            hss.networks = dict(had)
            until(lambda: not hss.networks, "the withdrawal")
            all_told(host)


def test_a_trigger_function_that_was_silent_is_told_to_recall(sink):
    with Host(*OF_TRIGGERS) as host:
        client = host.application("as1", ["acme.example"], ["trigger"])
        with MtcIwf(host, can_replace=True) as iwf:
            made = Triggered(host, client, sink).made_soon()
            first = iwf.asked.get(timeout=LIMIT_S)
            silent(iwf)
            removed(host, made.id)
            assert iwf.asked.get(timeout=LIMIT_S).kind == RECALL
            host.kill()
        host.start()
        with MtcIwf(host, can_replace=True) as iwf:
            recall = iwf.asked.get(timeout=LIMIT_S)
            assert (recall.kind, recall.old, recall.name) == (RECALL, first.reference, made.id)
            all_told(host)


@pytest.mark.parametrize("who_is_silent", ["the HSS", "the service centre"])
def test_a_service_centre_is_told_to_recall_behind_the_subscribers_data(sink, who_is_silent):
    with Host(*OF_TRIGGERS) as host:
        client = host.application("as1", ["acme.example"], ["trigger"])
        with SubscriberHss(host) as hss, Centre(host, can_replace=True) as centre:
            made = Triggered(host, client, sink).made_soon()
            first = centre.asked.get(timeout=LIMIT_S)
            hss.asked.get(timeout=LIMIT_S)
            silent(hss if who_is_silent == "the HSS" else centre)
            removed(host, made.id)
            (hss if who_is_silent == "the HSS" else centre).asked.get(timeout=LIMIT_S)
            host.kill()
        host.start()
        with SubscriberHss(host), Centre(host, can_replace=True) as centre:
            recall = centre.asked.get(timeout=LIMIT_S)
            assert (recall.action, recall.old, recall.name) == (1, first.reference, made.id)
            all_told(host)
