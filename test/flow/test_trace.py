"""Traces: the messages of one device's procedures, or of a peer, while somebody looks."""
import base64
import json
import os
import signal
import subprocess

from host import BUILD, Client, thermo_reading, until
from hss import Hss, external, imsi_of, msisdn_of
from mme import RELEASE, Mme, is_asleep, result_of
from t8 import CALLBACKS, path_of

SETTINGS = (CALLBACKS, "host.gates=2")


class Trace:
    def __init__(self, host, **of):
        self.admin = host.admin
        answer = self.admin.post("/v1/traces", of)
        assert answer.status in (200, 201), answer
        self.made, self.status = answer.json(), answer.status
        self.at = f"/v1/traces/{self.made['trace']}"
        if answer.status == 201:
            assert answer.headers["Location"] == self.at

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.admin.delete(self.at)

    def page(self, query=""):
        answer = self.admin.get(self.at + query)
        assert answer.status == 200 and b"00101" not in answer.body, answer
        return answer.json()

    def messages(self):
        return self.page()["messages"]

    def commands(self):
        return [(message["direction"], message["command"], message["result"]) for message in self.messages()]

    def until(self, *wanted):
        """Waits for these commands, in any order among others, and gives all there are."""
        until(lambda: set(wanted) <= {message["command"] for message in self.messages()}, f"{wanted} in the trace")
        return self.messages()


def trace_cli(host, *arguments):
    environment = {**os.environ, "DROMIO_HOST": f"http://127.0.0.1:{host.http_port}", "DROMIO_TOKEN_FILE": str(host.data / "admin.token")}
    done = subprocess.run([BUILD / "dromio", *arguments], env=environment, capture_output=True, text=True, timeout=60)
    assert "00101" not in done.stdout + done.stderr
    return done


def test_the_messages_of_a_device_and_no_other(real, mme, thermometer):
    device, other = thermometer(), thermometer()
    with Trace(real, twin=device.id) as trace:
        assert trace.status == 201 and trace.made["twin"] == device.id and trace.messages() == []
        other.uplink(thermo_reading(1))
        mme.attach(device.imsi)
        device.uplink(thermo_reading(1))
        device.ticket_is(device.write("period", 600), "delivered")
        seen = trace.until("CMA", "ODA", "TDA")
        assert trace.commands() == [("in", "CMR", None), ("out", "CMA", 2001), ("in", "ODR", None), ("out", "ODA", 2001),
                                    ("out", "TDR", None), ("in", "TDA", 2001)]
        assert {message["peer"] for message in seen} == {mme.identity} and {message["device"] for message in seen} == {device.id}
        assert [message["number"] for message in seen] == [1, 2, 3, 4, 5, 6]
        assert sorted(message["time"] for message in seen) == [message["time"] for message in seen]
        for request, answer in zip(seen[::2], seen[1::2]):
            assert (request["kind"], answer["kind"], request["protocol"]) == ("request", "answer", "diameter")
            assert (request["hop_by_hop"], request["end_to_end"]) == (answer["hop_by_hop"], answer["end_to_end"])
            assert request["bytes"] > 100 and request["bytes"] % 4 == 0 and answer["bytes"] > 100


def test_ids_and_sizes_are_those_on_the_wire(real, mme, thermometer):
    device = thermometer()
    with Trace(real, twin=device.id) as trace:
        answer = device.uplink(thermo_reading(1))
        request, _ = trace.until("ODR", "ODA")
        assert int(request["hop_by_hop"], 16) == answer.header.hop_by_hop_identifier
        assert int(request["end_to_end"], 16) == answer.header.end_to_end_identifier
        assert trace.messages()[1]["bytes"] == len(answer.as_bytes())


def test_refusals_are_in_it(real, mme, thermometer):
    device = thermometer()
    with Trace(real, twin=device.id) as trace:
        mme.cmr(device.imsi, action=RELEASE)
        assert result_of(mme.odr(device.imsi, thermo_reading(1))) == 5651
        trace.until("CMA", "ODA")
        assert trace.commands()[-1] == ("out", "ODA", 5651)


