"""Notifications over websocket: TS 29.122 websockNotifConfig, RFC 6455."""
import base64
import itertools
import json
import os
import signal
import struct

import pytest
from conftest import Thermometer
from host import Host, thermo_reading, until
from mme import Mme
from t8 import CALLBACKS, path_of
from websocket import CLOSE, PING, PONG, TEXT, Websocket, frame

SETTINGS = (CALLBACKS, "host.gates=2")

PROTOCOL = "dromio.notifications.v1"
names_of_applications = itertools.count(1)


class Configuration:
    def __init__(self, host, sink, device, **members):
        self.host, self.device, self.sink = host, device, sink
        self.id = f"ws{next(names_of_applications)}"
        self.client = host.application(self.id, ["acme.example"], ["nidd"])
        members.setdefault("websockNotifConfig", {"requestWebsocketUri": True})
        answer = self.client.post(f"/3gpp-nidd/v1/{self.id}/configurations",
                                  {"externalId": device.id, "notificationDestination": sink.link(f"/{self.id}"), **members})
        assert answer.status == 201, answer
        self.json = answer.json()
        self.at = path_of(self.json["self"])

    def connect(self, **more):
        return Websocket(self.host.http_port, self.at + "/websocket", more.pop("token", self.client.token), **more)

    def uplink(self, number):
        self.device.uplink(thermo_reading(number))

    def is_uplink(self, text, number):
        told = json.loads(text)
        assert told == {"niddConfiguration": self.json["self"], "externalId": self.device.id,
                        "data": base64.b64encode(thermo_reading(number)).decode()}


@pytest.fixture
def configuration(real, sink, mme, thermometer):
    return lambda **members: Configuration(real, sink, thermometer(), **members)


def test_the_answer_has_the_uri(configuration):
    made = configuration()
    config = made.json["websockNotifConfig"]
    assert config == {"requestWebsocketUri": True, "websocketUri": made.json["self"].replace("http://", "ws://") + "/websocket"}
    assert made.client.get(made.at).json()["websockNotifConfig"] == config
    assert "websockNotifConfig" not in configuration(websockNotifConfig={"requestWebsocketUri": False}).json


def test_notifications_go_through_it_in_order_and_not_to_the_link(configuration, sink):
    made = configuration()
    with made.connect() as web:
        assert web.status == 101
        for number in range(20):
            made.uplink(number)
            made.is_uplink(web.taken(), number)
    assert sink.taken(f"/{made.id}") == []


def test_while_nobody_is_connected_they_wait(configuration):
    made = configuration(requestTestNotification=True)
    for number in range(5):
        made.uplink(number)
    with made.connect() as web:
        assert json.loads(web.taken()) == {"subscription": made.json["self"]}
        for number in range(5):
            made.is_uplink(web.taken(), number)


def test_what_was_not_taken_comes_again(configuration):
    made = configuration()
    with made.connect() as web:
        made.uplink(1)
        made.is_uplink(web.text(), 1)  # no Pong
    with made.connect() as web:
        made.is_uplink(web.taken(), 1)
        made.uplink(2)
        made.is_uplink(web.taken(), 2)


def test_a_message_of_its_own_says_what_was_taken(configuration):
    made = configuration()
    with made.connect(protocol=f"chat, {PROTOCOL}") as web:
        assert f"Sec-WebSocket-Protocol: {PROTOCOL}\r\n" in web.head
        made.uplink(1)
        told = json.loads(web.text())
        assert set(told) == {"notification", "content"}
        made.is_uplink(json.dumps(told["content"]), 1)
        for wrong in ('{"taken":"99"}', '{"taken":7}', "[]", "", '{"taken":""}'):
            web.send(frame(TEXT, wrong.encode()))
        web.send(frame(TEXT, json.dumps({"taken": told["notification"]}, separators=(",", ":")).encode()))
        made.uplink(2)
        assert json.loads(web.text())["notification"] == "2"
    with made.connect() as web:
        made.is_uplink(web.taken(), 2)


