"""What runs too badly does not run for a while: penalties, quarantine, stops. Nothing that was acknowledged is lost by it."""
import base64

import hostile
import pytest
from host import Client, Events, Host, thermo_reading, until
from mme import Load, Mme
from sink import Sink
from t8 import path_of

CALLBACKS = 't8.allow_callbacks=["127.0.0.0/8"]'
FAST = ("penalty.first=60", "quarantine.twins=0")  # set aside for longer than a test takes


@pytest.fixture(scope="module")
def wasm(tmp_path_factory):
    return hostile.image(tmp_path_factory.mktemp("hostile"))


class Story:
    """A host with the hostile image and some devices of it."""

    def __init__(self, wasm, *settings, twins=1, name="one"):
        self.host = Host(*settings)
        self.wasm, self.count = wasm, twins

    def __enter__(self):
        self.host.__enter__()
        self.admin = self.host.admin
        self.image = self.host.push(self.wasm).json()["image"]
        for index in range(self.count):
            self.admin.put_twin(self.name(index), image=self.image, imsi=self.imsi(index))
        self.mme = Mme(self.host)
        for index in range(self.count):
            self.mme.attach(self.imsi(index))
        return self

    def __exit__(self, *error):
        self.mme.close()
        return self.host.__exit__(*error)

    @staticmethod
    def name(index=0):
        return f"h{index}@acme.example"

    @staticmethod
    def imsi(index=0):
        return f"0010177{index:08d}"

    def event(self, kind, index=0, amount=0):
        """Acknowledged, whatever becomes of it."""
        self.mme.uplink(self.imsi(index), bytes([kind, amount]))

    def good(self, index=0):
        return self.admin.value(self.name(index), "count")

    def letters(self, reason):
        return [letter for letter in self.admin.get("/v1/dead-letters?limit=999").json()["dead_letters"] if letter["reason"] == reason]

    def stop(self, what, **body):
        answer = self.admin.put(f"/v1/stops/{what}", body or b"")
        assert answer.status == 204, answer

    def resume(self, what):
        answer = self.admin.delete(f"/v1/stops/{what}")
        assert answer.status == 204, answer

    def again(self):
        self.mme.close()
        self.host.kill()
        self.host.start()
        self.mme = Mme(self.host)


def test_a_twin_that_fails_again_and_again_is_set_aside(wasm):
    with Story(wasm, *FAST, twins=2) as story:
        story.event(hostile.GOOD)
        for _ in range(5):
            story.event(hostile.TRAP)
        shown = story.admin.twin(story.name())["penalty"]
        assert (shown["times"], shown["reason"]) == (1, "trap")
        for _ in range(3):
            story.event(hostile.GOOD)  # acknowledged, but not run
        assert story.good() == 1
        kept = story.letters("penalty")
        assert [letter["frame"] for letter in kept] == ["0000"] * 3 and kept[0]["id"] == story.name()
        answer = story.admin.write(story.name(), "limit", 7)
        assert (answer.status, answer.json()["type"]) == (503, "penalty") and 0 < int(answer.headers["Retry-After"]) <= 60
        story.event(hostile.GOOD, 1)  # the other one runs
        assert story.good(1) == 1 and "penalty" not in story.admin.twin(story.name(1))
        assert story.host.metric("dromio_penalties_total") == 1 and story.host.metric("dromio_events_set_aside_total") == 4
        newest = story.admin.get(f"/v1/twins/{story.name()}/timeline?limit=1").json()["events"][0]
        assert (newest["frame"], newest["outcome"]) == ("0000", "set aside: penalty")
        assert story.admin.delete(f"/v1/twins/{story.name()}/penalty").status == 204
        assert story.admin.delete(f"/v1/twins/{story.name()}/penalty").status == 404
        story.event(hostile.GOOD)
        assert story.good() == 2 and "penalty" not in story.admin.twin(story.name())


