"""Parameters of devices over T8 (TS 29.122, 5.10, 5.12, 5.13) and S6t (TS 29.336, 8.2.1): an HSS of python-diameter on one side,
an application on the other."""
import itertools

import pytest
from host import LIMIT_S, Host, until
from hss import external, refusal, tbcd
from mme import avp, result_of
from parameter_hss import NOT_ALLOWED, OUT_OF_RANGE, STORAGE_FAILED, UNKNOWN, ParameterHss, updated
from sink import Sink
from t8 import CALLBACKS, path_of

CP = "/3gpp-cp-parameter-provisioning/v1/as1/subscriptions"
NP = "/3gpp-network-parameter-configuration/v1/as1/configurations"
ECR = "/3gpp-ecr-control/v1"
HSS_IS_KNOWN = 'diameter.peers=[{identity="hss1.epc.test",applications=["s6t"]},{identity="hss2.epc.test",applications=["s6t"]}]'
SETTINGS = (CALLBACKS, HSS_IS_KNOWN)
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["parameters", "read"])


@pytest.fixture(scope="module")
def sink():
    with Sink() as made:
        yield made


@pytest.fixture
def hss(real):
    with ParameterHss(real) as peer:
        yield peer


@pytest.fixture
def device(real):
    name = f"p{next(numbers)}@acme.example"
    real.admin.put_twin(name)
    return name


def question(hss):
    return hss.cirs.get(timeout=LIMIT_S)


def pattern(name, **members):
    return {"setId": name, **members}


def provision(as1, device, *sets, **members):
    return as1.post(CP, {"externalId": device, "cpParameterSets": {one["setId"]: one for one in sets}, **members})


# ---- communication patterns ----

def test_patterns_are_kept_in_the_network_before_the_application_hears(as1, hss, device):
    wanted = pattern("night", periodicCommunicationIndicator="PERIODICALLY", communicationDurationTime=30, periodicTime=3600,
                     stationaryIndication="MOBILE", trafficProfile="DUAL_TRANS_UL_FIRST", batteryInds=["BATTERY_REPLACE", "BATTERY_RECHARGE"],
                     validityTime="2031-05-06T07:08:09Z",
                     scheduledCommunicationTime={"daysOfWeek": [1, 7], "timeOfDayStart": "20:15:00-08:00", "timeOfDayEnd": "22:00:00Z"})
    answer = provision(as1, device, wanted, mtcProviderId="meters")
    assert answer.status == 201, answer
    cir = question(hss)
    assert cir.external_identifier == device and not cir.is_group
    (values,) = cir.sets().values()
    assert (values[3115], values[3116], values[3117], values[3119], values[3183], values[3185]) == (0, 30, 3600, 1, 2, 6)
    assert values[3148].strftime("%Y-%m-%dT%H:%M:%SZ") == "2031-05-06T07:08:09Z"
    scheduled = {item.code: item.value for item in values[3118]}
    assert scheduled == {563: 0b0000110, 561: 15300, 562: 79200}  # Tuesday and Monday in UTC; bit 0 is Sunday
    body = answer.json()
    one = body["cpParameterSets"]["night"]
    assert {key: one[key] for key in wanted} == {**wanted, "validityTime": one["validityTime"]}
    assert one["validityTime"].startswith("2031-05-06T07:08:09")
    assert path_of(one["self"]) == path_of(answer) + "/cpSets/night"
    assert "cpReports" not in body and as1.get(path_of(answer)).json() == body
    assert body in as1.get(CP).json()
    assert as1.get(path_of(one["self"])).json() == one


def test_a_set_that_the_network_does_not_keep_is_reported_and_not_there(as1, hss, device):
    hss.refused[7] = STORAGE_FAILED
    answer = provision(as1, device, pattern("good", communicationDurationTime=5), pattern("bad", communicationDurationTime=7))
    assert answer.status == 201, answer
    body = answer.json()
    assert list(body["cpParameterSets"]) == ["good"]
    assert body["cpReports"] == {"MALFUNCTION": {"setIds": ["bad"], "failureCode": "MALFUNCTION"}}
    assert len(hss.sets) == 1
    assert as1.get(path_of(answer) + "/cpSets/bad").status == 404


