"""Commands through the whole host: tickets, the mailbox, contacts, and the device that answers or sleeps."""
import datetime
import threading
import time

import pytest
from host import Host, thermo_period, thermo_reading, until
from mme import Mme, is_asleep, result_of

ASLEEP = is_asleep()


def at(seconds):
    return datetime.datetime.fromtimestamp(time.time() + seconds, datetime.timezone.utc)


def period_frame(period):
    return b"\x81" + period.to_bytes(2, "big")


def state(device, ticket):
    return device.host.admin.ticket(device.id, ticket["ticket"])["state"]


@pytest.fixture
def sleeper(thermometer, mme):
    """A connected device whose MME says 5653."""
    mme.on_downlink = lambda downlink: ASLEEP
    return thermometer()


# ---- a connected device ----

def test_a_connected_device_gets_a_command_at_once(mme, thermometer):
    device = thermometer()
    ticket = device.write("period", 600)
    assert set(ticket) == {"ticket", "state", "property", "value", "time", "next", "reason"}
    assert (ticket["property"], ticket["value"]) == ("period", 600) and ticket["state"] in ("pending", "sent")
    downlink = mme.downlinks.get(timeout=20)
    assert (downlink.data, downlink.imsi, downlink.bearer) == (period_frame(600), device.imsi, b"\x05")
    device.ticket_is(ticket, "delivered")
    assert device["period"] is None and device.property("period")["desired"]["state"] == "delivered"
    device.uplink(thermo_period(600))
    device.ticket_is(ticket, "reported")
    shown = device.property("period")
    assert (shown["value"], shown["source"], shown["desired"]["state"], shown["desired"]["value"]) == (600, "device", "reported", 600)
    assert device.host.admin.twin(device.id)["mailbox"] == 0


def test_the_downlink_says_how_long_it_may_be_tried(mme, thermometer):
    from mme import find
    device = thermometer()
    device.write("period", 600)
    message = mme.downlinks.get(timeout=20).message
    assert find(message, 4316) is not None and find(message, 3330) is not None  # SCEF-Wait-Time, Maximum-Retransmission-Time
    assert find(message, 293) == b"mme1.epc.test" and find(message, 283) == b"epc.test"


def test_sent_until_the_mme_answers(mme, thermometer):
    go = threading.Event()
    mme.on_downlink = lambda downlink: go.wait(20) and 2001
    device = thermometer()
    ticket = device.write("period", 600)
    device.ticket_is(ticket, "sent")
    assert device.property("period")["desired"]["state"] == "sent"
    go.set()
    device.ticket_is(ticket, "delivered")


def test_blink(mme, thermometer):
    device = thermometer()
    answer = device.host.admin.post(f"/v1/twins/{device.id}/actions/blink", {"seconds": 7})
    assert answer.status == 202 and answer.json()["action"] == "blink" and answer.json()["value"] == {"seconds": 7}
    assert answer.headers["Location"] == f"/v1/twins/{device.id}/tickets/{answer.json()['ticket']}"
    assert mme.downlinks.get(timeout=20).data == b"\x82\x07"
    device.ticket_is(answer.json(), "delivered")
    assert device.host.admin.twin(device.id)["revision"] == 1  # an action is no write of the twin


def test_limit_is_never_sent(mme, thermometer):
    device = thermometer()
    ticket = device.write("limit", 30.5)
    assert ticket["state"] == "reported" and device["limit"] == 30.5
    assert device.property("limit")["source"] == "application" and mme.downlinks.empty()


def test_an_equal_write_is_reported_at_once(mme, thermometer):
    device = thermometer()
    device.uplink(thermo_period(600))
    ticket = device.write("period", 600)
    assert ticket["state"] == "reported" and mme.downlinks.empty()


def test_an_equal_write_is_not_reported_while_another_is_on_its_way(mme, thermometer):
    device = thermometer()
    device.uplink(thermo_period(600))
    other = device.write("period", 700)
    device.ticket_is(other, "delivered")  # but not confirmed
    ticket = device.write("period", 600)
    assert ticket["state"] != "reported"
    assert [mme.downlinks.get(timeout=20).data for _ in range(2)] == [period_frame(700), period_frame(600)]


