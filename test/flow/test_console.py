"""The console in a real browser, against a host that answers as the contract says."""

import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
from browser import Browser, is_missing  # noqa: E402
from fake_host import DIGEST, Answers, FakeHost, Problem, Twin, rfc3339  # noqa: E402

if is_missing() is not None:
    pytest.skip(is_missing(), allow_module_level=True)

TWIN = "meter-000@acme.example"
PAGE = f"/console/#/twins/{TWIN.replace('@', '%40')}"


@pytest.fixture
def host():
    fake = FakeHost()
    fake.fill(3)
    with fake:
        yield fake


@pytest.fixture(scope="module")
def chromium():
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium):
    yield chromium
    chromium.script("sessionStorage.clear()")
    chromium.go("about:blank")


def one_time(host):
    return Answers(host).login(None)[1]["token"]


def sign_in(browser, host, page="/console/"):
    browser.go(f"{host.url}/console/#token={one_time(host)}")
    browser.until_text("meter-002@acme.example")
    browser.until_text("Live\n")
    if page != "/console/":
        browser.go(host.url + page)


def test_a_one_time_token_in_the_fragment_signs_in_and_leaves_the_address(browser, host):
    token = one_time(host)
    browser.go(f"{host.url}/console/#token={token}")
    browser.until_text("meter-000@acme.example")
    assert token not in browser.script(
        "return location.href + document.documentElement.outerHTML + JSON.stringify({...localStorage})"
    )
    assert browser.script("return sessionStorage.length") == 1 and token not in host.one_time
    assert [path for _, path, _, _ in host.seen if token in path] == []


def test_a_used_login_says_so_and_offers_the_form(browser, host):
    browser.go(f"{host.url}/console/#token=used-already")
    browser.until_text("used already, is too old, or the host was started again since")
    browser.find("#token")


def test_a_pasted_token_signs_in_and_a_wrong_one_does_not(browser, host):
    browser.go(host.url + "/console/")
    browser.type("#token", "wrong")
    browser.click("button[type=submit]")
    browser.until_text("does not know this token")
    browser.type("#token", host.admin_token)
    browser.click("button[type=submit]")
    browser.until_text("meter-001@acme.example")


def test_an_ended_session_leads_back_to_the_form(browser, host):
    sign_in(browser, host)
    host.sessions.clear()
    browser.go(host.url + PAGE)
    browser.until_text("the host was started again since. Sign in again.")
    assert browser.script("return sessionStorage.length") == 0


def test_readings_show_as_they_arrive(browser, host):
    sign_in(browser, host)
    with host.lock:
        host.uplink(host.twins[TWIN], 33.21)
    browser.until_text("33.21 °C")
    browser.go(host.url + PAGE)
    browser.until_text("Mailbox empty")
    with host.lock:
        host.uplink(host.twins[TWIN], 34.56)
    browser.until_text("34.56 °C")
    browser.until("document.querySelectorAll('svg.chart .series').length === 1")
    assert "lowest" in browser.script("return document.querySelector('svg.chart').getAttribute('aria-label')")


def test_the_twins_can_be_filtered_by_tag_and_paged(browser, host):
    with host.lock:
        for number in range(60):
            identifier = f"pump-{number:02d}@acme.example"
            host.twins[identifier] = Twin(identifier, {"site": "mill"})
    sign_in(browser, host)
    browser.type("#tag", "site=mill")
    browser.click("form.filter button[type=submit]")
    browser.until(
        "document.querySelectorAll('table.twins tbody tr').length === 25 && !document.body.innerText.includes('meter-')"
    )
    browser.script("[...document.querySelectorAll('button')].find((each) => each.textContent === 'Next').click()")
    browser.until_text("pump-49@acme.example")
    browser.type("#tag", "site=nowhere")
    browser.click("form.filter button[type=submit]")
    browser.until_text("No twin fits.")


def test_a_property_is_set_within_its_bounds_and_its_ticket_is_followed(browser, host):
    sign_in(browser, host, PAGE)
    browser.type("#set-period", "5")
    assert browser.script("return document.querySelector('#set-period').validity.rangeUnderflow")
    assert browser.script("return document.querySelector('#set-temperature')") is None
    browser.type("#set-period", "300")
    browser.click("#set-period ~ button")
    browser.until_text("300: pending")
    with host.lock:
        host.uplink(host.twins[TWIN], 20.5)
    browser.until_text("300: reported")