def test_a_penalty_outlives_a_crash_and_ends_with_time(wasm):
    with Story(wasm, "penalty.first=2", "quarantine.twins=0", "penalty.failures=2") as story:
        for _ in range(2):
            story.event(hostile.LOOP)
        first = story.admin.twin(story.name())["penalty"]
        assert first["reason"] == "deadline exceeded"
        story.again()
        assert story.admin.twin(story.name())["penalty"] == first
        until(lambda: "penalty" not in story.admin.twin(story.name()), "the end of the penalty")
        story.event(hostile.GOOD)
        assert story.good() == 1
        story.event(hostile.LOOP)  # one more is enough now, and it is set aside for longer
        assert story.admin.twin(story.name())["penalty"]["times"] == 2


def test_timers_of_a_twin_that_is_set_aside_wait(wasm):
    with Story(wasm, *FAST) as story:
        story.stop("code")
        story.event(hostile.TIMER)
        story.resume("code")
        story.event(hostile.TIMER)  # it calls itself from now on
        until(lambda: story.admin.value(story.name(), "timers") > 3, "timers that run")
        for _ in range(5):
            story.event(hostile.TRAP)
        stands = story.admin.value(story.name(), "timers")
        story.event(hostile.GOOD)
        assert story.admin.value(story.name(), "timers") == stands
        assert story.admin.delete(f"/v1/twins/{story.name()}/penalty").status == 204
        until(lambda: story.admin.value(story.name(), "timers") > stands, "timers that run again")
        story.stop("code")
        stands = story.admin.value(story.name(), "timers")
        story.event(hostile.GOOD)
        assert story.admin.value(story.name(), "timers") == stands
        story.again()
        assert story.admin.value(story.name(), "timers") == stands
        story.resume("code")
        until(lambda: story.admin.value(story.name(), "timers") > stands, "timers after the stop and the crash")


def test_an_image_of_which_many_twins_fail_is_quarantined(wasm):
    with Story(wasm, "host.cores=3", "quarantine.twins=4", twins=6) as story:
        for index in range(3):
            for _ in range(2):
                story.event(hostile.TRAP, index)
        assert "quarantined" not in story.admin.get(f"/v1/images/{story.image}").json()
        story.event(hostile.TRAP, 3)
        until(lambda: "quarantined" in story.admin.get(f"/v1/images/{story.image}").json(), "the quarantine")
        shown = story.admin.get(f"/v1/images/{story.image}").json()["quarantined"]
        assert shown["by"] == "host" and shown["reason"] == "turns of 4 twins failed, 7 of 7"
        assert story.admin.get("/v1/stops").json()["stops"][0]["image"] == story.image
        assert story.admin.get("/healthz").json()["stopped"] == ["image"]
        story.event(hostile.GOOD, 5)
        assert story.good(5) is None and story.letters("quarantined")[0]["id"] == story.name(5)
        answer = story.admin.put(f"/v1/twins/new@acme.example", {"image": story.image})
        assert (answer.status, answer.json()["type"]) == (409, "quarantined"), answer
        story.admin.put_twin("t@acme.example", imsi="001017800000001")  # another image
        story.mme.attach("001017800000001")
        story.mme.uplink("001017800000001", thermo_reading(1))
        assert story.admin.value("t@acme.example", "readings") == 1
        story.again()
        story.event(hostile.GOOD, 5)
        assert len(story.letters("quarantined")) == 2
        story.resume(f"images/{story.image}")
        story.event(hostile.GOOD, 5)
        assert story.good(5) == 1 and "stopped" not in story.admin.get("/healthz").json()


def test_few_failures_among_many_turns_do_not_quarantine(wasm):
    with Story(wasm, "quarantine.twins=3", twins=4) as story:
        story.event(hostile.TRAP, 0)
        for _ in range(6):
            story.event(hostile.GOOD, 3)
        for index in range(3):
            story.event(hostile.TRAP, index)
        assert story.admin.get("/v1/stops").json() == {"stops": []}


