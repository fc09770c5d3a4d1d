"""Device triggering over T8 (TS 29.122, 5.7): an MTC-IWF over Tsp, or an HSS over S6m and an SMS-SC over T4, of python-diameter."""
import concurrent.futures
import itertools
import signal

import pytest
from host import LIMIT_S, ONE_GATE, Host, until
from mme import Mme, avp, find, result_of
from sink import Sink
from t8 import CALLBACKS, b64, path_of
from test_trace import Trace
from trigger import (EXPIRED, RECALL, REPLACE, SENDER, SUCCESS, TEMPORARY, TRIGGER, UNCONFIRMED, UNDELIVERABLE, Centre, MtcIwf, SubscriberHss, refusal)

AT = "/3gpp-device-triggering/v1/as1/transactions"
SENDER_SET = f't8.trigger_sender="{SENDER}"'
numbers = itertools.count(1)


class Triggered:
    """A device and what as1 wants of it."""

    def __init__(self, host, client, sink, imsi=None):
        self.host, self.client, self.sink = host, client, sink
        self.number = next(numbers)
        self.id, self.path, self.at = f"g{self.number}@acme.example", f"/g{self.number}", None
        members = {} if imsi is None else {"imsi": imsi}
        host.admin.put_twin(self.id, **members)

    def body(self, **members):
        return {"externalId": self.id, "validityPeriod": 3600, "priority": "PRIORITY", "applicationPortId": 4711, "triggerPayload": b64(b"wake up"),
                "notificationDestination": self.sink.link(self.path), **members}

    def post(self, **members):
        answer = self.client.post(AT, self.body(**members))
        if answer.status == 201:
            self.at = path_of(answer)
        return answer

    def made(self, **members):
        answer = self.post(**members)
        assert answer.status == 201, answer
        return self

    def made_soon(self):
        """Of a host that has just begun: each of its cores hears of the peers by itself."""
        until(lambda: self.post().status == 201, "a way to the network")
        return self

    def patch(self, members):
        return self.client.request("PATCH", self.at, members, Content_Type="application/json")

    def result(self):
        answer = self.client.get(self.at)
        assert answer.status == 200, answer
        return answer.json()["deliveryResult"]

    def told(self):
        return [notice["result"] for notice in self.sink.taken(self.path) if "result" in notice]

    def hears(self, *results):
        until(lambda: self.told() == list(results), f"the results {results}, not {self.told()}")


@pytest.fixture(scope="module")
def real():
    with Host(CALLBACKS, SENDER_SET) as host:
        yield host
        assert "00102" not in host.log(), "an IMSI was logged"


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["trigger", "nidd", "read"])


@pytest.fixture
def iwf(real):
    with MtcIwf(real, can_replace=True) as peer:
        yield peer


@pytest.fixture
def device(real, as1, sink):
    return lambda **more: Triggered(real, as1, sink, **more)


# ---- Tsp ----

def test_a_trigger_goes_to_the_mtc_iwf_and_its_outcome_comes_back_once(device, iwf):
    made = device()
    answer = made.post(requestTestNotification=True)
    assert answer.status == 201, answer
    body = answer.json()
    assert body["deliveryResult"] == "TRIGGERED" and body["self"].endswith(made.at) and body["priority"] == "PRIORITY"
    asked = iwf.asked.get(timeout=LIMIT_S)
    assert (asked.name, asked.kind, asked.payload, asked.priority, asked.port, asked.validity) == (made.id, TRIGGER, b"wake up", 1, 4711, 3600)
    assert asked.sender == b"\x94\x71\x10\x32\xf4" and asked.reference != 0 and asked.old is None and asked.host is None
    assert made.client.get(made.at).json() == body
    assert [item["self"] for item in made.client.get(AT).json()].count(body["self"]) == 1
    assert result_of(iwf.tell(asked.reference, SUCCESS, made.id, end=77)) == 2001
    made.hears("SUCCESS")
    assert made.result() == "SUCCESS"
    assert result_of(iwf.tell(asked.reference, SUCCESS, made.id, end=77, is_again=True)) == 2001
    assert result_of(iwf.tell(asked.reference, UNDELIVERABLE, made.id)) == 2001  # it has ended already
    assert made.result() == "SUCCESS" and made.told() == ["SUCCESS"]
    notice = next(notice for notice in made.sink.taken(made.path) if "result" in notice)
    assert notice["transaction"] == body["self"]