def test_t8_requests_and_notifications(real, mme, thermometer, sink):
    as1 = real.application("traced", ["acme.example"], ["nidd"])
    device = thermometer()
    with Trace(real, twin=device.id) as trace:
        base = "/3gpp-nidd/v1/traced/configurations"
        made = as1.post(base, {"externalId": device.id, "notificationDestination": sink.link("/traced")})
        assert made.status == 201, made
        at = path_of(made)
        device.uplink(thermo_reading(1))
        data = base64.b64encode(b"\x82\x05").decode()
        assert as1.post(at + "/downlink-data-deliveries", {"externalId": device.id, "data": data}).status in (200, 201)
        trace.until("NiddUplinkDataNotification", "POST deliveries", "TDA")
        until(lambda: ("in", "NiddUplinkDataNotification", 204) in trace.commands())
        t8 = [message for message in trace.messages() if message["protocol"] == "t8"]
        told = [(message["direction"], message["kind"], message["command"], message["result"]) for message in t8]
        assert ("in", "request", "POST configurations", None) in told and ("out", "answer", "POST configurations", 201) in told
        assert ("out", "request", "NiddUplinkDataNotification", None) in told
        assert any(one[:3] == ("out", "answer", "POST deliveries") and one[3] in (200, 201) for one in told)
        assert all(message["hop_by_hop"] is None and message["device"] == device.id for message in t8)
        assert {message["peer"] for message in t8 if message["kind"] == "request"} == {"traced"}


def test_what_an_hss_says_by_any_of_the_devices_names(real, thermometer, mme):
    """S6t names a device by External Identifier, MSISDN or IMSI; whichever it is, its messages are the device's."""
    device, other = thermometer(msisdn="491700009901"), thermometer(msisdn="491700009902")
    with Hss(real, "hss-traced.dromio.test") as hss, Trace(real, twin=device.id) as trace, Trace(real, peer=hss.identity) as of_peer:
        def says(*user):
            answer = hss.update(list(user), [("nowhere", 946684800000)])
            assert result_of(answer) == 2001
            return answer.header.end_to_end_identifier

        def seen(of, end):
            return [(message["command"], message["device"]) for message in of.messages() if int(message["end_to_end"], 16) == end]

        until(lambda: (end := says(external(device.id))) and seen(trace, end) and seen(of_peer, end), "both traces in the gate of the HSS")
        for named, user in ((device, external(device.id)), (other, msisdn_of("491700009902")), (device, msisdn_of("491700009901")),
                            (other, imsi_of(other.imsi)), (device, imsi_of(device.imsi)), (other, external(other.id))):
            end, both = says(user), [("NIR", named.id), ("NIA", named.id)]
            until(lambda: seen(of_peer, end) == both, "the messages of the HSS")
            if named is device:
                until(lambda: seen(trace, end) == both, "those of the device")
        assert {message["device"] for message in trace.messages()} == {device.id}
        assert b"4917" not in real.admin.get(of_peer.at).body + real.admin.get(trace.at).body


def test_what_is_told_of_a_group_is_in_the_trace_of_all_only(real, thermometer, sink):
    as1 = real.application("grouped", ["acme.example"], ["nidd"])
    device, group = thermometer(), "/v1/groups/traced@acme.example"
    assert real.admin.put(group, {}).status == 201
    with Trace(real, twin=device.id) as trace, Trace(real, peer="*") as all_of_it:
        made = as1.post("/3gpp-nidd/v1/grouped/configurations",
                        {"externalGroupId": "traced@acme.example", "notificationDestination": sink.link("/grouped"), "requestTestNotification": True})
        assert made.status == 201, made
        told = [message for message in all_of_it.until("TestNotification") if message["command"] == "TestNotification"]
        assert [(message["kind"], message["device"]) for message in told][0] == ("request", None)
        until(lambda: ("in", "TestNotification", 204) in all_of_it.commands())
        assert trace.messages() == []


def test_a_peer_with_all_its_devices(real, thermometer, mme):
    with Trace(real, peer="mme-traced.dromio.test") as trace, Mme(real, identity="mme-traced.dromio.test") as peer:
        first, second = thermometer(at=peer), thermometer(at=peer)
        first.uplink(thermo_reading(1))
        second.uplink(thermo_reading(1))
        thermometer().uplink(thermo_reading(1))
        until(lambda: [command for _, command, _ in trace.commands()].count("ODA") == 2)
        seen = trace.messages()
        assert {message["peer"] for message in seen} == {"mme-traced.dromio.test"}
        assert {"CER", "CEA"} <= {message["command"] for message in seen}
        for device in (first, second):
            of = [message["command"] for message in seen if message["device"] == device.id]
            assert sorted(of) == ["CMA", "CMR", "ODA", "ODR"], seen


