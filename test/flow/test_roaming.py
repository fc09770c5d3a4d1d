"""The home SCEF of devices that roam: their serving nodes are behind an IWK-SCEF (T7, TS 29.128), which python-diameter plays.
Whoever brings a CMR is the way to the node it names; another CMR is another way."""
import contextlib
import datetime
import struct

import pytest
from host import LIMIT_S, Host, until
from diameter.message import Avp
from mme import RELEASE, UPDATE, V3GPP, Mme, avp, find, result_of

IMSI = "001017000000001"
VISITED = "epc.mnc001.mcc262.3gppnetwork.org"
NODE, SGSN = f"mme7.{VISITED}", f"sgsn3.{VISITED}"
NTP = 2208988800
PLMN = bytes.fromhex("62f210")  # 26201
BLINK = "/actions/blink?wait=delivered&timeout=30s"


def raw(code, data):
    """An AVP of 3GPP that python-diameter does not know, or not like this."""
    return Avp(code, V3GPP, data, 0x80)


def rate_status(uplink, until_s):
    """APN-Rate-Control-Status; a validity time as in RFC 5905."""
    return raw(4326, raw(4327, struct.pack(">I", uplink)).as_bytes() + raw(4330, struct.pack(">Q", (until_s + NTP) << 32)).as_bytes())


def rate_status_of(answer):
    """(packets, seconds since 1970) of it."""
    data = next(item for item in answer.avps if item.code == 4326).payload
    packets, until_s = data[data.index(struct.pack(">I", 4327)) + 12:][:4], data[data.index(struct.pack(">I", 4330)) + 12:][:8]
    return struct.unpack(">I", packets)[0], (struct.unpack(">Q", until_s)[0] >> 32) - NTP


class Iwk(Mme):
    """An IWK-SCEF; what it sends is of the node it speaks for."""

    def __init__(self, host, identity=f"iwk1.{VISITED}", node=NODE, realm=VISITED, **more):
        self.node, self.node_realm = None, VISITED
        super().__init__(host, identity, realm, **more)
        self.node = node

    def begin(self, code, application, avps, **more):
        self.is_node = application != 0
        try:
            return super().begin(code, application, avps, **more)
        finally:
            self.is_node = False

    def origin(self):
        is_node = self.node is not None and getattr(self, "is_node", False)
        name, realm = (self.node, self.node_realm) if is_node else (self.identity, self.realm)
        return [avp(264, name.encode()), avp(296, realm.encode())]


ROAMS = [avp(1407, PLMN, V3GPP), avp(1401, [avp(1402, "3520990012345601", V3GPP), avp(1403, "02", V3GPP)], V3GPP), avp(13, "0800", V3GPP, m=False)]


@pytest.fixture(scope="module")
def host():
    with Host() as running:
        yield running
        assert IMSI not in running.log() and "12345601" not in running.log(), "an identity was logged"


@pytest.fixture
def twin(host, names=iter(range(1000))):
    number = next(names)
    imsi = f"00101700000{number:04}"
    name = f"roamer{number}@acme.example"
    host.admin.put_twin(name, imsi=imsi)
    return name, imsi


def connection(host, name):
    return host.admin.get(f"/v1/twins/{name}").json().get("connection")


def blink(host, name):
    return host.admin.post(f"/v1/twins/{name}{BLINK}", {"seconds": 3}).json()["state"]


def test_what_the_visited_network_says_is_kept_and_shown(host, twin):
    name, imsi = twin
    assert connection(host, name) is None
    with Iwk(host) as iwk:
        answer = iwk.cmr(imsi, extra=ROAMS)
        assert result_of(answer) == 2001 and find(answer, 2050) > 0
        first = find(answer, 2050)
        shown = {"bearer": "05", "plmn": "26201", "roaming": True, "radio": "EUTRAN_NB_IOT", "deviceType": "35209900", "softwareVersion": "02",
                 "chargingCharacteristics": "0800", "node": NODE, "realm": VISITED, "via": iwk.identity}
        assert connection(host, name) == shown
        entry = host.admin.get(f"/v1/twins/{name}/timeline?network=true").json()["events"][0]
        assert (entry["kind"], entry["network"]["plmn"], entry["network"]["via"]) == ("connection", "26201", iwk.identity)
        assert entry["network"]["chargingId"] == first
        iwk.cmr(imsi, action=UPDATE, extra=[avp(1407, bytes.fromhex("00f110"), V3GPP)])  # home again, the rest is left
        assert connection(host, name) == {**shown, "plmn": "00101", "roaming": False}
        host.kill()
        host.start()
        assert connection(host, name) == {**shown, "plmn": "00101", "roaming": False}
    with Iwk(host) as iwk:
        assert find(iwk.cmr(imsi), 2050) not in (first, None)
        assert connection(host, name) == {**{key: shown[key] for key in ("bearer", "radio", "node", "realm")}, "via": iwk.identity}
        assert result_of(iwk.cmr(imsi, action=RELEASE)) == 2001
        assert connection(host, name) is None


