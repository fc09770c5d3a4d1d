"""Non-IP data delivery: T8 (TS 29.122, 4.4.5 and 5.6) on one side, T6a on the other."""
import datetime
import itertools

import pytest
from host import Client, Host, thermo_reading, until
from mme import Mme, avp, is_asleep, V3GPP
from sink import Sink
from t8 import CALLBACKS, b64, path_of

SETTINGS = (CALLBACKS,)

ASLEEP = is_asleep()
paths = itertools.count(1)
TWIN_NOTICES_MAX = 32  # src/core/limits.h


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["nidd"])


class Nidd:
    """A configuration of an application for one device."""

    base = "/3gpp-nidd/v1/as1/configurations"

    def __init__(self, client, sink, device, **members):
        self.client, self.device, self.path = client, device, f"/n{next(paths)}"
        self.sink = sink
        body = {"externalId": device.id, "notificationDestination": sink.link(self.path), **members}
        answer = client.post(self.base, body)
        assert answer.status == 201, answer
        self.json = answer.json()
        self.location = answer.headers["Location"]
        self.at = path_of(self.location)

    def told(self):
        return self.sink.taken(self.path)

    def send(self, data, **members):
        return self.client.post(self.at + "/downlink-data-deliveries", {"externalId": self.device.id, "data": b64(data), **members})


@pytest.fixture
def nidd(as1, sink, thermometer):
    def make(**members):
        return Nidd(as1, sink, thermometer(at=members.pop("at")) if "at" in members else thermometer(), **members)
    return make


def test_a_configuration_is_made_shown_and_removed(nidd, as1):
    made = nidd(supportedFeatures="3", mtcProviderId="meters")
    assert made.location.startswith("http://127.0.0.1:") and made.json["self"] == made.location
    assert (made.json["status"], made.json["maximumPacketSize"]) == ("ACTIVE", 1358)
    assert (made.json["externalId"], made.json["mtcProviderId"], made.json["supportedFeatures"]) == (made.device.id, "meters", "0")
    assert as1.get(made.at).json() == made.json
    assert made.json in as1.get(Nidd.base).json()
    assert as1.delete(made.at).status == 204
    assert as1.get(made.at).status == 404 and as1.delete(made.at).status == 404


def test_an_uplink_reaches_the_application_as_it_came(nidd):
    made = nidd()
    frame = thermo_reading(1, 21.4)
    made.device.uplink(frame)
    until(made.told, "a notification")
    assert made.told() == [{"niddConfiguration": made.location, "externalId": made.device.id, "data": b64(frame)}]
    assert made.device["temperature"] == 21.4  # the twin has it too


def test_notifications_of_a_device_keep_their_order(nidd):
    made = nidd()
    frames = [thermo_reading(n, 10 + n) for n in range(1, 101)]
    for frame in frames:
        made.device.uplink(frame)
    until(lambda: len(made.told()) == 100, "all notifications")
    assert [told["data"] for told in made.told()] == [b64(frame) for frame in frames]


def test_what_the_twin_does_not_know_is_told_too(nidd):
    made = nidd()
    made.device.uplink(b"\xff what is this")
    until(made.told, "a notification")
    assert made.told()[0]["data"] == b64(b"\xff what is this")


def test_a_test_notification_comes_where_it_was_asked_for(nidd):
    made = nidd(requestTestNotification=True)
    until(made.told, "a test notification")
    assert made.told() == [{"subscription": made.location}]


def test_a_connected_device_gets_a_downlink_at_once(nidd, mme):
    made = nidd()
    mme.on_downlink = lambda downlink: [avp(268, 2001), avp(4321, 1, V3GPP, m=False)]
    answer = made.send(b"hello")
    assert answer.status == 200, answer
    assert answer.json()["deliveryStatus"] == "SUCCESS_NEXT_HOP_ACKNOWLEDGED"
    downlink = mme.downlinks.get(timeout=20)
    assert (downlink.data, downlink.imsi) == (b"hello", made.device.imsi)
    mme.on_downlink = lambda downlink: 2001
    assert made.send(b"again").json()["deliveryStatus"] == "SUCCESS_NEXT_HOP_UNACKNOWLEDGED"
    assert made.told() == []  # who was answered is not told again


