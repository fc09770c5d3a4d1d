"""A host as IWK-SCEF (TS 29.128, T6ai and T7): python-diameter plays the MMEs of the visited network and the SCEFs of home
networks; what passes is what was sent, but for the destination, a Route-Record and the Hop-by-Hop id."""
import queue
import types

import diameter_peer as wire
import pytest
from diameter_wire import Recorder, dissect, tshark
from host import EVERY_HOST, LIMIT_S, Host, until
from mme import PROXIABLE, T6A, UPDATE, V3GPP, Mme, avp, encode, find, result_of
from scef import CIR, CMR, HOME, ODR, RIR, TDR, HomeScef, event, report, t6ai, unknown

pytestmark = pytest.mark.skipif(any(setting.startswith("host.gates=") for setting in EVERY_HOST), reason="an IWK-SCEF has one gate")
OTHER = "home.example"
SETTINGS = ('interworking.plmn="00101"',
            'interworking.homes=[{plmn="99970",apns=["nidd.test"],uplink=50,downlink=20,reports=["loss_of_connectivity"]},'
            f'{{plmn="26201",realm="{OTHER}",hosts=["scef1.{OTHER}","scef2.{OTHER}"]}}]')
IMSI, OTHER_IMSI, OWN_IMSI = "999700000000001", "262010000000001", "001010000000001"
RELAY = 0xFFFFFFFF


@pytest.fixture(scope="module")
def iwk():
    with Host(*SETTINGS) as host:
        yield host
        assert "9997000" not in host.log(), "an IMSI was logged"


@pytest.fixture
def mme(iwk):
    with Mme(iwk) as peer:
        yield peer


@pytest.fixture
def home(iwk):
    with HomeScef(iwk) as peer:
        yield peer


def test_a_connection_goes_up_with_what_the_visited_network_adds(iwk, mme, home):
    sent = [avp(4317, 1, V3GPP), unknown(9999, b"unknown"), avp(284, [avp(280, b"agent.epc.test"), avp(33, b"state")])]
    answer = mme.cmr(IMSI, extra=sent)
    taken = home.take(CMR)
    assert result_of(answer) == 2001 and find(answer, 264) == home.identity.encode()  # the home SCEF's own word
    assert find(answer, 284, 33) == b"state"
    assert (taken.host, taken.realm) == (b"mme1.epc.test", b"epc.test")  # the serving node is who asks
    assert (taken.destination_realm, taken.destination_host) == (HOME.encode(), None)
    assert taken.route == [b"mme1.epc.test"]
    assert taken.find(284, 280) == b"agent.epc.test" and taken.find(9999) is not None
    assert (taken.find(4310, 4311), taken.find(4310, 4312)) == (50, 20)  # Serving-PLMN-Rate-Control
    assert taken.find(1407) == bytes.fromhex("00f110")
    assert (taken.find(493), taken.find(1020), taken.find(4317)) == ("nidd.test", b"\x05", 1)


def test_what_a_serving_node_says_is_left_alone(mme, home):
    mme.cmr(IMSI, action=UPDATE, extra=[avp(4310, [avp(4311, 100, V3GPP)], V3GPP), avp(1407, bytes.fromhex("62f220"), V3GPP)])
    taken = home.take(CMR)
    assert (taken.find(4310, 4311), taken.find(4310, 4312), taken.find(1407)) == (100, None, bytes.fromhex("62f220"))
    mme.cmr(IMSI, action=1)
    taken = home.take(CMR)
    assert taken.find(4310) is None and taken.find(1407) is None


def test_uplinks_go_up_and_answers_back_to_who_asked(iwk, mme, home):
    with Mme(iwk, "mme2.epc.test") as second:
        boxes = [peer.begin_odr(IMSI, bytes([number])) for number, peer in enumerate((mme, second, mme))]
        assert [result_of(box.get(timeout=LIMIT_S)) for box in boxes] == [2001] * 3
    taken = [home.take(ODR) for _ in range(3)]
    assert sorted((one.data, one.host) for one in taken) == [(b"\0", b"mme1.epc.test"), (b"\1", b"mme2.epc.test"), (b"\2", b"mme1.epc.test")]
    assert len({one.hop_by_hop for one in taken}) == 3  # ours, not theirs


def test_a_repetition_passes_with_its_flag_and_id(mme, home):
    assert result_of(mme.odr(IMSI, b"\1", end=0x12345678, is_again=True)) == 2001
    taken = home.take(ODR)
    assert taken.is_again and taken.end_to_end == 0x12345678