def test_an_application_is_not_told_of_nodes(host, twin):
    name, imsi = twin
    client = host.application("roaming-reader", ["acme.example"], ["read"])
    with Iwk(host) as iwk:
        iwk.attach(imsi, extra=ROAMS)
        seen = client.get(f"/v1/twins/{name}").json()["connection"]
        assert seen["plmn"] == "26201" and not {"node", "realm", "via"} & seen.keys()
    client.close()


def test_downlinks_go_to_the_node_by_who_spoke_for_it(host, twin):
    name, imsi = twin
    with Iwk(host, "iwk2.visited.example") as other, Iwk(host) as iwk:
        iwk.attach(imsi, extra=ROAMS)
        assert blink(host, name) == "delivered"
        downlink = iwk.downlinks.get(timeout=LIMIT_S)
        assert (find(downlink.message, 293), find(downlink.message, 283)) == (NODE.encode(), VISITED.encode())
        other.node = SGSN  # the device moves to an SGSN, by another path; NSAPI 6, opaque
        other.attach(imsi, bearer=b"\x06\x00", extra=[avp(1407, PLMN, V3GPP)])
        assert blink(host, name) == "delivered"
        downlink = other.downlinks.get(timeout=LIMIT_S)
        assert (find(downlink.message, 293), downlink.bearer) == (SGSN.encode(), b"\x06\x00")
        other.uplink(imsi, b"\x02\x00\x3c", bearer=b"\x06\x00")
        iwk.node = NODE
        assert result_of(iwk.cmr(imsi, action=RELEASE)) == 5651  # the node before has nothing to release
        assert iwk.downlinks.empty()


def test_an_update_from_another_node_is_followed(host, twin):
    name, imsi = twin
    with Iwk(host) as iwk, Mme(host, "mme1.epc.test") as mme:
        iwk.attach(imsi, extra=ROAMS)
        assert result_of(mme.cmr(imsi, action=UPDATE)) == 2001  # back in its own network, which is connected itself
        shown = connection(host, name)
        assert (shown["node"], "via" in shown) == ("mme1.epc.test", False)
        assert blink(host, name) == "delivered"
        assert not mme.downlinks.empty() and iwk.downlinks.empty()


def test_a_lost_way_is_another_path_of_the_visited_network(host, twin):
    name, imsi = twin
    with Iwk(host, f"iwk2.{VISITED}", node=SGSN) as second:
        known = [twin_of for twin_of in [f"helper{name}"]]
        host.admin.put_twin(known[0], imsi=imsi[:-5] + "9" + imsi[-4:])
        second.attach(imsi[:-5] + "9" + imsi[-4:])  # that it speaks for others is how it is known
        with Iwk(host, on_downlink=lambda downlink: None) as iwk:
            iwk.attach(imsi, extra=ROAMS)
            assert host.admin.post(f"/v1/twins/{name}/actions/blink", {"seconds": 3}).status == 202
            first = iwk.downlinks.get(timeout=LIMIT_S)
        again = second.downlinks.get(timeout=LIMIT_S)
        assert again.message.header.is_retransmit and again.message.header.end_to_end_identifier == first.message.header.end_to_end_identifier
        assert find(again.message, 293) == NODE.encode()
    ticket = until(lambda: next((one for one in host.admin.get(f"/v1/twins/{name}/tickets").json()["tickets"] if one["state"] == "delivered"), None))
    assert ticket["action"] == "blink"


def test_without_a_way_it_waits_and_goes_when_there_is_one(host, twin):
    name, imsi = twin
    with Iwk(host) as iwk:
        iwk.attach(imsi, extra=ROAMS)
    until(lambda: not any(peer["identity"].startswith("iwk") and peer["state"] == "open" for peer in host.admin.get("/v1/peers").json()["peers"]))
    assert host.admin.post(f"/v1/twins/{name}/actions/blink", {"seconds": 3}).status == 202
    with Iwk(host) as iwk:
        iwk.uplink(imsi, b"\x02\x00\x3c")
        assert iwk.downlinks.get(timeout=LIMIT_S).imsi == imsi


@pytest.mark.parametrize("wrong, result", [
    ([avp(1407, b"\x62\xf2", V3GPP)], 5014), ([avp(1407, b"\x62\xf2\x10\x00", V3GPP)], 5014), ([avp(1407, PLMN, V3GPP)] * 2, 5009),
    ([raw(1401, b"\xff")], 5014),
])
def test_what_cannot_be_read_is_refused(host, twin, wrong, result):
    _, imsi = twin
    with Iwk(host) as iwk:
        assert result_of(iwk.cmr(imsi, extra=wrong)) == result
        assert result_of(iwk.cmr(imsi)) == 2001