def test_when_no_set_is_kept_there_is_no_subscription(as1, hss, device):
    hss.refused[7] = STORAGE_FAILED
    answer = provision(as1, device, pattern("a", communicationDurationTime=7), pattern("b", communicationDurationTime=7))
    assert answer.status == 500, answer
    assert answer.json() == [{"setIds": ["a", "b"], "failureCode": "MALFUNCTION"}]
    assert device not in as1.get(CP).body.decode() and not hss.sets
    hss.on_cir = lambda cir: refusal(STORAGE_FAILED)
    answer = provision(as1, device, pattern("a"))
    assert (answer.status, answer.json()) == (500, [{"setIds": ["a"], "failureCode": "MALFUNCTION"}])
    hss.on_cir = lambda cir: [avp(268, 5012)]
    answer = provision(as1, device, pattern("a"))
    assert (answer.status, answer.json()) == (500, [{"setIds": ["a"], "failureCode": "OTHER_REASON"}])


def test_a_set_id_is_there_once(as1, hss, device):
    assert provision(as1, device, pattern("night")).status == 201
    question(hss)
    answer = provision(as1, device, pattern("night"))
    assert (answer.status, answer.json()) == (500, [{"setIds": ["night"], "failureCode": "SET_ID_DUPLICATED"}])
    assert hss.cirs.empty(), "the network was asked in vain"
    answer = as1.post(CP, {"externalId": device, "cpParameterSets": {"x": pattern("day"), "y": pattern("day"), "z": pattern("night")}})
    assert answer.status == 201, answer
    assert list(answer.json()["cpParameterSets"]) == ["x"]
    assert answer.json()["cpReports"]["SET_ID_DUPLICATED"]["setIds"] == ["day", "night"]


def test_a_subscription_is_changed_set_by_set(as1, hss, device):
    answer = provision(as1, device, pattern("a", communicationDurationTime=1), pattern("b", communicationDurationTime=2))
    at = path_of(answer)
    before = question(hss).sets()
    body = {"externalId": device, "cpParameterSets": {"b": pattern("b", communicationDurationTime=3), "c": pattern("c", communicationDurationTime=4)}}
    changed = as1.put(at, body)
    assert changed.status == 200, changed
    cir = question(hss)
    assert sorted(cir.references_gone()) == sorted(before) and sorted(values[3116] for values in cir.sets().values()) == [3, 4]
    assert sorted(values[3116] for values in hss.sets.values()) == [3, 4]
    assert sorted(changed.json()["cpParameterSets"]) == ["b", "c"]
    one = as1.put(at + "/cpSets/b", pattern("b", communicationDurationTime=9))
    assert one.status == 200 and one.json()["communicationDurationTime"] == 9, one
    cir = question(hss)
    assert [values[3116] for values in cir.sets().values()] == [9] and len(cir.references_gone()) == 1
    assert sorted(values[3116] for values in hss.sets.values()) == [4, 9]
    assert as1.get(at).json()["cpParameterSets"]["b"]["communicationDurationTime"] == 9
    hss.refused[11] = STORAGE_FAILED
    refused = as1.put(at + "/cpSets/b", pattern("b", communicationDurationTime=11))
    assert (refused.status, refused.json()) == (500, {"setIds": ["b"], "failureCode": "MALFUNCTION"})
    assert as1.get(at + "/cpSets/b").json()["communicationDurationTime"] == 9
    question(hss)
    assert as1.put(at + "/cpSets/b", pattern("other")).status == 400
    assert as1.put(at + "/cpSets/none", pattern("none")).status == 404
    assert as1.delete(at + "/cpSets/c").status == 204
    assert len(question(hss).references_gone()) == 1
    assert [values[3116] for values in hss.sets.values()] == [9]
    assert sorted(as1.get(at).json()["cpParameterSets"]) == ["b"]
    assert as1.delete(at).status == 204
    question(hss)
    assert not hss.sets and as1.get(at).status == 404