@pytest.mark.parametrize("outcome, result", [(EXPIRED, "EXPIRED"), (TEMPORARY, "FAILURE"), (UNDELIVERABLE, "FAILURE"), (UNCONFIRMED, "UNCONFIRMED"), (99, "UNKNOWN")])
def test_what_became_of_it(device, iwf, outcome, result):
    made = device().made()
    assert result_of(iwf.tell(iwf.asked.get(timeout=LIMIT_S).reference, outcome)) == 2001
    made.hears(result)
    assert made.result() == result


@pytest.mark.parametrize("status, code, cause", [
    (101, 403, "DATA_TOO_LARGE"), (102, 404, "USER_UNKNOWN"), (103, 500, None), (104, 403, "PARAMETER_OUT_OF_RANGE"), (105, 403, "TRIGGER_NOT_AUTHORIZED"),
    (106, 403, "TRIGGER_NOT_AUTHORIZED"), (107, 500, None), (108, 403, "QUOTA_EXCEEDED"), (109, 503, None), (201, 503, None), (999, 500, None)])
def test_what_the_mtc_iwf_refuses(device, iwf, status, code, cause):
    iwf.on_asked = lambda asked: iwf.said(asked, status)
    made = device()
    answer = made.post()
    assert answer.status == code, answer
    problem = answer.json()
    assert problem.get("cause") == cause and f"({status})" in problem["detail"]
    assert code != 503 or int(answer.headers["Retry-After"]) > 0
    assert made.client.get(AT).json() == [] or all(item["externalId"] != made.id for item in made.client.get(AT).json())


def test_a_reference_that_is_not_known_is_said_back(device, iwf):
    answer = iwf.tell(0x7F312345, SUCCESS)
    assert result_of(answer) == 5004 and find(answer, 279, 3002, 3007) == 0x7F312345
    made = device().made()
    reference = iwf.asked.get(timeout=LIMIT_S).reference
    other = device()
    assert result_of(iwf.tell(reference, SUCCESS, other.id)) == 5004  # another device's
    assert made.result() == "TRIGGERED"


def test_references_are_not_given_twice(device, iwf):
    seen = set()
    for _ in range(20):
        device().made()
        seen.add(iwf.asked.get(timeout=LIMIT_S).reference)
    assert len(seen) == 20 and 0 not in seen


def test_a_trigger_is_replaced(device, iwf):
    made = device().made()
    first = iwf.asked.get(timeout=LIMIT_S)
    answer = made.patch({"triggerPayload": b64(b"other")})
    assert answer.status == 200 and answer.json()["deliveryResult"] == "REPLACED", answer
    second = iwf.asked.get(timeout=LIMIT_S)
    assert (second.kind, second.old, second.payload, second.host) == (REPLACE, first.reference, b"other", b"iwf1.epc.test")
    assert second.reference not in (0, first.reference)
    answer = made.client.put(made.at, made.body(applicationPortId=5))
    assert answer.status == 200, answer
    third = iwf.asked.get(timeout=LIMIT_S)
    assert (third.kind, third.old, third.port, third.payload) == (REPLACE, second.reference, 5, b"wake up")
    assert result_of(iwf.tell(first.reference, SUCCESS)) == 5004  # that one is no more
    assert result_of(iwf.tell(third.reference, SUCCESS)) == 2001
    made.hears("SUCCESS")
    answer = made.patch({"applicationPortId": 6})
    assert answer.status == 409 and answer.json()["cause"] == "TRIGGER_ENDED"


def test_where_it_is_told_of_changes_without_the_network(device, iwf):
    made = device().made()
    reference = iwf.asked.get(timeout=LIMIT_S).reference
    answer = made.patch({"notificationDestination": made.sink.link(made.path + "x")})
    assert answer.status == 200 and answer.json()["deliveryResult"] == "TRIGGERED", answer
    made.path += "x"
    assert result_of(iwf.tell(reference, SUCCESS)) == 2001
    made.hears("SUCCESS")
    assert iwf.asked.empty()