def test_a_kill_of_the_host_loses_none(real, configuration):
    made = configuration()
    made.uplink(1)
    with made.connect() as web:
        made.is_uplink(web.text(), 1)
        made.uplink(2)
        real.kill()
    real.start()
    with made.connect() as web:
        made.is_uplink(web.taken(), 1)
        made.is_uplink(web.taken(), 2)


def test_a_gate_that_ends_loses_none(real, configuration):
    made = configuration()
    with made.connect() as web:
        made.uplink(1)
        made.is_uplink(web.text(), 1)
        for name, pid in real.rooms().items():
            if name.startswith("gate"):
                os.kill(pid, signal.SIGKILL)
                until(lambda: real.rooms().get(name, pid) != pid, "another gate")
    real.wait()
    with made.connect() as web:
        made.is_uplink(web.taken(), 1)


def test_another_connection_takes_the_place_of_the_first(configuration):
    made = configuration()
    with made.connect() as first, made.connect() as second:
        assert second.status == 101 and first.closed() == 1008
        made.uplink(1)
        made.is_uplink(second.taken(), 1)


def test_pings_and_closes_of_the_client(configuration):
    made = configuration()
    with made.connect() as web:
        web.send(frame(PING, b"are you there"))
        assert web.frame() == (PONG, b"are you there")
        web.send(frame(CLOSE, struct.pack("!H", 1001)))
        assert web.closed() == 1001
    with made.connect(early=frame(PING, b"early")) as web:
        assert web.status == 101 and web.frame() == (PONG, b"early")
        for byte in frame(PING, b"bytewise"):
            web.send(bytes([byte]))
        assert web.frame() == (PONG, b"bytewise")


@pytest.mark.parametrize("bad, code", [
    (b"\x81\x05Hello", 1002), (frame(TEXT, b"x", first=0xC1), 1002), (frame(3), 1002), (frame(PING, b"a" * 126), 1002),
    (frame(0, b"x"), 1002), (frame(2, b"x"), 1003), (frame(TEXT, b"\xff"), 1007), (frame(TEXT, b"a" * 4097), 1009),
    (frame(TEXT, b"a" * 70000), 1009), (frame(CLOSE, b"\x03"), 1002), (frame(CLOSE, struct.pack("!H", 1005)), 1002),
])
def test_a_bad_frame_ends_it_with_its_code(configuration, bad, code):
    made = configuration()
    with made.connect() as web:
        try:
            web.send(bad)
        except OSError:
            pass
        assert web.closed() == code
    with made.connect() as web:
        made.uplink(1)
        made.is_uplink(web.taken(), 1)


def test_what_is_no_handshake(real, configuration):
    made, plain = configuration(), configuration(websockNotifConfig={"requestWebsocketUri": False})
    assert made.client.get(made.at + "/websocket").status == 426
    for fields in ({"Sec_WebSocket_Version": "12"}, {"Sec_WebSocket_Version": None}, {"Sec_WebSocket_Key": "short"}, {"Sec_WebSocket_Key": None}):
        with made.connect(**fields) as web:
            assert web.status == 400 and "Sec-WebSocket-Version: 13" in web.head, fields
    with made.connect(Upgrade="h2c") as web:
        assert web.status == 426
    with plain.connect() as web:
        assert web.status == 404
    with made.connect(token="wrong") as web:
        assert web.status == 401
    with made.connect(token=plain.client.token) as web:
        assert web.status == 403
    with made.connect(token=real.application("ws-reader", ["acme.example"], ["read"]).token) as web:
        assert web.status == 403
    for wrong in ("yes", [], {"requestWebsocketUri": "yes"}):
        answer = made.client.post(f"/3gpp-nidd/v1/{made.id}/configurations",
                                  {"externalId": made.device.id, "notificationDestination": "http://127.0.0.1/", "websockNotifConfig": wrong})
        assert answer.status == 400, answer


def test_a_token_that_ends_takes_its_websocket_along(real, configuration):
    made = configuration()
    with made.connect() as web:
        assert real.admin.post(f"/v1/applications/{made.id}/token").status == 201
        with pytest.raises((EOFError, OSError)):
            while True:
                web.frame()


