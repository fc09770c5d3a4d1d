"""Device triggering where this host is the MTC-IWF: an HSS over S6m says who and where, an SMS-SC over T4 delivers. And what happens with kill -9."""
import concurrent.futures

import pytest
from host import LIMIT_S, Host, until
from mme import find, result_of
from sink import Sink
from t8 import CALLBACKS, b64
from test_trigger import AT, SENDER_SET, Triggered
from trigger import SENDER, Centre, MtcIwf, SubscriberHss, refusal

ABSENT, MEMORY, TRANSFERRED, EXPIRED = range(4)  # SM-Delivery-Outcome-T4


@pytest.fixture(scope="module")
def real():
    with Host(CALLBACKS, SENDER_SET) as host:
        yield host
        assert "0010299" not in host.log(), "an IMSI was logged"


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["trigger", "read"])


@pytest.fixture
def hss(real):
    with SubscriberHss(real) as peer:
        yield peer


@pytest.fixture
def centre(real):
    with Centre(real, can_replace=True) as peer:
        yield peer


@pytest.fixture
def device(real, as1, sink):
    return lambda **more: Triggered(real, as1, sink, **more)


def test_nobody_who_triggers_is_a_503_with_the_reason(sink):
    with Host(CALLBACKS) as host:
        client = host.application("as1", ["acme.example"], ["trigger"])
        answer = Triggered(host, client, sink).post()
        assert answer.status == 503 and "no peer triggers devices" in answer.json()["detail"], answer
        with SubscriberHss(host), Centre(host):
            answer = Triggered(host, client, sink).post()
            assert answer.status == 503 and "t8.trigger_sender" in answer.json()["detail"], answer


def test_the_subscribers_data_goes_on_to_the_service_centre(device, hss, centre):
    hss.nodes = ("mme1.epc.test", "mme2.epc.test", "mme3.epc.test")
    made = device().made()
    asked = hss.asked.get(timeout=LIMIT_S)
    assert asked.name == made.id and asked.sender == b"\x94\x71\x10\x32\xf4"
    assert (find(asked.message, 3103), find(asked.message, 3110)) == (0, 1)
    assert find(asked.message, 3105, 3010) == 4711 and find(asked.message, 3105, 3106, 3006) == 1
    message = centre.asked.get(timeout=LIMIT_S)
    assert (message.imsi, message.msisdn, message.name) == (hss.imsi, b"\x94\x71\x02\x00\x00\x10", made.id)
    assert (message.payload, message.port, message.validity, message.action, message.old) == (b"wake up", 4711, 3600, 0, None)
    assert message.sender == b"\x09\x91\x94\x71\x10\x32\xf4" and message.nodes == [2401, 2406, 2406] and message.node == b"mme1.epc.test"
    assert result_of(centre.tell(message.reference, TRANSFERRED)) == 2001
    made.hears("SUCCESS")
    twin = made.host.admin.get(f"/v1/twins/{made.id}").body.decode()
    assert hss.imsi not in twin, "the trigger's IMSI is not the twin's"


@pytest.mark.parametrize("outcome, result", [(ABSENT, "FAILURE"), (MEMORY, "FAILURE"), (EXPIRED, "EXPIRED"), (9, "UNKNOWN")])
def test_what_became_of_it(device, hss, centre, outcome, result):
    made = device().made()
    assert result_of(centre.tell(centre.asked.get(timeout=LIMIT_S).reference, outcome)) == 2001
    made.hears(result)


def test_who_is_absent_is_left_to_the_service_centre(device, hss, centre):
    hss.cause = 1
    device().made()
    assert centre.asked.get(timeout=LIMIT_S).nodes == []


@pytest.mark.parametrize("cause, text", [(2, "no triggers"), (4, "barred"), (5, "barred")])
def test_a_subscription_that_has_no_short_messages(device, hss, centre, cause, text):
    hss.cause = cause
    answer = device().post()
    assert answer.status == 403 and answer.json()["cause"] == "TRIGGER_NOT_AUTHORIZED" and text in answer.json()["detail"], answer
    assert centre.asked.empty()


@pytest.mark.parametrize("code, status, cause", [(5001, 404, "USER_UNKNOWN"), (5510, 403, "TRIGGER_NOT_AUTHORIZED"), (5511, 403, "TRIGGER_NOT_AUTHORIZED"), (5999, 500, None)])
def test_what_the_hss_refuses(device, hss, centre, code, status, cause):
    hss.on_asked = lambda asked: refusal(code)
    answer = device().post()
    assert answer.status == status and answer.json().get("cause") == cause, answer
    assert centre.asked.empty()