def test_a_sleeping_device_gets_it_when_it_is_reachable(nidd, mme):
    made = nidd()
    mme.on_downlink = lambda downlink: ASLEEP
    answer = made.send(b"later")
    assert answer.status == 201, answer
    assert answer.json()["deliveryStatus"] == "BUFFERING_TEMPORARILY_NOT_REACHABLE"
    at = answer.headers["Location"]
    at = path_of(at)
    assert made.client.get(at).json()["data"] == b64(b"later")
    assert made.client.get(made.at).json()["niddDownlinkDataTransfers"][0]["self"] == answer.headers["Location"]
    mme.on_downlink = lambda downlink: 2001
    made.device.uplink(thermo_reading(1))
    until(lambda: len(made.told()) == 2, "both notifications")
    told = [notice for notice in made.told() if "niddDownlinkDataTransfer" in notice]
    assert told == [{"niddDownlinkDataTransfer": answer.headers["Location"], "deliveryStatus": "SUCCESS_NEXT_HOP_UNACKNOWLEDGED"}]
    assert made.client.get(at).json()["deliveryStatus"] == "SUCCESS_NEXT_HOP_UNACKNOWLEDGED"


def test_the_retransmission_time_is_passed_on(nidd, mme):
    made = nidd()
    when = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).replace(microsecond=0)
    mme.on_downlink = lambda downlink: is_asleep(when)
    answer = made.send(b"later").json()
    assert datetime.datetime.fromisoformat(answer["requestedRetransmissionTime"].replace("Z", "+00:00")) == when


def test_a_higher_priority_leaves_first(real, as1, sink, names):
    with Mme(real, "mme2.epc.test") as mme:
        from conftest import Thermometer
        name, imsi = next(names)
        device = Thermometer(real, None, name, imsi)
        made = Nidd(as1, sink, device)
        for data, priority in ((b"low", 1), (b"high", 9), (b"middle", 5), (b"high too", 9)):
            answer = made.send(data, priority=priority)
            assert (answer.status, answer.json()["deliveryStatus"]) == (201, "BUFFERING")
        mme.attach(imsi)
        assert [mme.downlinks.get(timeout=20).data for _ in range(4)] == [b"high", b"high too", b"middle", b"low"]


def test_what_waits_can_be_replaced_and_cancelled(real, as1, sink, names):
    from conftest import Thermometer
    name, imsi = next(names)
    made = Nidd(as1, sink, Thermometer(real, None, name, imsi))
    first, second, third = (path_of(made.send(data)) for data in (b"one", b"two", b"three"))
    assert as1.put(first, {"externalId": name, "data": b64(b"uno")}).status in (200, 201)
    assert as1.request("PATCH", third, {"data": b64(b"tres"), "priority": 7}, Content_Type="application/json").status in (200, 201)
    assert as1.delete(second).status == 204
    assert as1.get(second).status == 404
    with Mme(real, "mme3.epc.test") as mme:
        mme.attach(imsi)
        assert [mme.downlinks.get(timeout=20).data for _ in range(2)] == [b"tres", b"uno"]
        until(lambda: as1.get(first).json()["deliveryStatus"].startswith("SUCCESS"), "its delivery")
        assert as1.delete(first).status == 404  # it has ended
        assert mme.downlinks.empty()


def test_what_is_being_sent_cannot_be_changed(nidd, mme):
    made = nidd()
    mme.on_downlink = lambda downlink: None  # no answer
    answer = made.send(b"slow")
    assert (answer.status, answer.json()["deliveryStatus"]) == (201, "SENDING")
    at = path_of(answer)
    assert made.client.delete(at).status == 409
    assert made.client.put(at, {"externalId": made.device.id, "data": b64(b"x")}).status == 409


@pytest.mark.parametrize("option, latency, cause", [("INDICATE_ERROR", None, "PDN_CONNECTION_NOT_ESTABLISHED"),
                                                    (None, 0, "FAILURE_TEMPORARILY_NOT_REACHABLE")])
def test_no_connection_and_no_patience_is_a_failure(real, as1, sink, names, option, latency, cause):
    from conftest import Thermometer
    name, imsi = next(names)
    made = Nidd(as1, sink, Thermometer(real, None, name, imsi))
    members = {key: value for key, value in (("pdnEstablishmentOption", option), ("maximumLatency", latency)) if value is not None}
    answer = made.send(b"now", **members)
    assert (answer.status, answer.json()["problemDetail"]["cause"]) == (500, cause)