def test_what_a_device_has_is_bounded_in_bytes_set_by_set_too(as1, hss, device):
    small = path_of(provision(as1, device, pattern("small")))
    answers = [provision(as1, device, *(pattern(f"{i}-{k}-{'x' * 240}") for k in range(4))) for i in range(20)]
    assert {answer.status for answer in answers} == {201, 403}
    assert answers[-1].json()["cause"] == "QUOTA_EXCEEDED"
    refused = as1.put(small + "/cpSets/small", pattern("small", communicationDurationTime=9))
    assert refused.status == 403 and refused.json()["cause"] == "QUOTA_EXCEEDED", refused
    assert "communicationDurationTime" not in as1.get(small + "/cpSets/small").json()


def test_the_last_set_takes_its_subscription_with_it(as1, hss, device):
    answer = provision(as1, device, pattern("a b/c"))
    assert answer.status == 201, answer
    link = path_of(answer.json()["cpParameterSets"]["a b/c"]["self"])
    assert link.endswith("/cpSets/a%20b%2Fc") and as1.get(link).status == 200
    assert as1.delete(link).status == 204
    assert as1.get(path_of(answer)).status == 404 and not hss.sets


@pytest.mark.parametrize("said,status,cause", [
    (refusal(UNKNOWN), 404, "USER_UNKNOWN"), (refusal(NOT_ALLOWED), 403, "OPERATION_NOT_ALLOWED"), (refusal(OUT_OF_RANGE), 403, "PARAMETER_OUT_OF_RANGE"),
    ([avp(268, 3004)], 503, None),
])
def test_what_the_hss_refuses_is_refused(as1, hss, device, sink, said, status, cause):
    hss.on_cir = lambda cir: said
    for answer in (provision(as1, device, pattern("a")), as1.post(NP, {"externalId": device, "maximumLatency": 3600})):
        assert (answer.status, answer.json().get("cause")) == (status, cause), answer
        assert cause != "PARAMETER_OUT_OF_RANGE" or answer.json()["invalidParams"][0]["param"].startswith("/")
        assert status != 503 or int(answer.headers["Retry-After"]) > 0
    assert device not in as1.get(CP).body.decode() + as1.get(NP).body.decode()


def test_without_an_hss_to_reach_the_application_is_asked_to_try_again(real, as1, hss, device):
    hss.close()
    until(lambda: real.admin.get("/v1/peers").json()["peers"][0]["state"] == "closed", "the end of the HSS's connection")
    for answer in (provision(as1, device, pattern("a")), as1.post(NP, {"externalId": device, "maximumLatency": 3600}),
                   as1.post(ECR + "/query", {"externalId": device, "supportedFeatures": "0"})):
        assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0, answer


@pytest.mark.parametrize("body,pointer", [
    ({}, ""), ({"cpParameterSets": {}}, "/cpParameterSets"), ({"cpParameterSets": {"a": {}}}, "/cpParameterSets/a/setId"),
    ({"cpParameterSets": {"a": {"setId": 7}}}, "/cpParameterSets/a/setId"),
    ({"cpParameterSets": {"a": {"setId": "a", "periodicTime": -1}}}, "/cpParameterSets/a/periodicTime"),
    ({"cpParameterSets": {"a": {"setId": "a", "validityTime": "2001-01-01T00:00:00Z"}}}, "/cpParameterSets/a/validityTime"),
    ({"cpParameterSets": {"a": {"setId": "a", "stationaryIndication": "FLYING"}}}, "/cpParameterSets/a/stationaryIndication"),
    ({"cpParameterSets": {"a": {"setId": "a", "scheduledCommunicationTime": {"daysOfWeek": [0]}}}},
     "/cpParameterSets/a/scheduledCommunicationTime/daysOfWeek/0"),
    ({"cpParameterSets": {"a": {"setId": "a", "scheduledCommunicationTime": {"timeOfDayStart": "25:00:00"}}}},
     "/cpParameterSets/a/scheduledCommunicationTime/timeOfDayStart"),
])
def test_patterns_that_make_no_sense_are_refused(as1, device, body, pointer):
    answer = as1.post(CP, {"externalId": device, **body} if body else {"externalId": device})
    assert answer.status == 400, answer
    assert pointer in ("", answer.json()["invalidParams"][0]["param"]), answer