def test_what_is_no_request_of_a_trace(real, mme, thermometer):
    admin, device = real.admin, thermometer()
    for body in ({}, {"twin": "nobody"}, {"twin": device.id, "peer": "x"}, {"peer": ""}, {"peer": 1}, {"twin": device.id, "seconds": 0},
                 {"twin": device.id, "seconds": 3601}, {"twin": device.id, "more": 1}):
        assert admin.post("/v1/traces", body).status in (400, 422), body
    assert admin.post("/v1/traces", {"twin": "nobody@acme.example"}).status == 404
    assert admin.get("/v1/traces/0123456789abcdef").status == 404 and admin.delete("/v1/traces/0123456789abcdef").status == 404
    assert admin.get("/v1/traces/1").status == 404
    reader = real.application("reader", ["acme.example"], ["read", "write", "nidd"])
    assert reader.post("/v1/traces", {"twin": device.id}).status == 403
    with Trace(real, twin=device.id) as trace:
        assert reader.get(trace.at).status == 403 and Client(real.http_port, None).get(trace.at).status == 401
        assert admin.get(trace.at + "?after=x").status == 400 and trace.page("?after=99")["messages"] == []
        with Trace(real, twin=device.id, seconds=60) as again:  # gone on with
            assert again.status == 200 and again.made["trace"] == trace.made["trace"] and again.made["until"] < trace.made["until"]
    assert admin.get(trace.at).status == 404


def test_it_ends_by_itself_and_keeps_what_it_has(real, mme, thermometer):
    device = thermometer()
    with Trace(real, twin=device.id, seconds=3) as trace:
        device.uplink(thermo_reading(1))
        until(lambda: trace.page()["state"] == "ended", "the end of the trace")
        device.uplink(thermo_reading(2))
        assert [command for _, command, _ in trace.commands()] == ["ODR", "ODA"]


def test_the_newest_are_kept_and_the_others_counted(real, mme, thermometer):
    device = thermometer()
    with Trace(real, twin=device.id) as trace:
        for number in range(300):
            device.uplink(thermo_reading(number % 256))
        last = until(lambda: [page for page in [trace.page("?after=590")] if page["next"] == 600])[0]
        assert [message["number"] for message in last["messages"]] == list(range(591, 601)) and last["lost"] == 0
        first = trace.page("?limit=5")
        assert first["lost"] == 88 and [message["number"] for message in first["messages"]] == [89, 90, 91, 92, 93]
        assert first["more"] and first["next"] == 93 and len(trace.page(f"?after={first['next']}")["messages"]) == 200


def test_more_traces_than_there_is_room_for(real):
    made = []
    try:
        while len(made) < 40:
            answer = real.admin.post("/v1/traces", {"peer": f"p{len(made)}.example"})
            if answer.status == 503:
                break
            made.append(answer.json()["trace"])
        assert len(made) == 16 and answer.status == 503, answer
        assert real.admin.delete(f"/v1/traces/{made.pop()}").status == 204
        answer = real.admin.post("/v1/traces", {"peer": "p99.example"})
        assert answer.status == 201
        made.append(answer.json()["trace"])
    finally:
        for trace in made:
            real.admin.delete(f"/v1/traces/{trace}")


def test_a_gate_that_comes_again_traces_on(real, mme, thermometer):
    device = thermometer()
    with Trace(real, twin=device.id) as trace:
        for number in (0, 1):
            dead = real.rooms()[f"gate {number}"]
            os.kill(dead, signal.SIGKILL)
            until(lambda: real.rooms().get(f"gate {number}", dead) != dead, "another gate")
        real.wait()
        with Mme(real) as again:
            again.attach(device.imsi)
            again.uplink(device.imsi, thermo_reading(7))
            trace.until("ODR", "ODA")


def test_the_ladder(real, mme, thermometer):
    device = thermometer()
    device.uplink(thermo_reading(1))
    past = trace_cli(real, "peer", "trace", device.id)
    assert past.returncode == 0, past.stderr
    lines = past.stdout.splitlines()
    assert lines[0].split() == ["TIME", "PEER", "HOST", "APPLICATION", "WITH"]
    assert [line.split("|")[1].split()[1:-1] for line in lines[1:]] == [["CMR"], ["CMA", "2001"], ["ODR"], ["ODA", "2001"]], past.stdout
    device.uplink(thermo_reading(2))
    with Trace(real, twin=device.id) as trace:
        trace.until("ODA")
        now = trace_cli(real, "peer", "trace", device.id).stdout.splitlines()
        assert "|-- ODR ---------->|" in now[1] and "|<- ODA 2001 ------|" in now[2] and now[1][now[0].index("WITH"):].startswith(mme.identity)
        lines = trace_cli(real, "peer", "trace", device.id, "-o", "ndjson").stdout.splitlines()
        assert [json.loads(line)["command"] for line in lines] == ["ODR", "ODA"]
        followed = trace_cli(real, "peer", "trace", device.id, "--follow", "--count", "2", "-o", "ndjson")
        assert followed.returncode == 0 and len(followed.stdout.splitlines()) == 2
    assert trace_cli(real, "peer", "trace", device.id, "--follow", "--timeout", "100ms", "--count", "1").returncode == 6
    assert trace_cli(real, "peer", "trace", "nobody@acme.example").returncode == 3
    refused = trace_cli(real, "peer", "trace", device.id, "--for", "2h")
    assert refused.returncode == 2 and "at most 60m, not 2h" in refused.stderr