@pytest.mark.parametrize("status, code, cause", [(110, 403, "TRIGGER_REPLACE_FAILED"), (112, 409, "TRIGGER_ALREADY_SENT")])
def test_a_replacement_that_fails_leaves_the_first(device, iwf, status, code, cause):
    made = device().made()
    reference = iwf.asked.get(timeout=LIMIT_S).reference
    iwf.on_asked = lambda asked: iwf.said(asked, status, diagnostic=1)
    answer = made.patch({"triggerPayload": b64(b"other")})
    assert answer.status == code and answer.json()["cause"] == cause and "not stored" in answer.json()["detail"], answer
    assert result_of(iwf.tell(reference, SUCCESS)) == 2001
    made.hears("SUCCESS")
    assert made.client.get(made.at).json()["triggerPayload"] == b64(b"wake up")


def test_deleting_recalls(device, iwf):
    made = device().made()
    first = iwf.asked.get(timeout=LIMIT_S)
    answer = made.client.delete(made.at)
    assert answer.status == 200 and answer.json()["deliveryResult"] == "TERMINATE", answer
    recall = iwf.asked.get(timeout=LIMIT_S)
    assert (recall.kind, recall.old, recall.payload, recall.name) == (RECALL, first.reference, None, made.id)
    assert made.client.get(made.at).status == 404
    until(lambda: result_of(iwf.tell(first.reference, SUCCESS)) == 5004, "the end of the trigger")
    assert made.told() == []


def test_an_application_that_goes_takes_its_triggers_along(real, sink, iwf):
    client = real.application("as7", ["acme.example"], ["trigger"])
    made = Triggered(real, client, sink)
    answer = client.post(AT.replace("as1", "as7"), made.body())
    assert answer.status == 201, answer
    first = iwf.asked.get(timeout=LIMIT_S)
    assert real.admin.delete("/v1/applications/as7").status == 204
    recall = iwf.asked.get(timeout=LIMIT_S)
    assert (recall.kind, recall.old, recall.name) == (RECALL, first.reference, made.id)
    until(lambda: result_of(iwf.tell(first.reference, SUCCESS)) == 5004, "the end of the trigger")


def test_a_device_that_goes_takes_its_triggers_along(device, iwf, real):
    made = device().made()
    first = iwf.asked.get(timeout=LIMIT_S)
    assert real.admin.delete(f"/v1/twins/{made.id}").status == 204
    recall = iwf.asked.get(timeout=LIMIT_S)
    assert (recall.kind, recall.old, recall.name) == (RECALL, first.reference, made.id)
    assert result_of(iwf.tell(first.reference, SUCCESS)) == 5004
    assert made.client.get(made.at).status == 404


def test_one_that_has_gone_out_already_is_deleted_without_a_recall(device, iwf):
    made = device().made()
    iwf.asked.get(timeout=LIMIT_S)
    iwf.on_asked = lambda asked: iwf.said(asked, 112)
    assert made.client.delete(made.at).status == 204
    assert made.client.get(made.at).status == 404


def test_without_the_feature_nothing_is_replaced_or_recalled(device, iwf):
    iwf.can_replace = False
    made = device().made()
    iwf.asked.get(timeout=LIMIT_S)
    answer = made.patch({"triggerPayload": b64(b"other")})
    assert answer.status == 403 and answer.json()["cause"] == "OPERATION_NOT_ALLOWED", answer
    assert made.client.delete(made.at).status == 204
    assert iwf.asked.empty()


def test_a_silent_mtc_iwf_is_followed_by_another(device, iwf, real):
    iwf.on_asked = lambda asked: None
    with MtcIwf(real, "iwf2.epc.test") as other:
        made = device().made()
        first, second = iwf.asked.get(timeout=LIMIT_S), other.asked.get(timeout=LIMIT_S)
        assert (first.reference, first.end_to_end) == (second.reference, second.end_to_end)
        assert second.is_again and not first.is_again
        assert result_of(other.tell(second.reference, SUCCESS)) == 2001
        made.hears("SUCCESS")