def test_a_stop_of_all_code_reaches_every_core_and_outlives_a_crash(wasm):
    with Story(wasm, *FAST, twins=8) as story:
        story.event(hostile.GOOD)
        story.stop("code", reason="INC-4711")
        shown = story.admin.get("/v1/stops").json()["stops"]
        assert [(stop["stop"], stop["reason"], stop["by"]) for stop in shown] == [("code", "INC-4711", "operator")]
        assert story.admin.get("/v1/status").json()["stopped"] == shown
        assert Client(story.host.http_port, None).get("/healthz").json()["stopped"] == ["code"]
        for is_again in (False, True):
            for index in range(8):
                story.event(hostile.GOOD, index)
            assert [story.good(index) for index in range(8)] == [1] + [None] * 7
            assert len(story.letters("stopped")) == (16 if is_again else 8)
            answer = story.admin.put("/v1/twins/new@acme.example", {"image": story.image})
            assert (answer.status, answer.json()["type"]) == (503, "stopped") and answer.headers["Retry-After"] == "60"
            assert story.admin.get("/v1/twins/new@acme.example").status == 404
            if not is_again:
                story.again()
        story.resume("code")
        for index in range(8):
            story.event(hostile.GOOD, index)
        assert [story.good(index) for index in range(8)] == [2] + [1] * 7
        assert story.admin.delete("/v1/stops/code").status == 404


def test_a_stop_of_a_domain_holds_all_that_leaves_for_it(wasm):
    with Sink() as sink, Story(wasm, *FAST, CALLBACKS) as story:
        admin, mme = story.admin, story.mme
        writer = story.host.application("as1", ["acme.example"], ("read", "write", "nidd"))
        admin.put_twin("u@other.example", image=story.image, imsi="001017800000002")
        mme.attach("001017800000002")
        answer = writer.post("/3gpp-nidd/v1/as1/configurations", {"externalId": story.name(), "notificationDestination": sink.link()})
        assert answer.status == 201, answer
        assert admin.put("/v1/twins/plain@acme.example", {"imsi": "001017800000003"}).status == 201
        mme.attach("001017800000003")
        plain = writer.post("/3gpp-nidd/v1/as1/configurations", {"externalId": "plain@acme.example", "notificationDestination": sink.link()})
        deliveries = path_of(plain) + "/downlink-data-deliveries"
        data = {"externalId": "plain@acme.example", "data": base64.b64encode(b"down").decode()}
        story.event(hostile.GOOD)
        until(lambda: len(sink.taken()) == 1, "the first notification")
        story.stop("domains/acme.example")
        answer = writer.post(deliveries, data)
        assert answer.status == 503, answer  # nor does what no code of its own sees
        story.event(hostile.GOOD)
        answer = writer.write(story.name(), "limit", 3)
        assert (answer.status, answer.json()["type"]) == (503, "stopped"), answer
        assert writer.get(f"/v1/twins/{story.name()}").status == 200
        mme.uplink("001017800000002", bytes([hostile.GOOD, 0]))
        assert admin.value("u@other.example", "count") == 1 and story.good() == 1
        assert len(sink.taken()) == 1
        story.resume("domains/acme.example")
        assert writer.post(deliveries, data).status in (200, 201)
        until(lambda: len(sink.taken()) >= 2, "the notification that was held back")
        assert base64.b64decode(sink.taken()[1]["data"]) == b"\0\0"
        assert admin.put("/v1/stops/domains/nobody.example", b"").status == 404