# ---- network parameters ----

def test_what_the_network_applies_is_told_to_the_application_and_moves_the_contacts(real, as1, hss, device, sink):
    hss.applied = (6480, 16, None)
    answer = as1.post(NP, {"externalId": device, "maximumLatency": 7200, "maximumResponseTime": 20, "suggestedNumberOfDlPackets": 5,
                           "notificationDestination": sink.link("/" + device)})
    assert answer.status == 201, answer
    cir = question(hss)
    assert cir.external_identifier == device and list(hss.networks.values()) == [(6480, 16, 5)]
    (notice,) = until(lambda: sink.taken("/" + device), "the notification")
    assert notice == {"configuration": answer.json()["self"],
                      "appliedParam": {"externalIds": [device], "maximumLatency": 6480, "maximumResponseTime": 16}}
    network = real.admin.twin(device)["contact"]["schedule"]["network"]
    assert network == {"periodic": 6480, "active": 16, "packets": 5}
    assert {"maximumLatency": 7200, "maximumResponseTime": 20}.items() <= as1.get(path_of(answer)).json().items()


def test_parameters_that_are_applied_as_they_were_asked_for_are_not_told(as1, hss, device, sink):
    answer = as1.post(NP, {"externalId": device, "maximumLatency": 7200, "requestTestNotification": True,
                           "notificationDestination": sink.link("/t" + device)})
    assert answer.status == 201, answer
    (notice,) = until(lambda: sink.taken("/t" + device), "the test notification")
    assert "appliedParam" not in notice


def test_parameters_are_changed_by_a_patch_and_end(as1, hss, device):
    at = path_of(as1.post(NP, {"externalId": device, "maximumLatency": 7200, "maximumResponseTime": 20}))
    question(hss)
    changed = as1.request("PATCH", at, b'{"maximumLatency":3600,"maximumResponseTime":null}', **{"Content-Type": "application/merge-patch+json"})
    assert changed.status == 200 and changed.json()["maximumLatency"] == 3600 and "maximumResponseTime" not in changed.json(), changed
    assert len(question(hss).references_gone()) == 1 and list(hss.networks.values()) == [(3600, None, None)]
    changed = as1.put(at, {"externalId": device, "suggestedNumberOfDlPackets": 3})
    assert changed.status == 200, changed
    assert list(hss.networks.values()) == [(None, None, 3)]
    assert as1.put(at, {"externalId": "other@acme.example", "maximumLatency": 3600}).status == 400
    assert as1.delete(at).status == 204 and as1.get(at).status == 404
    assert not hss.networks


@pytest.mark.parametrize("members,pointer", [
    ({"maximumLatency": 59}, "/maximumLatency"), ({"maximumLatency": 35712001}, "/maximumLatency"),
    ({"maximumResponseTime": 11161}, "/maximumResponseTime"), ({"suggestedNumberOfDlPackets": 1001}, "/suggestedNumberOfDlPackets"),
    ({"maximumLatency": 3600, "validityTime": "2040-01-01T00:00:00Z"}, "/validityTime"),
])
def test_parameters_out_of_range_are_named(as1, device, members, pointer):
    answer = as1.post(NP, {"externalId": device, **members})
    assert (answer.status, answer.json()["cause"]) == (403, "PARAMETER_OUT_OF_RANGE"), answer
    assert answer.json()["invalidParams"][0]["param"] == pointer


@pytest.mark.parametrize("body,status", [
    ({}, 400), ({"externalId": "nobody@acme.example", "maximumLatency": 60}, 404), ({"msisdn": "4917000000000", "maximumLatency": 60}, 404),
    ({"externalId": "p1@acme.example"}, 400),
    ({"externalId": "p1@acme.example", "msisdn": "4917000000000", "maximumLatency": 60}, 400), ({"externalId": "p1@acme.example", "maximumLatency": "1"}, 400),
])
def test_bodies_that_name_nothing_are_refused(real, as1, body, status):
    real.admin.put_twin("p1@acme.example")
    assert as1.post(NP, body).status == status