@pytest.mark.parametrize("said", [[avp(297, [avp(266, V3GPP), avp(298, 5651)])], 3004, 5012])
def test_refusals_of_the_home_network_pass(iwk, mme, said):
    with HomeScef(iwk, on_request=lambda taken: said) as home:
        answer = mme.odr(IMSI, b"\1")
        assert result_of(answer) == (said if isinstance(said, int) else 5651)
        assert find(answer, 264) == home.identity.encode()


def test_downlinks_go_down_to_the_node_that_is_named(iwk, mme, home):
    with Mme(iwk, "mme2.epc.test") as second:
        assert result_of(home.tdr(IMSI, b"\x81", to="mme2.epc.test")) == 2001
        taken = second.downlinks.get(timeout=LIMIT_S)
        assert (taken.data, taken.imsi, mme.downlinks.empty()) == (b"\x81", IMSI, True)
        assert find(taken.message, 293) == b"mme2.epc.test" and find(taken.message, 282) == home.identity.encode()
    assert result_of(home.release(IMSI)) == 2001
    assert find(mme.releases.get(timeout=LIMIT_S), 4314) == 1
    answer = home.tdr(IMSI, b"\x81", to="mme2.epc.test")  # gone
    assert result_of(answer) == 3002 and answer.header.is_error


def test_a_sleepers_answer_passes(iwk, home):
    sleeping = [avp(297, [avp(266, V3GPP), avp(298, 5653)]), avp(3331, until_2030(), V3GPP, m=False)]
    with Mme(iwk, on_downlink=lambda downlink: sleeping):
        answer = home.tdr(IMSI, b"\x81")
    assert result_of(answer) == 5653 and find(answer, 3331) is not None


def until_2030():
    import datetime
    return datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)


# ---- who may what ----

def test_subscribers_without_agreement_are_this_hosts_own(mme, home):
    assert result_of(mme.odr(OWN_IMSI, b"\1")) == 5001  # no twin
    assert result_of(mme.cmr(OWN_IMSI)) == 5652
    assert home.requests.empty()


def test_an_apn_without_agreement_is_refused(iwk, mme, home):
    assert result_of(mme.cmr(IMSI, apn="internet")) == 5101
    assert home.requests.empty()
    assert 'dromio_interworking_refused_total{home="99970",direction="up"}' in iwk.metrics()


def test_a_home_network_speaks_of_its_own_subscribers_only(iwk, mme, home):
    assert result_of(home.tdr(OTHER_IMSI, b"\x81")) == 5101
    assert result_of(home.tdr(OWN_IMSI, b"\x81")) == 5101
    with HomeScef(iwk, f"scef1.{OTHER}", OTHER) as other:
        assert result_of(home.tdr(IMSI, b"\x81", to=other.identity, realm=OTHER)) == 3002  # not to another network
        assert result_of(home.odr(OTHER_IMSI, b"\1")) == 3001  # an SCEF does not send uplinks,
        assert result_of(t6ai(home, CIR, event(1, home.identity, 0), imsi=IMSI)) == 3001  # nor events
        assert other.requests.empty() and other.downlinks.empty()
    assert mme.downlinks.empty()


def test_a_downlink_needs_a_node(mme, home):
    assert result_of(home.tdr(IMSI, b"\x81", to=None)) == 3002
    assert result_of(home.tdr(IMSI, b"\x81", to="scef.dromio.test")) == 3002
    assert mme.downlinks.empty()


def test_a_realm_without_agreement_is_not_served(mme, home):
    mme.destination = b"elsewhere.example"
    assert result_of(mme.odr(IMSI, b"\1")) == 3003
    mme.destination = HOME.encode()
    assert result_of(mme.odr(IMSI, b"\1")) == 2001
    assert home.take(ODR).destination_realm == HOME.encode()


# ---- loops ----

def test_our_own_name_in_the_route_is_a_loop(mme, home):
    box = mme.begin(ODR, T6A, mme._user(IMSI, b"\x05") + [avp(4315, b"\1", V3GPP), avp(282, b"SCEF.dromio.test")])
    assert result_of(box.get(timeout=LIMIT_S)) == 3005
    assert home.requests.empty()