def test_a_stopped_application_is_nobody(wasm):
    with Sink() as sink, Story(wasm, *FAST, CALLBACKS) as story:
        client = story.host.application("as1", ["acme.example"], ("read", "write", "nidd"))
        answer = client.post("/3gpp-nidd/v1/as1/configurations", {"externalId": story.name(), "notificationDestination": sink.link()})
        assert answer.status == 201, answer
        with Events(client) as events:
            story.event(hostile.GOOD)
            events.next("dromio.property.changed.v1")
            until(lambda: len(sink.taken()) == 1, "the first notification")
            story.stop("applications/as1", reason="leaked token")
            with pytest.raises((EOFError, OSError, AssertionError, StopIteration)):
                while True:
                    events.next()
        assert client.get("/v1/twins").status == 401
        story.event(hostile.GOOD)
        assert story.good() == 2  # its devices are not meant
        story.again()
        assert client.get("/v1/twins").status == 401
        story.event(hostile.GOOD)
        assert len(sink.taken()) == 1
        story.resume("applications/as1")
        until(lambda: len(sink.taken()) == 3, "the notifications that were held back")
        assert client.get("/v1/twins").status == 200
        story.stop("applications/as1")
        assert story.admin.delete("/v1/applications/as1").status == 204
        assert story.admin.get("/v1/stops").json() == {"stops": []}


def test_a_twin_that_computes_too_much_waits(wasm):
    """Each loop costs a deadline twice: no penalty here, so only the budget stands against it."""
    with Story(wasm, "penalty.failures=0", "quarantine.twins=0", "budgets.twin.cpu=1", "budgets.twin.cpu_burst=1", twins=2) as story:
        story.event(hostile.LOOP)
        story.event(hostile.GOOD)
        letter = story.letters("budget_cpu")[0]
        assert (letter["frame"], letter["id"]) == ("0000", story.name()) and story.good() is None
        answer = story.admin.write(story.name(), "limit", 7)
        assert (answer.status, answer.json()["type"]) == (429, "budget_cpu") and int(answer.headers["Retry-After"]) > 30
        story.event(hostile.GOOD, 1)
        assert story.good(1) == 1
        answer = story.admin.request("PATCH", f"/v1/images/{story.image}", {"budget": {"twin": {"cpu": 0}}})
        assert answer.status == 200 and answer.json()["budget"]["twin"]["cpu"] == 0, answer
        story.event(hostile.GOOD)
        assert story.good() == 1


def test_a_turn_with_too_many_messages_changes_nothing(wasm):
    with Story(wasm, *FAST, "budgets.twin.messages=1", "budgets.twin.messages_burst=5") as story:
        story.event(hostile.NOTIFY, amount=6)
        assert story.letters("budget_messages")[0]["frame"] == "0706" and story.good() is None
        story.event(hostile.NOTIFY, amount=4)
        assert story.good() == 1
        story.event(hostile.DOWNLINKS, amount=2)
        assert story.letters("budget_messages")[0]["frame"] == "0302" and story.good() == 1
        assert story.admin.twin(story.name())["mailbox"] == 0
        story.event(hostile.GOOD)
        assert story.good() == 2


def test_lines_of_a_log_beyond_the_budget_are_left_out(wasm):
    with Story(wasm, *FAST, "budgets.twin.log=1", "budgets.twin.log_burst=200") as story:
        story.event(hostile.LOGS, amount=10)
        event = story.admin.get(f"/v1/twins/{story.name()}/timeline?limit=1").json()["events"][0]
        assert story.good() == 1 and str(event).count("a line that says nothing") == 3 and "budget_log" in str(event)
        assert story.host.metric("dromio_log_lines_left_out_total") == 7


def test_a_context_beyond_the_budget_is_not_kept(wasm):
    with Story(wasm, *FAST) as story:
        patch = lambda budget: story.admin.request("PATCH", f"/v1/images/{story.image}", {"budget": budget})
        assert patch({"twin": {"memory": 2000}}).status == 200
        story.event(hostile.GROW, amount=60)
        assert story.letters("budget_memory")[0]["frame"] == "053c" and story.good() is None
        story.event(hostile.GROW, amount=4)
        assert story.good() == 1
        story.again()
        assert story.admin.get(f"/v1/images/{story.image}").json()["budget"]["twin"]["memory"] == 2000
        story.event(hostile.GROW, amount=60)
        assert story.good() == 1
        assert patch(None).json()["budget"]["twin"]["memory"] == 0
        story.event(hostile.GROW, amount=60)
        assert story.good() == 2
        assert patch({"image": {"memory": 1}}).json()["budget"]["image"]["memory"] == 1
        story.event(hostile.GROW, amount=62)
        assert story.letters("budget_image_memory")[0]["frame"] == "053e"
        assert patch(None).json()["budget"]["image"]["memory"] == 0
        for bad in ({"twin": {"memory": -1}}, {"twin": {"fun": 1}}, {"host": {}}, {"image": {"memory": -1}}, 7):
            assert patch(bad).status == 422, bad