def test_another_scope_or_application_sees_nothing_of_it(real, as1, hss, device):
    at = path_of(as1.post(NP, {"externalId": device, "maximumLatency": 7200}))
    other = real.application("as2", ["acme.example"], ["parameters"])
    reader = real.application("as3", ["acme.example"], ["read", "nidd", "monitoring"])
    assert other.get(at).status == 403 and other.get(at.replace("/as1/", "/as2/")).status == 404
    assert reader.get(at.replace("/as1/", "/as3/")).status == 403
    foreign = real.application("as4", ["other.example"], ["parameters"])
    answer = foreign.post(NP.replace("/as1/", "/as4/"), {"externalId": device, "maximumLatency": 60})
    assert (answer.status, answer.json()["cause"]) == (404, "USER_UNKNOWN"), answer


def test_a_device_is_known_by_its_msisdn(real, as1, hss, device):
    real.admin.put_twin(device, msisdn="491730000001")
    answer = as1.post(NP, {"msisdn": "491730000001", "maximumLatency": 7200})
    assert answer.status == 201 and answer.json()["msisdn"] == "491730000001", answer
    assert question(hss).msisdn == tbcd("491730000001")


def test_a_groups_parameters_are_asked_for_once(real, as1, hss, device):
    group = f"g{next(numbers)}@acme.example"
    assert real.admin.put(f"/v1/groups/{group}", {}).status in (200, 201)
    assert real.admin.put(f"/v1/groups/{group}/members/{device}", None).status in (200, 201, 204)
    answer = as1.post(NP, {"externalGroupId": group, "maximumLatency": 7200, "groupReportingGuardTime": 40})
    assert answer.status == 201, answer
    cir = question(hss)
    assert cir.external_identifier == group and cir.is_group and cir.guard_s == 40
    assert as1.get(path_of(answer)).json()["externalGroupId"] == group
    assert provision_group(as1, group).status == 201
    assert question(hss).is_group
    assert as1.delete(path_of(answer)).status == 204 and not hss.networks


def provision_group(as1, group):
    return as1.post(CP, {"externalGroupId": group, "cpParameterSets": {"a": pattern("a", stationaryIndication="STATIONARY")}})


# ---- what the network says on its own ----

PATTERNS_CANCELLED, PARAMETERS_CANCELLED = 1 << 3, 1 << 4  # RIR-Flags


def group_of_one(real, device):
    group = f"g{next(numbers)}@acme.example"
    assert real.admin.put(f"/v1/groups/{group}", {}).status in (200, 201)
    assert real.admin.put(f"/v1/groups/{group}/members/{device}", None).status in (200, 201, 204)
    return group


def test_what_the_network_changes_later_is_told_once(real, as1, hss, device, sink):
    path = "/later" + device
    answer = as1.post(NP, {"externalId": device, "maximumLatency": 7200, "notificationDestination": sink.link(path)})
    (reference,) = hss.networks
    for number in (7, 7, 8):
        assert result_of(hss.report(real.identity, updated(real.identity, reference, (3600, 30, None)), end=0x7000 + number)) == 2001
    (notice,) = until(lambda: sink.taken(path), "the notification")
    assert notice == {"configuration": answer.json()["self"],
                      "appliedParam": {"externalIds": [device], "maximumLatency": 3600, "maximumResponseTime": 30}}
    assert real.admin.twin(device)["contact"]["schedule"]["network"]["periodic"] == 3600
    as1.get(path_of(answer))
    assert len(sink.taken(path)) == 1