def network_of(twin):
    """What the network and applications have to do with it, as a host shows it."""
    at = "/3gpp-monitoring-event/v1/as1/subscriptions/6250000040000000"
    twin.network = {
        "connection": {"bearer": "05", "plmn": "26201", "roaming": True, "radio": "EUTRAN_NB_IOT", "node": "mme7.epc.test", "realm": "epc.test"},
    }
    twin.schedule = {"state": "applied", "wanted": {"latency": 3600}, "network": {"periodic": 3600, "active": 20}}
    twin.exposures = [
        {"api": "3gpp-monitoring-event", "application": "as1", "made": "2026-11-23T08:00:00.000Z", "reports": 2,
         "resource": {"self": at, "externalId": twin.id, "monitoringType": "LOSS_OF_CONNECTIVITY", "maximumNumberOfReports": 10,
                      "monitorExpireTime": "2026-12-01T00:00:00Z"}},
        {"api": "3gpp-device-triggering", "application": "as2", "made": "2026-11-23T08:01:00.000Z", "reports": 0,
         "resource": {"externalId": twin.id, "applicationPortId": 4711, "deliveryResult": "TRIGGERED"}},
        {"api": "3gpp-network-parameter-configuration", "application": "<b>as3</b>", "made": "2026-11-23T08:02:00.000Z", "reports": 0,
         "resource": {"externalId": twin.id, "maximumLatency": 7200, "maximumResponseTime": 30}},
    ]
    event = {"id": None, "frame": None, "cpu_micros": 0, "properties": {}, "downlinks": [], "notifications": [], "timers": [], "log": []}
    twin.said = [
        {**event, "time": "2026-11-23T08:05:00.000Z", "kind": "network", "outcome": "handled",
         "network_report": {"subscription": "6250000040000000", "said": "event", "report": {"monitoringType": "LOSS_OF_CONNECTIVITY", "lossOfConnectReason": 6}}},
        {**event, "time": "2026-11-23T08:04:00.000Z", "kind": "connection", "outcome": "established",
         "network": {"command": "CMR", "peer": "mme7.epc.test", "plmn": "26201", "roaming": True, "radio": "EUTRAN_NB_IOT"}},
        {**event, "time": "2026-11-23T08:03:30.000Z", "kind": "schedule", "outcome": "waiting",
         "network": {"command": None, "schedule": {"state": "waiting", "wanted": {"latency": 600}, "network": {}}}},
        {**event, "time": "2026-11-23T08:03:00.000Z", "kind": "delivery", "outcome": "delivered", "network": {"command": "TDA"}},
    ]


def test_what_the_network_and_applications_do_with_a_twin_is_shown(browser, host):
    network_of(host.twins[TWIN])
    sign_in(browser, host, PAGE)
    for text in ("established over EUTRAN NB IOT at mme7.epc.test", "26201", "roaming", "wanted: latency 60 min", "network: periodic 60 min, active 20 s",
                 "loss of connectivity", "2 of 10 reports", "triggers port 4711", "triggered", "latency 2 h, response 30 s", "<b>as3</b>",
                 "lossOfConnectReason 6", "established mme7.epc.test", "waiting, wanted: latency 10 min"):
        browser.until_text(text)
    card = browser.script("return [...document.querySelectorAll('section')].find(each => each.querySelector('h2').textContent === 'Network').innerText")
    assert "TDA" not in card  # deliveries are in the timeline and the tickets


def test_a_twin_that_nobody_asks_for_says_so(browser, host):
    sign_in(browser, host, PAGE)
    browser.until_text("No application watches, triggers or configures this device over T8.")
    browser.until_text("The network has said nothing of this device yet.")


def test_a_refused_write_shows_the_reasons(browser, host):
    sign_in(browser, host, PAGE)
    browser.type("#set-limit", "30")
    browser.until_text("Mailbox empty")
    browser.script(
        "const send = window.fetch; window.fetch = (path, options) => send(path, options?.method === 'PUT' ? {...options, body: '{\"value\": \"x\"}'} : options)"
    )
    browser.click("#set-limit ~ button")
    browser.until_text("limit: not a number")
    assert host.twins[TWIN].tickets == {}


def test_an_action_is_called_with_its_input(browser, host):
    sign_in(browser, host, PAGE)
    browser.type("#call-blink-seconds", "7")
    browser.click("#call-blink-seconds ~ button")
    browser.until_text("ticket 1")
    assert [ticket["value"] for ticket in host.twins[TWIN].tickets.values()] == [{"seconds": 7}]