def test_the_configuration_goes_while_it_is_open(configuration):
    made = configuration()
    with made.connect() as web:
        made.uplink(1)
        made.is_uplink(web.text(), 1)
        assert made.client.delete(made.at).status == 204
        web.send(frame(PONG, b"1"))
        web.send(frame(PING, b"still"))
        while web.frame() != (PONG, b"still"):
            pass
        made.uplink(2)
    with made.connect() as web:
        assert web.status == 404


def test_it_is_counted_and_stops_with_the_host(real, configuration):
    made = configuration()
    with made.connect() as web:
        made.uplink(1)
        web.taken()
        for metric in ("dromio_http_websockets", "dromio_http_websocket_notices_total"):
            until(lambda: real.admin.close() or real.metric(metric) >= 1, metric)  # of one gate or the other
        assert real.stop() == 0
        assert web.closed() == 1001
    real.start()


def test_lists_of_the_handshake_may_come_in_lines(configuration):
    made = configuration()
    with made.connect(protocol=f"chat\r\nSec-WebSocket-Protocol: {PROTOCOL}") as web:
        assert web.status == 101 and "Sec-WebSocket-Protocol" not in web.head  # the first line is looked at
    with made.connect(Sec_WebSocket_Version="13\r\nSec-WebSocket-Version: 13") as web:
        assert web.status == 400


@pytest.mark.parametrize("cores", [1, 3])
def test_a_groups_configuration_has_one_too(sink, names, cores):
    """What members in all cores say, and what becomes of a downlink to them, in one socket."""
    with Host(CALLBACKS, "t8.group_guard=1", "host.gates=2", f"host.cores={cores}") as host, Mme(host) as mme:
        group = "socket@acme.example"
        devices = {device.id: device for device in (Thermometer(host, mme, *next(names)) for _ in range(12))}
        assert host.admin.put(f"/v1/groups/{group}", {}).status == 201
        for name in devices:
            assert host.admin.put(f"/v1/groups/{group}/members/{name}", {}).status == 201
        as1 = host.application("as1", ["acme.example"], ["nidd"])
        answer = as1.post("/3gpp-nidd/v1/as1/configurations", {"externalGroupId": group, "notificationDestination": sink.link("/groups"),
                                                               "websockNotifConfig": {"requestWebsocketUri": True}})
        assert answer.status == 201, answer
        made = answer.json()
        at = path_of(made["self"])
        assert made["websockNotifConfig"]["websocketUri"] == made["self"].replace("http://", "ws://") + "/websocket"
        assert as1.get(at).json() == made

        def uplinks(number):
            for device in devices.values():
                device.uplink(thermo_reading(number))

        def all_are_told(web, number):
            """At least once: what the socket before took last may come again."""
            found, data = set(), base64.b64encode(thermo_reading(number)).decode()
            while found != set(devices):
                told = json.loads(web.taken())
                found |= {told["externalId"]} if told.get("data") == data else set()

        uplinks(1)  # nobody is connected: they wait
        with Websocket(host.http_port, at + "/websocket", as1.token) as first:
            all_are_told(first, 1)
            with Websocket(host.http_port, at + "/websocket", as1.token) as second:
                assert first.closed() == 1008
                uplinks(2)
                all_are_told(second, 2)
                sent = as1.post(at + "/downlink-data-deliveries", {"externalGroupId": group, "data": base64.b64encode(b"all").decode()})
                assert sent.status == 201, sent
                results = []
                while len(results) < len(devices):
                    results += json.loads(second.taken()).get("gmdResults", [])
                assert {each["externalId"]: each["deliveryStatus"] for each in results} == dict.fromkeys(devices, "SUCCESS_NEXT_HOP_UNACKNOWLEDGED")
        uplinks(3)
        with Websocket(host.http_port, at + "/websocket", as1.token) as third:
            all_are_told(third, 3)
        assert sink.taken("/groups") == [], "nothing goes to the link"
        other = as1.post("/3gpp-nidd/v1/as1/configurations", {"externalGroupId": group, "notificationDestination": sink.link("/groups")})
        path = other.json()["self"]
        assert Websocket(host.http_port, path_of(path) + "/websocket", as1.token).status == 404