def test_a_packet_may_have_1358_bytes_and_no_more(nidd, mme):
    made = nidd()
    assert made.send(bytes(1358)).status == 200
    assert mme.downlinks.get(timeout=20).data == bytes(1358)
    answer = made.send(bytes(1359))
    assert (answer.status, answer.json()["cause"]) == (403, "DATA_TOO_LARGE")


def test_a_body_that_breaks_the_schema_is_400_and_names_the_member(nidd, as1, sink):
    made = nidd()
    good = {"externalId": made.device.id, "notificationDestination": sink.link()}
    for change, member in (({"externalId": "nobody"}, "/externalId"), ({"notificationDestination": "ftp://x/"}, "/notificationDestination"),
                           ({"notificationDestination": "http://as.example:65536/"}, "/notificationDestination"),
                           ({"notificationDestination": "http://as.example/\u00fc"}, "/notificationDestination"),
                           ({"duration": "tomorrow"}, "/duration"), ({"duration": "2020-01-01T00:00:00Z"}, "/duration"), ({"msisdn": "491234567"}, ""),
                           ({"pdnEstablishmentOption": "MAYBE"}, "/pdnEstablishmentOption"), ({"rdsPorts": []}, "/rdsPorts"),
                           ({"reliableDataService": 1}, "/reliableDataService"), ({"supportedFeatures": "xyz"}, "/supportedFeatures")):
        answer = as1.post(Nidd.base, {**good, **change})
        assert answer.status == 400, (change, answer)
        assert answer.headers["Content-Type"] == "application/problem+json"
        if member:
            assert [each["param"] for each in answer.json()["invalidParams"]] == [member] and answer.json()["detail"].startswith(member[1:] + " must ")
    answer = as1.request("PATCH", made.at, {"duration": "2020-01-01T00:00:00Z"}, Content_Type="application/merge-patch+json")
    assert answer.status == 400 and [each["param"] for each in answer.json()["invalidParams"]] == ["/duration"]
    assert "duration" not in as1.get(made.at).json()
    answer = as1.post(Nidd.base, {"externalId": made.device.id})
    assert (answer.status, answer.json()["title"], answer.json()["detail"]) == (400, "Bad Request", "notificationDestination is missing")
    assert as1.get(made.at + "/nothing").json()["title"] == "Not Found"
    assert as1.get(Nidd.base + "/0000000000000000").json()["title"] == "Not Found"
    assert as1.post(Nidd.base, b"{", Content_Type="application/json").status == 400
    answer = as1.post(made.at + "/downlink-data-deliveries", {"externalId": made.device.id, "data": "&"})
    assert answer.status == 400 and [each["param"] for each in answer.json()["invalidParams"]] == ["/data"]


def test_members_of_a_later_release_are_passed_over(nidd):
    assert nidd(somethingNew={"a": 1}).json["status"] == "ACTIVE"


def test_unknown_devices_and_foreign_configurations_are_not_there(real, nidd, as1, sink):
    made = nidd()
    answer = as1.post(Nidd.base, {"externalId": "nobody@acme.example", "notificationDestination": sink.link()})
    assert (answer.status, answer.json()["cause"]) == (404, "USER_UNKNOWN")
    other = real.application("as2", ["acme.example"], ["nidd"])
    assert other.get(made.at).status == 403                                        # under another's name
    assert other.get(made.at.replace("/as1/", "/as2/")).status == 404               # under its own: not there
    foreign = real.application("as3", ["other.example"], ["nidd"])
    answer = foreign.post("/3gpp-nidd/v1/as3/configurations", {"externalId": made.device.id, "notificationDestination": sink.link()})
    assert answer.status == 404
    reader = real.application("as4", ["acme.example"], ["read"])
    assert reader.get("/3gpp-nidd/v1/as4/configurations").status == 403
    assert Client(real.http_port, None).get(made.at).status == 401


def test_several_applications_hear_one_device_and_one_owns_its_downlinks(real, nidd, sink):
    made = nidd()
    other = real.application("as5", ["acme.example"], ["nidd"])
    answer = other.post("/3gpp-nidd/v1/as5/configurations", {"externalId": made.device.id, "notificationDestination": sink.link("/as5")})
    assert answer.status == 201
    at = answer.headers["Location"]
    frame = thermo_reading(1)
    made.device.uplink(frame)
    until(lambda: made.told() and sink.taken("/as5"), "both notifications")
    assert sink.taken("/as5") == [{"niddConfiguration": at, "externalId": made.device.id, "data": b64(frame)}]
    answer = other.post(path_of(at) + "/downlink-data-deliveries", {"externalId": made.device.id, "data": b64(b"mine")})
    assert answer.status == 403