def test_a_trigger_lost_with_its_connection_goes_through_another(device, real):
    with MtcIwf(real, "iwf3.epc.test", on_asked=lambda asked: None) as first:
        made = device()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(made.post)
            lost = first.asked.get(timeout=LIMIT_S)
            with MtcIwf(real, "iwf4.epc.test") as second:
                first.close()
                again = second.asked.get(timeout=LIMIT_S)
                assert again.is_again and (again.reference, again.end_to_end) == (lost.reference, lost.end_to_end)
                assert waiting.result().status == 201
                assert result_of(second.tell(again.reference, SUCCESS)) == 2001
                made.hears("SUCCESS")


def test_an_outcome_that_comes_before_the_answer_is_kept_for_it(device, iwf):
    boxes = []

    def early(asked):
        boxes.append(iwf.begin_tell(asked.reference, SUCCESS))
        return iwf.said(asked)
    iwf.on_asked = early
    made = device().made()
    assert result_of(boxes[0].get(timeout=LIMIT_S)) == 2001
    made.hears("SUCCESS")


@pytest.mark.parametrize("wrong, pointer", [
    ({"validityPeriod": -1}, "/validityPeriod"), ({"applicationPortId": 65536}, "/applicationPortId"), ({"triggerPayload": "%%"}, "/triggerPayload"),
    ({"triggerPayload": b64(b"x" * 1025)}, "/triggerPayload"), ({"priority": "MUCH"}, "/priority"), ({"notificationDestination": "here"}, "/notificationDestination"),
    ({"msisdn": "4917"}, None), ({"externalId": "none"}, "/externalId")])
def test_a_wrong_request_is_400(device, iwf, wrong, pointer):
    answer = device().post(**wrong)
    assert answer.status == 400, answer
    params = [item["param"] for item in answer.json().get("invalidParams", [])]
    assert pointer is None or pointer in params, answer


@pytest.mark.parametrize("missing", ["validityPeriod", "priority", "applicationPortId", "triggerPayload", "notificationDestination", "externalId"])
def test_what_is_missing_is_400(device, iwf, missing):
    made = device()
    body = made.body()
    del body[missing]
    assert made.client.post(AT, body).status == 400


def test_scope_and_owner(device, iwf, real):
    made = device().made()
    reader = real.application("as9", ["acme.example"], ["read", "nidd"])
    assert reader.post("/3gpp-device-triggering/v1/as9/transactions", made.body()).status == 403
    other = real.application("as8", ["acme.example"], ["trigger"])
    assert other.get(made.at).status in (403, 404)
    assert other.get(made.at.replace("as1", "as8")).status == 404
    assert made.client.get(made.at[:-1] + "f").status in (404, 200)


def test_the_network_is_asked_nothing_about_a_device_nobody_has(as1, iwf, sink):
    body = {"externalId": "nobody@acme.example", "validityPeriod": 1, "priority": "NO_PRIORITY", "applicationPortId": 1, "triggerPayload": "",
            "notificationDestination": sink.link()}
    answer = as1.post(AT, body)
    assert answer.status == 404 and answer.json()["cause"] == "USER_UNKNOWN", answer


@pytest.mark.long
def test_a_trigger_expires_without_a_word(real, as1, sink, iwf):
    made = Triggered(real, as1, sink).made(validityPeriod=0)
    iwf.asked.get(timeout=LIMIT_S)
    made.hears("EXPIRED")  # the grace behind its validity is the host's
    assert made.result() == "EXPIRED"


def test_a_trace_of_the_device_shows_them(real, device, iwf):
    made = device()
    with Trace(real, twin=made.id) as trace:
        made.made()
        iwf.tell(iwf.asked.get(timeout=LIMIT_S).reference, SUCCESS, made.id)
        trace.until("DAR", "DAA", "DNR", "DNA")
        assert [(way, command) for way, command, _ in trace.commands() if command.startswith("D")] == [("out", "DAR"), ("in", "DAA"), ("in", "DNR"), ("out", "DNA")]


def test_peers_show_what_they_are(real, iwf):
    peer = next(item for item in real.admin.get("/v1/peers").json()["peers"] if item["identity"] == "iwf1.epc.test")
    assert peer["applications"] == ["tsp"] and peer["roles"] == ["mtc-iwf"]