def test_a_query_shows_rows_and_points_at_a_mistake(browser, host):
    sign_in(browser, host, "/console/#/query")
    browser.type("#sql", "select count(*) as twins from thermo")
    browser.click("form.sql button")
    browser.until_text("1 row,")
    browser.type("#sql", "select id frm thermo")
    browser.click("form.sql button")
    browser.until_text("syntax error")
    place = browser.script("return document.querySelector('pre.place').textContent").splitlines()
    assert place[1].index("^") == place[0].index("thermo")


def test_the_host_page_shows_peers_images_and_dead_letters(browser, host):
    sign_in(browser, host, "/console/#/host")
    for text in ("mme.dromio.test", "acme/thermo", "out of bounds memory access", "20 MiB"):
        browser.until_text(text)


def stop(kind, reason="INC-4711", by="operator", **what):
    return {"stop": kind, **what, "reason": reason, "by": by, "since": "2026-11-23T08:00:00.000Z"}


BANNER = "document.querySelector('#stops')"


def test_what_is_stopped_is_told_on_every_page_and_why_on_the_hosts(browser, host):
    host.stops = [stop("code", "all of it"), stop("domain", domain="acme.example"), stop("application", application="as1"),
                  stop("image", "32 twins failed with trap", "host", image=DIGEST)]
    sign_in(browser, host)
    for page in ("/console/", PAGE, "/console/#/query", "/console/#/host"):
        browser.go(host.url + page)
        browser.until("document.querySelector('main h1') !== null")
        browser.until(f"!{BANNER}.hidden")
        told = browser.script(f"return {BANNER}.innerText")
        for words in ("All code is stopped", "A domain is stopped", "An image is quarantined", "An application is stopped"):
            assert words in told
    card = "[...document.querySelectorAll('section')].find(each => each.querySelector('h2')?.textContent === 'Stops')"
    browser.until(f"{card}.querySelectorAll('tbody tr').length === 4")
    rows = browser.script(f"return [...{card}.querySelectorAll('tbody tr')].map(each => each.innerText)")
    for row, words in zip(rows, (("All code", "of every image", "an operator", "all of it"), ("Domain", "acme.example", "INC-4711"), ("Application", "as1", "an operator"),
                                 ("Image (quarantine)", DIGEST[:19], "the host itself", "32 twins failed with trap")), strict=True):
        assert [word for word in words if word not in row] == []
    times = browser.script(f"return [...{card}.querySelectorAll('time')].map(each => each.getAttribute('datetime'))")
    assert times == ["2026-11-23T08:00:00.000Z"] * 4
    images = browser.until("[...document.querySelectorAll('section')].find(each => each.querySelector('h2')?.textContent === 'Images')?.innerText")
    assert "quarantined" in images and "by the host itself" in images and "32 twins failed with trap" in images
    with host.lock:
        host.stops = []
    browser.until(f"{BANNER}.hidden")
    browser.until_text("None: everything may run.")


def test_an_application_sees_that_something_is_stopped_but_not_what(browser, host):
    host.applications["as1"] = {"id": "as1", "domains": ["acme.example"], "scopes": ["read"], "token": "of-an-application"}
    host.stops = [stop("domain", domain="secret.example")]
    browser.go(host.url + "/console/")
    assert browser.script(f"return {BANNER}.hidden")  # nobody is signed in
    browser.type("#token", "of-an-application")
    browser.click("button[type=submit]")
    browser.until_text("A domain is stopped")
    browser.go(host.url + "/console/#/host")
    browser.until_text("Only for the administrator.")
    assert "secret.example" not in browser.text()
    browser.click("#leave")
    browser.until(f"{BANNER}.hidden")


def test_a_twin_that_is_set_aside_or_on_probation_says_so_while_it_is(browser, host):
    sign_in(browser, host, PAGE)
    browser.until_text("Mailbox empty")
    assert browser.script("return document.querySelectorAll('.aside').length") == 0
    with host.lock:
        host.twins[TWIN].aside = {"penalty": {"until": rfc3339(time.time() + 3600), "times": 3, "reason": "out_of_bounds"},
                                  "probation": {"until": rfc3339(time.time() + 7200)}}
    browser.until("document.querySelectorAll('.aside').length === 2")
    penalty, probation = browser.script("return [...document.querySelectorAll('.aside')].map(each => each.innerText)")
    release = f"dromio twin release {TWIN}"
    assert [words for words in ("Set aside until", "out of bounds; 3 times in a row now", release) if words not in penalty] == []
    assert [words for words in ("On probation until", "its deadline", release) if words not in probation] == []
    with host.lock:
        host.twins[TWIN].aside = {}
    browser.until("document.querySelectorAll('.aside').length === 0")