def test_an_alias_and_a_number_name_the_device_too(real, as1, sink, thermometer):
    device = thermometer(aliases=["pump7@acme.example"], msisdn="491700000001")
    by_alias, by_number = f"/n{next(paths)}", f"/n{next(paths)}"
    assert as1.post(Nidd.base, {"externalId": "pump7@acme.example", "notificationDestination": sink.link(by_alias)}).status == 201
    assert as1.post(Nidd.base, {"msisdn": "491700000001", "notificationDestination": sink.link(by_number)}).status == 201
    device.uplink(thermo_reading(1))
    until(lambda: sink.taken(by_alias) and sink.taken(by_number), "both notifications")
    assert sink.taken(by_alias)[0]["externalId"] == "pump7@acme.example"
    assert sink.taken(by_number)[0]["msisdn"] == "491700000001" and "externalId" not in sink.taken(by_number)[0]


def test_a_patch_changes_and_removes_members(nidd, sink):
    made = nidd(duration="2099-01-01T00:00:00Z", reliableDataService=False)
    elsewhere = f"/n{next(paths)}"
    answer = made.client.request("PATCH", made.at, {"duration": None, "notificationDestination": sink.link(elsewhere)},
                                 Content_Type="application/merge-patch+json")
    assert answer.status == 200 and "duration" not in answer.json() and answer.json()["reliableDataService"] is False
    made.device.uplink(thermo_reading(1))
    until(lambda: sink.taken(elsewhere), "a notification there")
    assert made.told() == []


def test_a_configuration_ends_at_its_time(nidd):
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)
    made = nidd(duration=end.isoformat())
    until(made.told, "the notification of its end")
    assert made.told() == [{"niddConfiguration": made.location, "externalId": made.device.id, "status": "TERMINATED"}]
    assert made.client.get(made.at).json()["status"] == "TERMINATED"
    made.device.uplink(thermo_reading(1))
    assert made.device["readings"] == 1 and len(made.told()) == 1
    assert made.send(b"x").status == 403


def test_a_refusing_destination_loses_only_what_it_refuses(nidd, sink):
    made = nidd()
    sink.status = lambda path: 400 if path == made.path else 204
    made.device.uplink(thermo_reading(1))
    until(lambda: any(path == made.path for path, *_ in sink.notices), "the refused one")
    until(lambda: made.device.host.metric("dromio_notices_refused_total") >= 1, "its count")
    sink.status = 204
    made.device.uplink(thermo_reading(2))
    until(made.told, "the next")
    assert [told["data"] for told in made.told()] == [b64(thermo_reading(2))]


def test_redirects_are_not_followed(nidd, sink):
    made = nidd()
    sink.status = lambda path: 302 if path == made.path else 204
    made.device.uplink(thermo_reading(1))
    until(lambda: any(path == made.path for path, *_ in sink.notices), "the first try")
    until(lambda: sum(path == made.path for path, *_ in sink.notices) >= 2, "a second one")  # a failure: tried again there
    assert sink.taken("/moved") == []
    sink.status = 204
    until(made.told, "it in the end")


def test_private_addresses_are_not_reached_unless_allowed(tmp_path, names):
    with Sink() as sink, Host() as host, Mme(host) as mme:
        from conftest import Thermometer
        client = host.application("as1", ["acme.example"], ["nidd"])
        made = Nidd(client, sink, Thermometer(host, mme, *next(names)))
        made.device.uplink(thermo_reading(1))
        until(lambda: host.metric("dromio_notices_refused_total") == 1, "its refusal")
        assert sink.notices == []


HIDDEN = ("127.0.0.1", "localhost", "2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "127.1", "0", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]",
          "[::ffff:7f00:1]", "[::127.0.0.1]", "[0:0:0:0:0:0:0:1]", "[64:ff9b::7f00:1]", "x@127.0.0.1", "1%327.0.0.1", "\u2460\u2461\u2466.0.0.1")
NEVER = ("169.254.169.254", "[fd00::1]", "[fd00:ec2::254]", "[fe80::1]", "[fe80::1%25lo]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "[::ffff:169.254.169.254]",
         "2852039166", "0xa9fea9fe", "[ff02::1]", "224.0.0.1", "255.255.255.255")