def test_timers_beyond_the_budget_wait(wasm):
    with Story(wasm, *FAST, "budgets.twin.timers=1", "budgets.twin.timers_burst=4") as story:
        story.event(hostile.TIMER)
        until(lambda: (story.admin.value(story.name(), "timers") or 0) >= 4, "four timers")
        story.event(hostile.GOOD)
        assert story.good() == 2 and story.admin.value(story.name(), "timers") <= 6  # the next one is a minute away
        assert story.admin.get("/v1/dead-letters").json()["dead_letters"] == []
        assert story.admin.request("PATCH", f"/v1/images/{story.image}", {"budget": {"twin": {"timers": 0}}}).status == 200
        story.event(hostile.GOOD)
        until(lambda: story.admin.value(story.name(), "timers") > 8, "timers without a budget")


def test_an_image_has_a_budget_for_all_its_twins(wasm):
    with Story(wasm, *FAST, twins=4) as story:
        assert story.admin.request("PATCH", f"/v1/images/{story.image}", {"budget": {"image": {"storage": 1, "storage_burst": 4}}}).status == 200
        for index in range(4):
            for _ in range(2):
                story.event(hostile.GOOD, index)
        assert 1 <= sum(story.good(index) or 0 for index in range(4)) <= 4  # at most one a core
        kept = story.letters("budget_image_storage")
        assert len(kept) >= 4 and {letter["reason"] for letter in kept} == {"budget_image_storage"}
        assert len(kept) + sum(story.good(index) or 0 for index in range(4)) == 8


def test_uplinks_that_went_along_with_one_that_failed_are_answered(wasm):
    """Many of one twin in one visit to its cell: those behind the failures that set it aside."""
    with Story(wasm, *FAST) as story, Load(story.host, "busy.epc.test") as load:
        for end in range(1, 201):
            load.send(story.imsi(), bytes([hostile.TRAP, 0]), end)
        load.drain()
        assert set(load.results.values()) == {2001} and len(load.results) == 200
        assert len(story.letters("trap")) == 5 and len(story.letters("penalty")) == 195
        assert story.admin.delete(f"/v1/twins/{story.name()}/penalty").status == 204
        story.event(hostile.GOOD)
        assert story.good() == 1


def test_a_stop_ends_a_cell_that_is_full_of_endless_turns(wasm):
    """Nobody waits until each has come to its deadline, and the image is not blamed for the cell."""
    settings = ("host.cores=1", "cells.max=1", "penalty.failures=0", "quarantine.twins=0", "quarantine.kills=1")
    with Story(wasm, *settings, twins=400) as story, Load(story.host, "endless.epc.test") as load:
        cell = story.host.room("cell")
        for end in range(1, 401):
            load.send(story.imsi(end - 1), bytes([hostile.LOOP, 0]), end)
        until(lambda: story.host.metric("dromio_turns_in_flight") > 200, "a full cell")
        story.stop("code")
        until(lambda: story.host.metric("dromio_turns_in_flight") == 0 or story.host.room("cell") != cell, "a cell that is free")
        load.drain()
        assert set(load.results.values()) == {2001} and len(load.results) == 400
        assert story.letters("cell failed") == [] and len(story.letters("stopped")) > 100
        assert [stop["stop"] for stop in story.admin.get("/v1/stops").json()["stops"]] == ["code"]
        story.resume("code")
        story.event(hostile.GOOD)
        assert story.good() == 1