def test_failed_when_the_device_confirms_another_value(mme, thermometer):
    device = thermometer()
    ticket = device.write("period", 600)
    device.ticket_is(ticket, "delivered")
    mme.downlinks.get(timeout=20)
    device.uplink(thermo_period(900))
    failed = device.ticket_is(ticket, "failed")
    assert failed["reason"] and device["period"] == 900
    device.uplink(thermo_reading(1))
    assert mme.downlinks.empty() and state(device, ticket) == "failed"  # nothing is sent again


def test_wait_answers_when_it_is_reached(mme, thermometer):
    device = thermometer()
    answer = device.host.admin.write(device.id, "period", 600, "?wait=delivered&timeout=20s")
    assert answer.status == 200 and answer.json()["state"] == "delivered"
    def confirm():
        while mme.downlinks.get(timeout=20).data != period_frame(700):
            pass
        device.uplink(thermo_period(700))
    device_side = threading.Thread(target=confirm)
    device_side.start()
    answer = device.host.admin.write(device.id, "period", 700, "?wait=reported&timeout=20s")
    device_side.join()
    assert answer.status == 200 and answer.json()["state"] == "reported"


def test_wait_is_202_at_the_timeout(sleeper):
    answer = sleeper.host.admin.write(sleeper.id, "period", 600, "?wait=delivered&timeout=200ms")
    if answer.status == 422 or answer.status == 400:
        answer = sleeper.host.admin.write(sleeper.id, "period", 600, "?wait=delivered&timeout=1s")
    assert answer.status == 202 and answer.json()["state"] == "pending"


def test_wait_with_what_it_does_not_know_is_400(thermometer):
    device = thermometer()
    for query in ("?wait=arrived", "?wait=delivered&timeout=soon", "?timeout=-1s", "?wait="):
        assert device.host.admin.write(device.id, "period", 600, query).status == 400, query


# ---- a sleeping one ----

def test_5653_brings_it_back_to_pending_and_nothing_is_tried(mme, sleeper):
    ticket = sleeper.write("period", 600)
    mme.downlinks.get(timeout=20)
    sleeper.ticket_is(ticket, "pending")
    shown = sleeper.host.admin.twin(sleeper.id)
    assert shown["mailbox"] == 1
    sleeper.host.admin.post(f"/v1/twins/{sleeper.id}/actions/blink", {"seconds": 1})
    assert sleeper.host.admin.twin(sleeper.id)["mailbox"] == 2 and mme.downlinks.empty()


def test_an_uplink_is_a_contact_what_waits_leaves_right_after_its_oda(mme, sleeper):
    ticket = sleeper.write("period", 600)
    mme.downlinks.get(timeout=20)
    sleeper.ticket_is(ticket, "pending")
    mme.on_downlink = lambda downlink: 2001
    mme.order.clear()
    sleeper.uplink(thermo_reading(1))
    assert mme.downlinks.get(timeout=20).data == period_frame(600)
    assert [kind for kind, _ in mme.order] == ["answer", "downlink"]
    sleeper.ticket_is(ticket, "delivered")


def test_ue_reachable_flushes(mme, sleeper):
    ticket = sleeper.write("period", 600)
    mme.downlinks.get(timeout=20)
    sleeper.ticket_is(ticket, "pending")
    mme.on_downlink = lambda downlink: 2001
    assert result_of(mme.reachable(sleeper.imsi, at(60))) == 2001
    assert mme.downlinks.get(timeout=20).data == period_frame(600)
    sleeper.ticket_is(ticket, "delivered")
    assert sleeper.host.admin.twin(sleeper.id)["contact"]["why"] == "reachable"


def test_a_requested_retransmission_time_is_kept(mme, thermometer):
    mme.on_downlink = lambda downlink: is_asleep(at(2)) if mme.downlinks.empty() else 2001
    device = thermometer()
    ticket = device.write("period", 600)
    shown = until(lambda: (found := device.host.admin.twin(device.id))["contact"]["why"] == "retransmission_time" and found)
    waiting = device.host.admin.ticket(device.id, ticket["ticket"])
    assert shown["contact"]["next"] is not None
    if waiting["state"] == "pending":
        assert waiting["next"] == shown["contact"]["next"]
    device.ticket_is(ticket, "delivered")  # by itself, without a contact
    assert mme.downlinks.qsize() == 2