def test_no_way_of_writing_it_leads_to_an_address_inside(names):
    """Judged is the address that is connected to, after names and numbers were read: so a name that changes its mind is judged too."""
    with Sink() as sink, Host() as host, Mme(host) as mme:
        from conftest import Thermometer
        client = host.application("as1", ["acme.example"], ["nidd"])
        made = 0
        device = Thermometer(host, mme, *next(names))

        def refused():  # or no address at all
            return host.metric("dromio_notices_refused_total") + host.metric("dromio_notices_failed_total")
        for n, place in enumerate(HIDDEN + NEVER):
            link = f"http://{place}:{sink.port}/n{n}"
            answer = client.post(Nidd.base, {"externalId": device.id, "notificationDestination": link})
            if answer.status == 201:
                made, before = made + 1, refused()
                device.uplink(thermo_reading(n + 1))
                until(lambda: refused() > before, f"the refusal of {link}")
                assert client.delete("/3gpp-nidd" + answer.headers["Location"].split("/3gpp-nidd")[1]).status == 204
            else:
                assert answer.status == 400, (link, answer)  # no link at all
        assert made > 20 and sink.notices == [] and host.metric("dromio_notices_refused_total") > 20


@pytest.mark.parametrize("link", ["file:///etc/passwd", "gopher://127.0.0.1/x", "unix:///run/x", "ftp://127.0.0.1/", "http:/x", "//127.0.0.1/", "javascript:1", "http://"])
def test_only_http_is_a_destination(nidd, as1, thermometer, link):
    answer = as1.post(Nidd.base, {"externalId": thermometer().id, "notificationDestination": link})
    assert answer.status == 400, answer


def test_a_proxy_of_the_environment_is_not_asked(names, monkeypatch):
    with Sink() as proxy, Sink() as sink:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        with Host('t8.allow_callbacks=["127.0.0.0/8"]') as host, Mme(host) as mme:
            from conftest import Thermometer
            made = Nidd(host.application("as1", ["acme.example"], ["nidd"]), sink, Thermometer(host, mme, *next(names)))
            made.device.uplink(thermo_reading(1))
            until(made.told, "the notification")
            assert proxy.notices == []


def test_a_dead_destination_costs_a_bounded_place(names):
    """TWIN_NOTICES_MAX for a device: the oldest goes, the newest arrive once it is back."""
    with Host('t8.allow_callbacks=["127.0.0.0/8"]') as host, Sink() as sink, Mme(host) as mme:
        from conftest import Thermometer
        sink.status = 503
        client = host.application("as1", ["acme.example"], ["nidd"])
        over_http = Nidd(client, sink, Thermometer(host, mme, *next(names)))
        over_websocket = Nidd(client, sink, Thermometer(host, mme, *next(names)), websockNotifConfig={"requestWebsocketUri": True}, supportedFeatures="2")
        for n in range(100):
            over_http.device.uplink(thermo_reading(n + 1))
            over_websocket.device.uplink(thermo_reading(n + 1))  # nobody is connected
        until(lambda: host.metric("dromio_notices_failed_total") >= 2, "a second try")
        assert host.metric("dromio_notices_waiting") == 2 * TWIN_NOTICES_MAX
        assert host.metric("dromio_notices_dropped_total") == 2 * (100 - TWIN_NOTICES_MAX)
        sink.status = 204
        until(lambda: host.metric("dromio_notices_waiting") == TWIN_NOTICES_MAX, "that all of it is taken")
        frames = list(dict.fromkeys(told["data"] for told in over_http.told()))
        assert frames == [b64(thermo_reading(n + 1)) for n in range(100 - TWIN_NOTICES_MAX, 100)]