def test_a_refusal_because_of_a_stop_is_no_reason_to_try_again(browser, host):
    sign_in(browser, host, "/console/#/query")
    browser.type("#sql", "select 1")
    host.answer_next.append(Problem(503, "Service Unavailable", "all code is stopped", type="stopped"))
    browser.click("form.sql button")
    browser.until_text("may not run now")
    assert "Try again in a moment" not in browser.text()


def test_the_host_page_shows_how_far_charging_is(browser, host):
    sign_in(browser, host, "/console/#/host")
    browser.until_text("No charging records are written")
    host.charging = {"enabled": True, "state": "failed", "records": 685, "backlog_bytes": 5000, "gaps": 0, "failures": 1, "error": "x",
                     "files": [{"name": "charging-0000000001-20261123T081659Z.jsonl", "bytes": 209567}]}
    browser.until_text("charging-0000000001-20261123T081659Z.jsonl")
    browser.until_text("failed")
    browser.until_text("5 KiB")


def test_markup_from_outside_stays_text(browser, host):
    evil = "<img src=x onerror=document.title='owned'><b id=evil>"
    with host.lock:
        host.twins[TWIN].tags["site"] = evil
        host.twins[TWIN].events[0].update(log=[evil], outcome=f"trap: {evil}")
        host.dead_letters[0].update(reason=evil, frame=evil, id=evil)
        host.stops = [stop("image", evil, image=DIGEST), stop("domain", evil, domain=evil)]
        host.twins[TWIN].aside = {"penalty": {"until": rfc3339(), "times": 1, "reason": evil}}
    sign_in(browser, host)
    for page in ("/console/", PAGE, "/console/#/host"):
        browser.go(host.url + page)
        browser.until_text("onerror")
        assert browser.script("return document.querySelector('#evil') === null && !document.title.includes('owned')")


def test_every_page_keeps_the_content_security_policy(browser, host):
    sign_in(browser, host)
    browser.complaints()
    for page, text in (
        ("/console/#/", TWIN),
        (PAGE, "uplink"),
        ("/console/#/query", "Examples"),
        ("/console/#/host", "mme.dromio.test"),
        ("/console/#/nowhere", "no such page"),
    ):
        browser.go(host.url + page)
        browser.until_text(text)
    assert browser.complaints() == []


def test_a_lost_host_shows_and_comes_back_without_a_reload(browser, host):
    host.cut_stream_after = 1
    sign_in(browser, host)
    host.answer_next.append(Problem(503, "Service Unavailable", "too much to do"))
    with host.lock:
        host.uplink(host.twins[TWIN], 30.5)
    browser.until_text("30.5 °C")
    browser.until("document.querySelector('#stream').className === 'stream live'")


def test_every_field_has_a_name_and_the_pages_work_on_a_phone(browser, host):
    sign_in(browser, host, PAGE)
    browser.until_text("Mailbox empty")
    unnamed = (
        "[...document.querySelectorAll('input,select,textarea')].filter((each) => each.labels.length === 0).length"
    )
    assert browser.script(f"return {unnamed}") == 0
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.ask("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": phone})
    try:
        for page in (PAGE, "/console/", "/console/#/host", "/console/#/query"):
            browser.go(host.url + page)
            browser.until("document.querySelector('main h1') !== null")
            assert browser.script("return document.documentElement.scrollWidth <= 390")
    finally:
        browser.ask("POST", "/goog/cdp/execute", {"cmd": "Emulation.clearDeviceMetricsOverride", "params": {}})


def test_a_twin_that_is_not_there_is_told_and_nothing_is_shown_of_it(browser, host):
    sign_in(browser, host)
    browser.type("#id", "nobody@acme.example")
    browser.click("form.filter button[type=submit]")
    browser.find(".failure")
    assert browser.script("return [...document.querySelectorAll('h2')].map(each => each.textContent)") == []
    browser.go(host.url + PAGE)
    browser.until_text("Timeline")