@pytest.mark.parametrize("code, status, cause", [(5530, 500, None), (5531, 503, None), (5532, 500, None), (5001, 404, "USER_UNKNOWN")])
def test_what_the_service_centre_refuses(device, hss, centre, code, status, cause):
    centre.on_asked = lambda asked: refusal(code)
    answer = device().post()
    assert answer.status == status and answer.json().get("cause") == cause, answer


def test_replaced_and_recalled_at_the_same_service_centre(device, hss, centre, real):
    made = device().made()
    first = centre.asked.get(timeout=LIMIT_S)
    with Centre(real, "smsc0.epc.test", can_replace=True) as other:
        answer = made.patch({"triggerPayload": b64(b"other")})
        assert answer.status == 200 and answer.json()["deliveryResult"] == "REPLACED", answer
        second = centre.asked.get(timeout=LIMIT_S)
        assert (second.action, second.old, second.payload, second.host) == (2, first.reference, b"other", b"smsc1.epc.test")
        assert made.client.delete(made.at).status == 204  # the service centre is asked behind the HSS
        recall = centre.asked.get(timeout=LIMIT_S)
        assert (recall.action, recall.old, recall.host) == (1, second.reference, b"smsc1.epc.test")
        assert other.asked.empty()
    assert made.client.get(made.at).status == 404


def test_a_silent_service_centre_is_followed_by_another(device, hss, centre, real):
    centre.on_asked = lambda asked: None
    with Centre(real, "smsc2.epc.test") as other:
        made = device().made()
        first, second = centre.asked.get(timeout=LIMIT_S), other.asked.get(timeout=LIMIT_S)
        assert first.reference == second.reference and second.is_again
        assert result_of(other.tell(second.reference, TRANSFERRED)) == 2001
        made.hears("SUCCESS")


def test_an_mtc_iwf_that_is_connected_comes_first(device, hss, centre, real):
    with MtcIwf(real) as iwf:
        device().made()
        iwf.asked.get(timeout=LIMIT_S)
    until(lambda: all(peer["state"] != "open" for peer in real.admin.get("/v1/peers").json()["peers"] if "tsp" in peer["applications"]), "its end")
    device().made()
    centre.asked.get(timeout=LIMIT_S)


def test_a_report_of_another_device_is_not_taken(device, hss, centre):
    other = device(imsi="001029900000077")
    made = device().made()
    reference = centre.asked.get(timeout=LIMIT_S).reference
    answer = centre.tell(reference, TRANSFERRED, imsi="001029900000077")
    assert result_of(answer) == 5004 and find(answer, 279, 3007) == reference, other.id
    assert made.result() == "TRIGGERED"


# ---- kill -9 ----

def test_an_outcome_counts_once_over_kill(sink):
    with Host(CALLBACKS, SENDER_SET) as host:
        client = host.application("as1", ["acme.example"], ["trigger"])
        made = Triggered(host, client, sink)
        with MtcIwf(host) as iwf:
            made.made_soon()
            reference = iwf.asked.get(timeout=LIMIT_S).reference
        host.kill()
        host.start()
        assert made.result() == "TRIGGERED"
        with MtcIwf(host) as iwf:
            assert result_of(iwf.tell(reference, 0, end=4711)) == 2001
            made.hears("SUCCESS")
        host.kill()
        host.start()
        assert made.result() == "SUCCESS"
        with MtcIwf(host) as iwf:
            assert result_of(iwf.tell(reference, 0, end=4711, is_again=True)) == 2001
            assert made.result() == "SUCCESS"
            fresh = Triggered(host, client, sink).made_soon()
            assert iwf.asked.get(timeout=LIMIT_S).reference != reference
            fresh.patch({"notificationDestination": sink.link("/elsewhere")})
        assert set(made.told()) == {"SUCCESS"}  # told at least once, whatever was killed


def test_a_recall_that_could_not_be_told_is_told_after_kill(sink):
    with Host(CALLBACKS, SENDER_SET) as host:
        client = host.application("as1", ["acme.example"], ["trigger"])
        made = Triggered(host, client, sink)
        with MtcIwf(host, can_replace=True) as iwf:
            made.made_soon()
            first = iwf.asked.get(timeout=LIMIT_S)
        until(lambda: all(peer["state"] != "open" for peer in host.admin.get("/v1/peers").json()["peers"]), "the end of the connection")
        assert made.client.delete(made.at).status == 204
        assert made.client.get(made.at).status == 404
        host.kill()
        host.start()
        with MtcIwf(host, can_replace=True) as iwf:
            recall = iwf.asked.get(timeout=LIMIT_S)
            assert (recall.kind, recall.old) == (3, first.reference)