def test_a_dead_destination_gets_all_of_it_later_and_over_a_restart(names):
    with Host(CALLBACKS) as host:
        from conftest import Thermometer
        first = Sink()
        port, path = first.port, "/n1"
        client = host.application("as1", ["acme.example"], ["nidd"])
        with Mme(host) as mme:
            device = Thermometer(host, mme, *next(names))
            answer = client.post(Nidd.base, {"externalId": device.id, "notificationDestination": first.link(path)})
            assert answer.status == 201
            first.close()
            frames = [thermo_reading(n, 20 + n) for n in range(1, 11)]
            for frame in frames[:5]:
                device.uplink(frame)
        host.kill()
        host.start()
        client.close()
        with Mme(host) as mme, Sink(port) as sink:
            device.mme = mme
            for frame in frames[5:]:
                device.uplink(frame)
            until(lambda: len(sink.taken(path)) >= 10, "all of them")
            seen = [told["data"] for told in sink.taken(path)]
            assert list(dict.fromkeys(seen)) == [b64(frame) for frame in frames]
            assert client.get(Nidd.base).json()[0]["self"] == answer.headers["Location"]
        until(lambda: host.metric("dromio_notices_waiting") == 0, "no notice waiting")


def test_a_buffered_downlink_survives_a_kill(names):
    with Host(CALLBACKS) as host, Sink() as sink:
        from conftest import Thermometer
        client = host.application("as1", ["acme.example"], ["nidd"])
        name, imsi = next(names)
        made = Nidd(client, sink, Thermometer(host, None, name, imsi))
        answer = made.send(b"kept", priority=3)
        assert answer.status == 201
        host.kill()
        host.start()
        client.close()
        with Mme(host) as mme:
            mme.attach(imsi)
            assert mme.downlinks.get(timeout=20).data == b"kept"
            until(made.told, "its delivery status")
            assert made.told()[0]["niddDownlinkDataTransfer"] == answer.headers["Location"]


def test_a_first_downlink_comes_with_the_configuration(as1, sink, thermometer, mme):
    device = thermometer()
    answer = as1.post(Nidd.base, {"externalId": device.id, "notificationDestination": sink.link(),
                                  "niddDownlinkDataTransfers": [{"externalId": device.id, "data": b64(b"first")}]})
    assert answer.status == 201, answer
    assert mme.downlinks.get(timeout=20).data == b"first"


def test_a_first_downlink_is_as_good_as_any_other_or_there_is_no_configuration(real, as1, sink, thermometer):
    device, other = thermometer(), thermometer()
    for change, status in (({"externalId": other.id}, 0), ({"externalId": "nobody@acme.example"}, 404), ({"data": ""}, 400),
                           ({"data": b64(bytes(1359))}, 403)):
        first = {"externalId": device.id, "data": b64(b"first"), **change}
        answer = as1.post(Nidd.base, {"externalId": device.id, "notificationDestination": sink.link(), "niddDownlinkDataTransfers": [first]})
        assert answer.status == status or (status == 0 and answer.status in (400, 404)), (change, answer)  # 404: of another core
    assert device.id not in [each.get("externalId") for each in as1.get(Nidd.base).json()]


@pytest.mark.parametrize("outer, inner, cause", [
    ({}, {"pdnEstablishmentOption": "INDICATE_ERROR"}, "PDN_CONNECTION_NOT_ESTABLISHED"),
    ({"pdnEstablishmentOption": "INDICATE_ERROR"}, {}, "PDN_CONNECTION_NOT_ESTABLISHED"),
    ({"pdnEstablishmentOption": "INDICATE_ERROR"}, {"pdnEstablishmentOption": "WAIT_FOR_UE"}, None),
    ({}, {"maximumLatency": 0}, "FAILURE_TEMPORARILY_NOT_REACHABLE"), ({}, {"maximumLatency": 60}, None)])
def test_a_first_downlink_fails_as_one_of_its_own_would(real, as1, sink, names, outer, inner, cause):
    from conftest import Thermometer
    name, imsi = next(names)
    device = Thermometer(real, None, name, imsi)  # it never connected
    answer = as1.post(Nidd.base, {"externalId": device.id, "notificationDestination": sink.link(), **outer,
                                  "niddDownlinkDataTransfers": [{"externalId": device.id, "data": b64(b"first"), **inner}]})
    if cause is None:
        assert answer.status == 201, answer
        assert answer.json()["niddDownlinkDataTransfers"][0]["deliveryStatus"] == "BUFFERING"
    else:
        assert (answer.status, answer.json()["cause"]) == (500, cause)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert device.id not in [each.get("externalId") for each in as1.get(Nidd.base).json()]