def test_nothing_goes_where_it_has_been(mme, home):
    box = mme.begin(ODR, T6A, mme._user(IMSI, b"\x05") + [avp(4315, b"\1", V3GPP), avp(282, home.identity.encode())])
    assert result_of(box.get(timeout=LIMIT_S)) == 3002
    assert home.requests.empty()


# ---- paths ----

def test_the_first_scef_that_is_there_gets_it_and_the_next_when_it_is_lost(iwk, mme):
    with HomeScef(iwk, f"scef2.{OTHER}", OTHER) as second:
        with HomeScef(iwk, f"scef1.{OTHER}", OTHER, on_request=lambda taken: None) as first:
            box = mme.begin_odr(OTHER_IMSI, b"\1", end=77)
            one = first.take(ODR)
            assert second.requests.empty() and not one.is_again
        two = second.take(ODR)
        assert (two.data, two.end_to_end, two.is_again, two.host) == (b"\1", 77, True, b"mme1.epc.test")
        assert result_of(box.get(timeout=LIMIT_S)) == 2001
        assert 'dromio_interworking_failovers_total{home="26201",direction="up"} 1' in iwk.metrics()


def test_a_request_that_is_lost_with_its_only_way_goes_again_once_it_is_back(iwk, mme):
    with HomeScef(iwk, on_request=lambda taken: None) as home:
        box = mme.begin_odr(IMSI, b"\1", end=78)
        home.take(ODR)
    until(lambda: not is_open(iwk, home.identity), "its end")
    boxes = [box, mme.begin_odr(IMSI, b"\2", end=79, is_again=True), mme.begin_odr(IMSI, b"\3", end=80)]
    with HomeScef(iwk) as home:
        taken = sorted((one.data, one.end_to_end, one.is_again) for one in (home.take(ODR) for _ in boxes))
        assert taken == [(b"\1", 78, True), (b"\2", 79, True), (b"\3", 80, False)]
        assert [result_of(box.get(timeout=LIMIT_S)) for box in boxes] == [2001] * 3


def is_open(host, identity):
    return any(peer["identity"] == identity and peer["state"] == "open" for peer in host.admin.get("/v1/peers").json()["peers"])


def test_a_relay_leads_there_too(iwk, mme):
    with HomeRelay(iwk) as relay:
        assert result_of(mme.odr(IMSI, b"\1")) == 2001
        assert relay.requests.get(timeout=LIMIT_S).destination_realm == HOME.encode()


class HomeRelay(HomeScef):
    """An agent between the networks."""

    def __init__(self, host):
        from scef import Taken
        self.requests, self.on_request = queue.Queue(), lambda taken: 2001
        self.taken = Taken
        Mme.__init__(self, host, "dra.ipx.example", "ipx.example", application=RELAY)


def test_who_asked_and_went_gets_nothing_and_the_rest_goes_on(iwk, mme):
    with HomeScef(iwk, on_request=lambda taken: None) as home:
        with Mme(iwk, "mme2.epc.test") as gone:
            gone.begin_odr(IMSI, b"\1")
            taken = home.take(ODR)
        until(lambda: not is_open(iwk, "mme2.epc.test"), "its end")
        home.answer(taken, 2001)
        home.on_request = lambda taken: 2001
        assert result_of(mme.odr(IMSI, b"\2")) == 2001


def test_an_answer_that_cannot_be_read_is_3002(iwk, mme):
    with HomeScef(iwk, on_request=lambda taken: [avp(268, 2001), avp(268, 2001)]) as home:
        assert result_of(mme.odr(IMSI, b"\1")) == 3002
        home.on_request = lambda taken: 2001
        assert result_of(mme.odr(IMSI, b"\2")) == 2001


# ---- what is wrong is answered here ----

@pytest.mark.parametrize("wrong, result", [
    ([avp(4315, b"\1", V3GPP), avp(4315, b"\2", V3GPP)], 5009),
    ([avp(4315, b"\1", V3GPP), unknown(9999, b"x", is_mandatory=True)], 5001),
    ([avp(4315, b"\1", V3GPP), avp(264, b"mme1.epc.test")], 5009),
    ([avp(4315, b"\1", V3GPP), unknown(277, b"\1")], 5014),
])
def test_a_wrong_request_does_not_pass(mme, home, wrong, result):
    answer = mme.begin(ODR, T6A, mme._user(IMSI, b"\x05") + wrong).get(timeout=LIMIT_S)
    assert result_of(answer) == result and find(answer, 264) == b"scef.dromio.test"
    assert home.requests.empty()
    assert result_of(mme.odr(IMSI, b"\2")) == 2001