def test_what_the_network_cancels_is_not_there_any_more(real, as1, hss, device, sink):
    path = "/cancelled" + device
    parameters = path_of(as1.post(NP, {"externalId": device, "maximumLatency": 7200, "notificationDestination": sink.link(path)}))
    patterns = path_of(provision(as1, device, pattern("a")))
    other = path_of(as1.post(NP, {"externalId": device, "maximumResponseTime": 20}))
    user = avp(3102, [external(device)], 10415)
    assert result_of(hss.report(real.identity, user, avp(3167, PATTERNS_CANCELLED, 10415, m=False))) == 2001
    assert as1.get(patterns).status == 404 and as1.get(parameters).status == 200
    assert result_of(hss.report(real.identity, user, avp(3167, PARAMETERS_CANCELLED, 10415, m=False))) == 2001
    assert as1.get(parameters).status == 404 and as1.get(other).status == 404
    (notice,) = until(lambda: sink.taken(path), "the notification")
    assert notice["configResults"] == [{"externalIds": [device], "resultReason": "OTHER_REASON"}]


def test_one_configuration_is_ended_by_its_reference(real, as1, hss, device):
    first = path_of(as1.post(NP, {"externalId": device, "maximumLatency": 7200}))
    (reference,) = hss.networks
    second = path_of(as1.post(NP, {"externalId": device, "maximumLatency": 3600}))
    assert result_of(hss.report(real.identity, avp(3184, [avp(3125, real.identity.encode(), 10415), avp(3126, reference, 10415)], 10415, m=False))) == 2001
    assert as1.get(first).status == 404 and as1.get(second).status == 200


def test_results_of_a_groups_members_are_told_together(real, as1, hss, device, sink):
    group, path = group_of_one(real, device), "/group" + device
    answer = as1.post(NP, {"externalGroupId": group, "maximumLatency": 7200, "groupReportingGuardTime": 1,
                           "notificationDestination": sink.link(path)})
    assert answer.status == 201, answer
    (reference,) = hss.networks
    failed = avp(3152, [avp(3146, [avp(266, 10415), avp(3147, 5513, 10415)], 10415)], 10415)
    changed = [avp(3166, [avp(3102, [external(name)], 10415), updated(real.identity, reference, (5400, 25, None))], 10415, m=False)
               for name in (device, "other@acme.example")]
    items = [*changed, avp(3166, [avp(3102, [external("odd@acme.example")], 10415), updated(real.identity, reference, (60, None, None))], 10415, m=False),
             avp(3166, [avp(3102, [external("gone@acme.example")], 10415), failed], 10415, m=False)]
    report = avp(3165, [avp(3124, reference, 10415), avp(3125, real.identity.encode(), 10415), *items], 10415, m=False)
    assert result_of(hss.report(real.identity, report)) == 2001
    all_of = lambda key: [notice[key] for notice in sink.taken(path) if key in notice]
    until(lambda: len(all_of("appliedParam")) == 2 and all_of("configResults"), "the notifications")
    assert all_of("configResults") == [[{"externalIds": ["gone@acme.example"], "resultReason": "OTHER_REASON"}]]
    assert all_of("appliedParam") == [{"externalIds": [device, "other@acme.example"], "maximumLatency": 5400, "maximumResponseTime": 25},
                                      {"externalIds": ["odd@acme.example"], "maximumLatency": 60}]
    assert real.admin.twin(device)["contact"]["schedule"]["network"] == {"periodic": 5400, "active": 25}


@pytest.mark.parametrize("name", [avp(1, "001019999999999"), external("gone@acme.example")], ids=["by an IMSI that nobody has", "by its name"])
def test_the_end_for_one_member_is_not_that_of_its_group(real, as1, hss, device, name):
    group = group_of_one(real, device)
    parameters = path_of(as1.post(NP, {"externalGroupId": group, "maximumLatency": 7200}))
    patterns = path_of(provision_group(as1, group))
    for reference in (*hss.networks, *hss.sets):
        item = avp(3166, [avp(3102, [name], 10415), avp(3149, 2, 10415)], 10415, m=False)
        assert result_of(hss.report(real.identity, avp(3165, [avp(3124, reference, 10415), avp(3125, real.identity.encode(), 10415), item], 10415, m=False))) == 2001
    assert as1.get(parameters).status == 200 and as1.get(patterns).status == 200