@pytest.mark.parametrize("odd", [
    [avp(1407, b"\xff\xff\xff", V3GPP)], [avp(1401, [avp(1402, "35", V3GPP), avp(1403, "a long one", V3GPP)], V3GPP)],
    [avp(13, "x" * 200, V3GPP, m=False)], [avp(13, "0\n00", V3GPP, m=False)],
])
def test_what_says_nothing_is_left_out(host, twin, odd):
    name, imsi = twin
    with Iwk(host) as iwk:
        assert result_of(iwk.cmr(imsi, extra=odd)) == 2001
        assert not {"plmn", "deviceType", "softwareVersion", "chargingCharacteristics"} & connection(host, name).keys()


# ---- policy ----

@contextlib.contextmanager
def running(*settings):
    with Host(*settings) as host:
        host.admin.put_twin("t1@acme.example", imsi=IMSI)
        yield host


def test_an_apn_may_be_bound_to_networks():
    apns = 't8.apns=[{apn="nidd.test",domain="acme.example",without_configuration="accept",visited=["26202"]}]'
    with running(apns) as host, Iwk(host) as iwk:
        assert result_of(iwk.cmr(IMSI, extra=ROAMS)) == 5101
        assert connection(host, "t1@acme.example") is None
        assert result_of(iwk.cmr(IMSI, extra=[avp(1407, bytes.fromhex("62f220"), V3GPP)])) == 2001  # 26202 is listed,
        assert result_of(iwk.cmr(IMSI, extra=[avp(1407, bytes.fromhex("00f110"), V3GPP)])) == 2001  # its own need not be,
        assert result_of(iwk.cmr(IMSI, apn="other", extra=ROAMS)) == 2001  # and another APN is not bound
        assert result_of(iwk.cmr(IMSI, action=UPDATE, apn="nidd.test", extra=ROAMS)) == 5101
        assert connection(host, "t1@acme.example")["plmn"] == "26201"  # of the establishment over the other one


def test_listed_scefs_speak_for_the_realms_listed_with_them():
    peers = (f'diameter.peers=[{{identity="iwk1.{VISITED}",realm="{VISITED}",applications=["t7"]}},'
             f'{{identity="iwk9.ipx.example",realm="ipx.example",applications=["t7"],realms=["{VISITED}"]}},'
             '{identity="mme1.epc.test",realm="epc.test",applications=["t6a"]}]')
    with running(peers) as host:
        with Iwk(host) as iwk:
            assert result_of(iwk.cmr(IMSI)) == 2001
            iwk.node_realm = "elsewhere.example"
            assert result_of(iwk.cmr(IMSI)) == 5004
            roles = {peer["identity"]: peer["roles"] for peer in host.admin.get("/v1/peers").json()["peers"]}
            assert "scef" in roles[iwk.identity]
        with Iwk(host, "iwk9.ipx.example", realm="ipx.example") as ipx:
            assert result_of(ipx.cmr(IMSI)) == 2001  # a realm that is listed with it
            assert blink(host, "t1@acme.example") == "delivered" and not ipx.downlinks.empty()


def test_apn_rate_control_goes_on_over_connections():
    hour = 't8.apns=[{application="nobody",apn="nidd.test",without_configuration="accept",uplink="5/hour",over="drop"}]'
    with running(hour) as host, Iwk(host) as iwk:
        in_a_moment = int(datetime.datetime.now().timestamp()) + 600
        iwk.attach(IMSI, extra=[rate_status(2, in_a_moment)])
        assert [result_of(iwk.odr(IMSI, b"\x02\x00\x3c")) for _ in range(3)] == [2001, 2001, 5012]
        answer = iwk.cmr(IMSI, action=RELEASE)
        assert (result_of(answer), rate_status_of(answer)) == (2001, (0, in_a_moment))
        iwk.attach(IMSI, extra=[rate_status(0, in_a_moment - 3600)])  # over by now
        assert result_of(iwk.odr(IMSI, b"\x02\x00\x3c")) == 2001
        assert rate_status_of(iwk.cmr(IMSI, action=RELEASE))[0] == 4


def test_the_visited_networks_rate_is_kept():
    with running() as host, Iwk(host) as iwk:
        iwk.attach(IMSI, extra=[*ROAMS, avp(4310, [avp(4312, 10, V3GPP)], V3GPP)])
        for _ in range(10):
            assert blink(host, "t1@acme.example") == "delivered"
        answer = host.admin.post("/v1/twins/t1@acme.example/actions/blink", {"seconds": 3}).json()
        assert answer["state"] == "pending" and answer["next"] is not None