# ---- events of a visited network's MME (T6ai) ----

def statuses(answer):
    """(reference, Service-Result-Code) of each Monitoring-Event-Config-Status."""
    groups = [{item.code: item.value for item in status.value} for status in answer.avps if status.code == 3142]
    codes = [[part.value for part in group[3152][0].value if part.code == 3147][0] for group in groups]
    return [(group[3124], code) for group, code in zip(groups, codes)]


def test_events_are_taken_by_agreement_and_their_reports_go_up(mme, home):
    answer = t6ai(mme, CIR, event(7, home.identity, 0), event(8, home.identity, 2), event(9, "scef.nobody.example", 0), imsi=IMSI)
    assert result_of(answer) == 2001
    assert statuses(answer) == [(7, 2001), (8, 5101), (9, 2001)]  # the last by whose subscriber it is
    answer = t6ai(mme, RIR, report(7, home.identity, 0))
    taken = home.take(RIR)
    assert result_of(answer) == 2001
    assert (taken.destination_host, taken.destination_realm, taken.host) == (home.identity.encode(), HOME.encode(), b"mme1.epc.test")
    assert taken.find(3123, 3124) == 7


def test_a_report_that_names_no_scef_goes_to_the_events(iwk, mme, home):
    t6ai(mme, CIR, event(70, home.identity, 0), imsi=IMSI)
    assert result_of(t6ai(mme, RIR, report(70))) == 2001
    assert home.take(RIR).destination_host == home.identity.encode()
    with Mme(iwk, "mme2.epc.test") as other:
        assert result_of(t6ai(other, RIR, report(70))) == 5515  # another node's number
    t6ai(mme, CIR, event(None, home.identity, 0, deletion=[70]), imsi=IMSI)
    assert result_of(t6ai(mme, RIR, report(70))) == 5515
    assert home.requests.empty()


def test_a_report_that_no_agreement_is_on_is_refused(mme, home):
    assert result_of(t6ai(mme, RIR, report(7, home.identity, 2))) == 5101
    answer = t6ai(mme, RIR, report(7, home.identity, 0), report(8, f"scef2.{HOME}", 0))
    assert result_of(answer) == 5004 and find(answer, 279, 3123) is not None
    assert home.requests.empty()


def test_a_report_with_the_configuration_goes_up_as_one_of_this_host(mme, home):
    answer = t6ai(mme, CIR, event(71, home.identity, 0), report(71, home.identity, 0), imsi=IMSI)
    assert statuses(answer) == [(71, 2001)]
    taken = home.take(RIR)
    assert (taken.host, taken.destination_host, taken.find(3123, 3124), taken.imsi) == (b"scef.dromio.test", home.identity.encode(), 71, IMSI)


def test_what_passed_is_counted(iwk, mme, home):
    def data(direction):
        name = f'dromio_interworking_data_bytes_total{{home="99970",direction="{direction}"}}'
        return next((int(line.rsplit(" ", 1)[1]) for line in iwk.metrics().splitlines() if line.startswith(name)), 0)
    before = data("up"), data("down")
    mme.odr(IMSI, bytes(11))
    home.tdr(IMSI, bytes(7))
    assert (data("up"), data("down")) == (before[0] + 11, before[1] + 7)
    assert 'dromio_interworking_succeeded_total{home="99970",direction="up",command="MO-Data"}' in iwk.metrics()


# ---- bytes ----

def from_abroad(extra=b"", data=b"\x01", host="mme1.example.org", **header):
    return wire.odr(data, IMSI, host, extra, **header)


BROKEN = [
    (from_abroad(extra=wire.raw_avp(263, b"x", length=4)), 5014),                       # shorter than its header
    (from_abroad(extra=wire.raw_avp(3102, b"\0\0\0\1\x40\0\0\xff", vendor=V3GPP)), 5014),  # longer than the group around it
    (from_abroad(extra=wire.raw_avp(9999, b"x")), 5001),
    (from_abroad(extra=wire.raw_avp(4314, b"\0\0\0\0", flags=0x41, vendor=V3GPP)), 3009),  # a reserved bit
    (from_abroad(extra=wire.raw_avp(283, b"dromio.test") * 3), 5009),
    (from_abroad(extra=wire.raw_avp(264, b"mme1.example.org")), 5009),
    (from_abroad(host="mme\0.example.org"), 5004),
    (from_abroad(extra=wire.raw_avp(284, b"\0\0\1\x18" * 9)), 5014),                    # a group of garbage
    (from_abroad()[:4] + b"\xe0" + from_abroad()[5:], 3008),                            # E bit in a request
]