# ---- answers that make no sense ----

def grouped(code, *inner):
    return avp(code, list(inner), 10415, m=False)


@pytest.mark.parametrize("said", [
    [avp(268, 2001), grouped(3156, grouped(3155, grouped(3157, avp(1407, b"\x00\xf1", 10415))))],         # two octets of a network
    [avp(268, 2001), grouped(3156, grouped(3155, grouped(3158, avp(1407, b"\xaa\xaa\xaa", 10415))))],     # no digits
    [avp(268, 2001), grouped(3156, grouped(3155, grouped(3157, *[avp(1407, b"\x00\xf1\x10", 10415)] * 65)))], # more than there is room for
])
def test_networks_that_are_none_are_no_answer(real, as1, hss, device, said):
    hss.on_cir = lambda cir: said
    answer = as1.post(ECR + "/query", {"externalId": device, "supportedFeatures": "0"})
    assert answer.status == 503, answer
    assert real.is_healthy()


@pytest.mark.parametrize("more", [
    [], [grouped(3120)], [grouped(3120, avp(3124, 0, 10415))], [grouped(3120, avp(3124, 0xFFFFFFFF, 10415), grouped(3121))],
    [grouped(3120, avp(3124, 1, 10415), grouped(3121, grouped(3146, avp(3147, 5513, 10415))))] * 300,      # of references that nobody asked for
    [grouped(3170)], [grouped(3170, avp(3124, 1, 10415), avp(1619, 0, 10415, m=False))],
])
def test_statuses_of_others_say_nothing_of_ours(real, as1, hss, device, more):
    hss.on_cir = lambda cir: [avp(268, 2001), *more]
    answers = provision(as1, device, pattern("a")), as1.post(NP, {"externalId": device, "maximumLatency": 3600})
    assert all(answer.status in (201, 503) for answer in answers), answers
    assert real.is_healthy()


# ---- what is durable ----

def test_what_the_network_was_not_told_it_is_told_later(real, as1, hss, device):
    made = path_of(as1.post(NP, {"externalId": device, "maximumLatency": 7200}))
    patterns = path_of(provision(as1, device, pattern("a"), pattern("b")))
    hss.close()
    until(lambda: real.admin.get("/v1/peers").json()["peers"][0]["state"] == "closed", "the end of the HSS's connection")
    assert as1.delete(made).status == 204 and as1.delete(patterns + "/cpSets/b").status == 204
    assert as1.get(made).status == 404 and list(as1.get(patterns).json()["cpParameterSets"]) == ["a"]
    real.kill()
    real.start()
    assert as1.get(made).status == 404 and list(as1.get(patterns).json()["cpParameterSets"]) == ["a"]
    with ParameterHss(real) as back:
        back.networks, back.sets = dict(hss.networks), dict(hss.sets)
        until(lambda: not back.networks and len(back.sets) == len(hss.sets) - 1, "the network to be told")


def test_so_it_is_of_groups(real, as1, hss, device):
    group = group_of_one(real, device)
    made = path_of(as1.post(NP, {"externalGroupId": group, "maximumLatency": 7200}))
    patterns = path_of(as1.post(CP, {"externalGroupId": group, "cpParameterSets": {"a": pattern("a"), "b": pattern("b")}}))
    assert as1.put(patterns + "/cpSets/a", pattern("a", communicationDurationTime=4)).status == 200
    hss.close()
    until(lambda: real.admin.get("/v1/peers").json()["peers"][0]["state"] == "closed", "the end of the HSS's connection")
    assert as1.delete(made).status == 204 and as1.delete(patterns + "/cpSets/b").status == 204
    real.kill()
    real.start()
    assert as1.get(made).status == 404 and list(as1.get(patterns).json()["cpParameterSets"]) == ["a"]
    with ParameterHss(real) as back:
        back.networks, back.sets = dict(hss.networks), dict(hss.sets)
        until(lambda: not back.networks and [values.get(3116) for values in back.sets.values()] == [4], "the network to be told")