def traces_stop(host, *ids):
    for one in ids:
        trace_cli(host, "peer", "trace", one, "--stop")


def test_following_begins_with_what_the_log_has(real, mme, thermometer):
    device = thermometer()
    device.uplink(thermo_reading(1))
    seen = trace_cli(real, "peer", "trace", device.id, "--follow", "--timeout", "100ms")
    assert seen.returncode == 0, seen.stderr
    lines = seen.stdout.splitlines()
    assert lines[0].split() == ["TIME", "PEER", "HOST", "APPLICATION", "WITH"]
    assert [line.split("|")[1].split()[1:-1] for line in lines[1:]] == [["CMR"], ["CMA", "2001"], ["ODR"], ["ODA", "2001"]], seen.stdout
    with Trace(real, twin=device.id) as trace:  # of somebody else: its end is not this one's
        assert trace.status == 201
        assert trace_cli(real, "peer", "trace", device.id, "--follow", "--timeout", "100ms").stdout.splitlines() == lines[:1]
        assert trace.page()["state"] == "on"


def test_a_peer_that_is_not_there_is_said_to_be_unknown(real, mme):
    said = trace_cli(real, "peer", "trace", "nosuch.dromio.test")
    assert said.returncode == 0 and "no peer nosuch.dromio.test is known" in said.stderr
    known = trace_cli(real, "peer", "trace", mme.identity)
    assert known.returncode == 0 and "is known here" not in known.stderr
    traces_stop(real, "nosuch.dromio.test", mme.identity)


def test_what_the_log_has_of_a_t8_downlink_is_no_message(real, mme, thermometer, sink):
    as1 = real.application("logged", ["acme.example"], ["nidd"])
    device = thermometer()
    made = as1.post("/3gpp-nidd/v1/logged/configurations", {"externalId": device.id, "notificationDestination": sink.link("/logged")})
    assert made.status == 201, made
    at, data = path_of(made), base64.b64encode(b"x").decode()
    mme.on_downlink = lambda downlink: is_asleep()
    asleep = as1.post(f"{at}/downlink-data-deliveries", {"externalId": device.id, "data": data}).json()["deliveryStatus"]
    assert asleep == "BUFFERING_TEMPORARILY_NOT_REACHABLE"
    whole = real.admin.get(f"/v1/twins/{device.id}/timeline?network=true").json()["events"]
    states = [(event["outcome"], event["network"]["command"]) for event in whole if event["kind"] == "delivery"]
    assert (asleep, None) in states
    shown = trace_cli(real, "peer", "trace", device.id).stdout
    assert f"|  delivery {asleep}\n" in shown and "TDA" not in shown and "TDR" not in shown
    traces_stop(real, device.id)


def test_the_timeline_has_the_networks_procedures_when_asked(real, mme, thermometer):
    device = thermometer()
    device.uplink(thermo_reading(1))
    ticket = device.write("period", 600)
    device.ticket_is(ticket, "delivered")
    at = f"/v1/twins/{device.id}/timeline"
    plain, whole = real.admin.get(at).json()["events"], real.admin.get(at + "?network=true").json()["events"]
    assert [event["kind"] for event in plain] == ["property_write", "uplink", "created"]
    assert all("network" not in event for event in plain)
    kinds = [(event["kind"], event["outcome"]) for event in whole]
    assert ("connection", "established") in kinds and ("delivery", "delivered") in kinds
    [uplink] = [event for event in whole if event["kind"] == "uplink"]
    assert (uplink["network"]["command"], uplink["network"]["peer"], uplink["network"]["result"]) == ("ODR", mme.identity, 2001)
    [connection] = [event for event in whole if event["kind"] == "connection"]
    assert connection["network"]["peer"] == mme.identity
    assert real.admin.get(at + "?network=maybe").status == 400
    shown = trace_cli(real, "twin", "timeline", device.id).stdout
    assert "connection" in shown and "delivered" in shown and mme.identity in shown