@pytest.mark.parametrize("data, result", BROKEN)
def test_broken_bytes_are_answered_here(iwk, home, data, result):
    with wire.RawPeer(iwk.diameter_port).open() as peer:
        peer.send(data)
        answer = peer.receive()
        assert (result_of(answer), find(answer, 264)) == (result, b"scef.dromio.test")
        peer.send(from_abroad())
        assert result_of(peer.receive()) == 2001
    assert home.take(ODR).data == b"\x01" and home.requests.empty()


@pytest.mark.parametrize("data", [b"\x02" + from_abroad()[1:], wire.with_length(from_abroad(), 12), wire.with_length(from_abroad(), 0xFFFFFF)])
def test_bytes_that_are_no_message_end_their_connection_alone(iwk, mme, home, data):
    with wire.RawPeer(iwk.diameter_port).open("mme3.example.org") as peer:
        peer.send(data)
        assert peer.is_closed()
    assert result_of(mme.odr(IMSI, b"\2")) == 2001
    assert home.take(ODR).data == b"\2" and home.requests.empty()


def test_answers_that_are_not_what_was_asked_for_are_dropped(iwk, mme):
    """A wrong id, another command, one too many: nobody hears of it, and the right one is taken."""
    with HomeScef(iwk, on_request=lambda taken: None) as home:
        box = mme.begin_odr(IMSI, b"\1")
        taken = home.take(ODR)
        for hop, end, code in ((taken.hop_by_hop ^ 1, taken.end_to_end, ODR), (taken.hop_by_hop, taken.end_to_end ^ 1, ODR),
                               (taken.hop_by_hop, taken.end_to_end, TDR)):
            home.send(encode(code, T6A, [avp(263, "s"), avp(268, 2001), *home.origin()], hop, end, is_request=False))
        with HomeScef(iwk, f"scef2.{HOME}") as other:  # another peer's word is none
            other.answer(taken, 5012)
            home.answer(taken, 2001)
            assert result_of(box.get(timeout=LIMIT_S)) == 2001
            home.answer(taken, 2001)
        assert mme.order.count(("answer", ODR)) == 1


# ---- tshark ----

@pytest.mark.skipif(tshark() is None, reason="tshark is not installed")
def test_tshark_reads_all_that_passes(iwk, tmp_path):
    recorder = Recorder(iwk.diameter_port)
    through = types.SimpleNamespace(diameter_port=recorder.port, realm=iwk.realm)
    with Mme(through) as mme, HomeScef(through) as home:
        mme.attach(IMSI, extra=[avp(284, [avp(280, b"agent.epc.test"), avp(33, b"state")])])
        mme.uplink(IMSI, b"\x01\x02\x03")
        assert result_of(home.tdr(IMSI, b"\x81")) == 2001
        t6ai(mme, CIR, event(90, home.identity, 0), event(91, home.identity, 2), report(90, home.identity, 0), imsi=IMSI)
        t6ai(mme, RIR, report(90))
        mme.cmr(IMSI, apn="internet")
        for _ in range(4):
            home.take()
    path = tmp_path / "iwk.pcap"
    recorder.write_pcap(path)
    recorder.stop()
    ours = "diameter && tcp.srcport == 3868"
    assert dissect(path, "frame.number", only="_ws.malformed && tcp.srcport == 3868") == []
    assert dissect(path, "_ws.expert.message", only=f"{ours} && _ws.expert.severity >= 0x600000") == []
    commands = {code for row in dissect(path, "diameter.cmd.code", only=ours) for code in row[0].split(",")}
    assert commands == {"257", str(CMR), str(ODR), str(TDR), str(CIR), str(RIR)}
    routes = {row[0] for row in dissect(path, "diameter.Route-Record", only=f"{ours} && diameter.flags.request == 1") if row[0]}
    assert routes == {"mme1.epc.test", f"scef1.{HOME}"}
    names = " ".join(row[0] for row in dissect(path, "diameter.Service-Result-Code", only=ours) if row[0])
    assert "2001" in names and "5101" in names