def test_a_twin_that_goes_takes_what_the_network_has_of_it(real, as1, hss, device):
    as1.post(NP, {"externalId": device, "maximumLatency": 7200})
    provision(as1, device, pattern("a"), pattern("b"))
    assert real.admin.delete(f"/v1/twins/{device}").status == 204
    until(lambda: not hss.networks and not hss.sets, "the network to be told")
    assert device not in as1.get(NP).body.decode() + as1.get(CP).body.decode()


def test_an_application_that_goes_takes_what_it_had_with_it(real, hss, device):
    gone = real.application("as9", ["acme.example"], ["parameters"])
    assert gone.post(NP.replace("as1", "as9"), {"externalId": device, "maximumLatency": 7200}).status == 201
    assert gone.post(CP.replace("as1", "as9"), {"externalId": device, "cpParameterSets": {"a": pattern("a")}}).status == 201
    assert real.admin.delete("/v1/applications/as9").status == 204
    until(lambda: not hss.networks and not hss.sets, "the network to be told")


# ---- enhanced coverage ----

def test_enhanced_coverage_is_asked_and_set(as1, hss, device):
    hss.coverage = ("allowed", [b"\x62\xf2\x10"])
    answer = as1.post(ECR + "/query", {"externalId": device, "supportedFeatures": "0"})
    assert (answer.status, answer.json()) == (200, {"supportedFeatures": "0", "visitedPlmnId": {"mcc": "001", "mnc": "01"},
                                                    "allowedPlmnIds": [{"mcc": "262", "mnc": "01"}]}), answer
    assert question(hss).flags == 2
    answer = as1.post(ECR + "/configure", {"externalId": device, "supportedFeatures": "0", "scsAsId": "as1",
                                           "restrictedPlmnIds": [{"mcc": "001", "mnc": "01"}, {"mcc": "310", "mnc": "410"}]})
    assert answer.status == 200 and answer.json()["restrictedPlmnIds"] == [{"mcc": "001", "mnc": "01"}, {"mcc": "310", "mnc": "410"}], answer
    assert hss.coverage == ("restricted", [b"\x00\xf1\x10", b"\x13\x00\x14"])
    answer = as1.post(ECR + "/configure", {"externalId": device, "supportedFeatures": "0", "allowedPlmnIds": []})
    assert answer.status == 200 and answer.json()["allowedPlmnIds"] == [], answer
    assert hss.coverage == ("allowed", [])


@pytest.mark.parametrize("path,members,status", [
    ("/query", {"restrictedPlmnIds": []}, 400), ("/configure", {}, 400), ("/configure", {"restrictedPlmnIds": [], "allowedPlmnIds": []}, 400),
    ("/configure", {"restrictedPlmnIds": [{"mcc": "1", "mnc": "01"}]}, 400), ("/configure", {"restrictedPlmnIds": [{"mcc": "0x1", "mnc": "01"}]}, 400),
    ("/configure", {"restrictedPlmnIds": {}}, 400), ("/query", {"scsAsId": "as2"}, 403), ("/query", {"supportedFeatures": None}, 400),
    ("/query", {"externalId": "nobody@acme.example"}, 404),
])
def test_coverage_that_makes_no_sense_is_refused(real, as1, device, path, members, status):
    body = {"externalId": device, "supportedFeatures": "0", **members}
    answer = as1.post(ECR + path, {key: value for key, value in body.items() if value is not None})
    assert answer.status == status, answer


def test_without_any_hss_it_is_said_who_is_missing():
    with Host(CALLBACKS) as host:
        application = host.application("as1", ["acme.example"], ["parameters"])
        host.admin.put_twin("a@acme.example")
        for answer in (application.post(NP, {"externalId": "a@acme.example", "maximumLatency": 3600}), provision(application, "a@acme.example", pattern("a")),
                       application.post(ECR + "/query", {"externalId": "a@acme.example", "supportedFeatures": "0"})):
            assert answer.status == 503 and "HSS" in answer.json()["detail"], answer