def test_a_retransmission_time_far_away_is_not_tried_before(mme, thermometer):
    mme.on_downlink = lambda downlink: is_asleep(at(3600))
    device = thermometer()
    ticket = device.write("period", 600)
    mme.downlinks.get(timeout=20)
    device.ticket_is(ticket, "pending")
    mme.on_downlink = lambda downlink: 2001
    assert mme.downlinks.empty()
    device.uplink(thermo_reading(1))  # a contact comes first
    assert mme.downlinks.get(timeout=20).data == period_frame(600)


def test_a_newer_write_makes_a_pending_one_superseded(mme, sleeper):
    first = sleeper.write("period", 600)
    mme.downlinks.get(timeout=20)
    sleeper.ticket_is(first, "pending")
    second = sleeper.write("period", 700)
    assert state(sleeper, first) == "superseded" and state(sleeper, second) == "pending"
    assert sleeper.host.admin.twin(sleeper.id)["mailbox"] == 1
    assert sleeper.property("period")["desired"]["value"] == 700
    mme.on_downlink = lambda downlink: 2001
    sleeper.uplink(thermo_reading(1))
    assert mme.downlinks.get(timeout=20).data == period_frame(700)
    sleeper.ticket_is(second, "delivered")
    assert mme.downlinks.empty()


def test_a_sent_one_that_finds_a_sleeper_is_superseded_by_a_newer_one(mme, thermometer):
    go = threading.Event()
    mme.on_downlink = lambda downlink: go.wait(20) and ASLEEP
    device = thermometer()
    first = device.write("period", 600)
    device.ticket_is(first, "sent")
    second = device.write("period", 700)
    go.set()
    device.ticket_is(first, "superseded")
    mme.on_downlink = lambda downlink: 2001
    device.uplink(thermo_reading(1))
    device.ticket_is(second, "delivered")


def test_an_unanswered_downlink_waits_again_when_its_peer_goes(real, names):
    name, imsi = next(names)
    real.admin.put_twin(name, imsi=imsi)
    mme = Mme(real, identity="mme8.epc.test", on_downlink=lambda downlink: None).attach(imsi)
    ticket = real.admin.write(name, "period", 600).json()["ticket"]
    mme.downlinks.get(timeout=20)
    real.admin.ticket_is(name, ticket, "sent")
    mme.close()
    real.admin.ticket_is(name, ticket, "pending")
    with Mme(real, identity="mme8.epc.test") as again:
        again.uplink(imsi, thermo_reading(1))
        assert again.downlinks.get(timeout=20).data == period_frame(600)
        real.admin.ticket_is(name, ticket, "delivered")


def test_without_a_connection_it_waits_for_one(real, mme, names):
    name, imsi = next(names)
    real.admin.put_twin(name, imsi=imsi)
    ticket = real.admin.write(name, "period", 600).json()
    assert ticket["state"] == "pending"
    mme.attach(imsi)
    assert mme.downlinks.get(timeout=20).data == period_frame(600)
    real.admin.ticket_is(name, ticket["ticket"], "delivered")


def test_commands_leave_in_order_one_at_a_time(mme, sleeper):
    sleeper.host.admin.post(f"/v1/twins/{sleeper.id}/actions/blink", {"seconds": 1})
    mme.downlinks.get(timeout=20)
    sleeper.write("period", 600)
    for seconds in (2, 3):
        sleeper.host.admin.post(f"/v1/twins/{sleeper.id}/actions/blink", {"seconds": seconds})
    until(lambda: sleeper.host.admin.twin(sleeper.id)["mailbox"] == 4)
    mme.on_downlink = lambda downlink: 2001
    sleeper.uplink(thermo_reading(1))
    assert [mme.downlinks.get(timeout=20).data for _ in range(4)] == [b"\x82\x01", period_frame(600), b"\x82\x02", b"\x82\x03"]
    until(lambda: sleeper.host.admin.twin(sleeper.id)["mailbox"] == 0)