def test_a_first_downlink_does_not_pass_the_one_who_owns_them(real, nidd, sink):
    made = nidd()
    other = real.application("as6", ["acme.example"], ["nidd"])
    body = {"externalId": made.device.id, "notificationDestination": sink.link("/as6"),
            "niddDownlinkDataTransfers": [{"externalId": made.device.id, "data": b64(b"mine")}]}
    answer = other.post("/3gpp-nidd/v1/as6/configurations", body)
    assert (answer.status, answer.json()["cause"]) == (403, "OPERATION_NOT_ALLOWED")
    assert other.get("/3gpp-nidd/v1/as6/configurations").json() == []


def test_what_replaces_a_downlink_is_for_the_same_device(real, as1, sink, names, thermometer):
    from conftest import Thermometer
    name, imsi = next(names)
    made, other = Nidd(as1, sink, Thermometer(real, None, name, imsi)), thermometer()
    at = (sent := made.send(b"waits")).headers["Location"]
    at = path_of(at)
    for body in ({"externalId": other.id}, {"externalId": "nobody@acme.example"}, {"externalGroupId": name}):
        assert as1.put(at, {**body, "data": b64(b"x")}).status in (400, 404), body
    assert as1.get(at).json() == sent.json()


def test_what_an_application_configured_goes_with_it(real, mme, names, sink, thermometer):
    """Else nobody could delete it, and it would own its devices' downlinks for ever. Over a crash too."""
    first, other = (real.application(name, ["acme.example"], ["nidd"]) for name in ("goes", "stays"))
    devices = [thermometer() for _ in range(100)]
    mme.on_downlink = lambda downlink: is_asleep()

    def make(client, name, device):
        answer = client.post(f"/3gpp-nidd/v1/{name}/configurations", {"externalId": device.id, "notificationDestination": sink.link(f"/{name}")})
        assert answer.status == 201, answer
        return path_of(answer.json()["self"]) + "/downlink-data-deliveries"

    for device in devices:
        assert first.post(make(first, "goes", device), {"externalId": device.id, "data": b64(b"gone")}).status == 201
    stays = [make(other, "stays", device) for device in devices]
    assert other.post(stays[0], {"externalId": devices[0].id, "data": b64(b"x")}).status == 403
    assert real.admin.delete("/v1/applications/goes").status == 204
    until(lambda: all(real.admin.twin(device.id)["mailbox"] == 0 for device in devices), "empty mailboxes")
    real.kill()
    real.start()
    other.close()
    again = real.application("goes", ["acme.example"], ["nidd"])
    assert again.get("/3gpp-nidd/v1/goes/configurations").json() == []
    for at, device in zip(stays, devices):
        answer = other.post(at, {"externalId": device.id, "data": b64(b"x")})
        assert answer.status in (200, 201), answer


def test_a_list_is_of_the_application_alone_and_as_long_as_it_is(real, names, sink):
    """More than fits into one message or page; none twice, none missing, also when some go and one changes."""
    many, few = real.application("many", ["acme.example"], ["nidd"]), real.application("few", ["acme.example"], ["nidd"])
    twins = [next(names) for _ in range(60)]
    for name, imsi in twins:
        real.admin.put_twin(name, imsi=imsi)
    made = []
    for number in range(720):
        body = {"externalId": twins[number % 60][0], "notificationDestination": sink.link(f"/many/{number}/" + "x" * 400)}
        answer = many.post("/3gpp-nidd/v1/many/configurations", body)
        assert answer.status == 201, answer
        made.append(answer.json())
    assert few.post("/3gpp-nidd/v1/few/configurations", {"externalId": twins[0][0], "notificationDestination": sink.link("/few")}).status == 201

    def listed():
        answer = many.get("/3gpp-nidd/v1/many/configurations")
        assert answer.status == 200 and len(answer.body) > 256 * 1024, answer.status
        found = {one["self"]: one for one in answer.json()}
        assert len(found) == len(answer.json())
        return found

    assert listed() == {one["self"]: one for one in made}
    for gone in made[::7]:
        assert many.delete(path_of(gone["self"])).status == 204
    left = [one for number, one in enumerate(made) if number % 7]
    at = path_of(left[3]["self"])
    left[3] = many.request("PATCH", at, {"notificationDestination": sink.link("/changed")}).json()
    assert listed() == {one["self"]: one for one in left}
    assert len(few.get("/3gpp-nidd/v1/few/configurations").json()) == 1
    assert many.request("HEAD", "/3gpp-nidd/v1/many/configurations").status == 200
    real.kill()
    real.start()
    assert listed() == {one["self"]: one for one in left}