def test_tickets_are_listed(mme, thermometer):
    device = thermometer()
    one, two = device.write("period", 600), device.write("limit", 20)
    found = device.host.admin.get(f"/v1/twins/{device.id}/tickets").json()["tickets"]
    assert {ticket["ticket"] for ticket in found} == {one["ticket"], two["ticket"]}


# ---- too hot ----

def test_too_hot_asks_for_period_60_and_back(mme, thermometer):
    device = thermometer()
    device.uplink(thermo_period(600))
    device.write("limit", 30)
    device.uplink(thermo_reading(1, 30.0))   # not above
    device.uplink(thermo_reading(2, 30.01))
    assert mme.downlinks.get(timeout=20).data == period_frame(60)
    device.uplink(thermo_reading(3, 35.0))   # still hot: nothing more
    device.uplink(thermo_period(60))
    assert device["period"] == 60
    device.uplink(thermo_reading(4, 29.5))   # not below by 1 degree
    assert mme.downlinks.empty()
    device.uplink(thermo_reading(5, 29.0))
    assert mme.downlinks.get(timeout=20).data == period_frame(600)
    assert mme.downlinks.empty()


def test_the_period_of_before_comes_back_even_if_60_was_never_confirmed(mme, thermometer):
    device = thermometer()
    device.write("period", 600)
    assert mme.downlinks.get(timeout=20).data == period_frame(600)
    device.write("limit", 30)
    device.uplink(thermo_reading(1, 31.0))
    assert mme.downlinks.get(timeout=20).data == period_frame(60)
    device.uplink(thermo_reading(2, 20.0))
    assert mme.downlinks.get(timeout=20).data == period_frame(600)


# ---- restarts ----

@pytest.mark.parametrize("how", ["stop", "kill"])
def test_after_a_restart_sent_becomes_pending_and_goes_again(how):
    with Host() as host:
        host.admin.put_twin("r@acme.example", imsi="001010000000088")
        mme = Mme(host, on_downlink=lambda downlink: None).attach("001010000000088")
        ticket = host.admin.write("r@acme.example", "period", 600).json()["ticket"]
        mme.downlinks.get(timeout=20)
        host.admin.ticket_is("r@acme.example", ticket, "sent")
        if how == "kill":
            host.kill()
        else:
            host.stop()
        mme.close()
        host.start()
        assert host.admin.ticket("r@acme.example", ticket)["state"] == "pending"
        assert host.admin.twin("r@acme.example")["mailbox"] == 1
        with Mme(host) as mme:
            mme.uplink("001010000000088", thermo_reading(1))
            assert mme.downlinks.get(timeout=20).data == period_frame(600)  # a second time
            host.admin.ticket_is("r@acme.example", ticket, "delivered")
            mme.uplink("001010000000088", thermo_period(600))
            host.admin.ticket_is("r@acme.example", ticket, "reported")


def test_tickets_and_mail_survive_a_restart():
    with Host() as host:
        imsi, name = "001010000000089", "s@acme.example"
        host.admin.put_twin(name, imsi=imsi)
        with Mme(host, on_downlink=lambda downlink: ASLEEP) as mme:
            mme.attach(imsi)
            old = host.admin.write(name, "period", 600).json()["ticket"]
            mme.downlinks.get(timeout=20)
            host.admin.ticket_is(name, old, "pending")
            new = host.admin.write(name, "period", 700).json()["ticket"]
            host.admin.post(f"/v1/twins/{name}/actions/blink", {"seconds": 9})
        before = host.admin.get(f"/v1/twins/{name}/tickets").json()
        host.kill()
        host.start()
        assert host.admin.get(f"/v1/twins/{name}/tickets").json() == before
        assert host.admin.ticket(name, old)["state"] == "superseded" and host.admin.ticket(name, new)["state"] == "pending"
        with Mme(host) as mme:
            mme.uplink(imsi, thermo_reading(1))
            assert [mme.downlinks.get(timeout=20).data for _ in range(2)] == [period_frame(700), b"\x82\x09"]
