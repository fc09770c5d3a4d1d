"""Monitoring events: T8 (TS 29.122, 5.3) on one side, an HSS over S6t (TS 29.336, 8.2) on the other."""
import datetime
import itertools
import json
import queue
import threading

import pytest
from host import LIMIT_S, Host, thermo_reading, until
from hss import imsi_of
from mme import Mme
from monte import REFERENCE_UNKNOWN, V3GPP, MonteHss, avp, external, find, item, msisdn_of, refusal, report, result_of
from t8 import CALLBACKS, path_of
from websocket import Websocket

BASE = "/3gpp-monitoring-event/v1/as1/subscriptions"
HSS_IS_KNOWN = 'diameter.peers=[{identity="hss1.epc.test",applications=["s6t"]},{identity="hss2.epc.test",applications=["s6t"]}]'
SETTINGS = (CALLBACKS, HSS_IS_KNOWN)
LOSS, REACHABILITY, LOCATION, ROAMING = 0, 1, 2, 4  # Monitoring-Type
NOT_ALLOWED = 5101
FUTURE = "2035-01-01T00:00:00Z"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["monitoring", "read"])


@pytest.fixture
def hss(real):
    with MonteHss(real) as peer:
        yield peer


class Subscription:
    """One of an application for one device."""

    def __init__(self, host, client, sink, **members):
        self.client, self.sink, self.number = client, sink, next(numbers)
        self.id, self.msisdn, self.path = f"m{self.number}@acme.example", f"4915{self.number:08d}", f"/m{self.number}"
        host.admin.put_twin(self.id, imsi=f"00103{self.number:010d}", msisdn=self.msisdn)
        self.body = {"externalId": self.id, "notificationDestination": sink.link(self.path), "monitoringType": "LOSS_OF_CONNECTIVITY",
                     "maximumNumberOfReports": 5, **members}
        self.body = {name: value for name, value in self.body.items() if value is not None}

    def post(self, **members):
        self.answer = self.client.post(BASE, {**self.body, **members})
        if self.answer.status == 201:
            self.json, self.location = self.answer.json(), self.answer.headers["Location"]
            self.at = path_of(self.location)
        return self.answer

    def made(self, hss, **members):
        assert self.post(**members).status == 201, self.answer
        self.watched = hss.watched.get(timeout=LIMIT_S)
        (self.reference,) = self.watched.references
        return self

    def told(self):
        return self.sink.taken(self.path)

    def reports(self):
        return [each for notice in self.told() for each in notice.get("monitoringEventReports", [])]


@pytest.fixture
def subscription(real, as1, sink):
    return lambda **members: Subscription(real, as1, sink, **members)


def test_a_subscription_is_made_by_the_hss_s_word_shown_and_removed(subscription, as1, hss):
    made = subscription(maximumDetectionTime=3600, monitorExpireTime=FUTURE, mtcProviderId="meters", supportedFeatures="3", websockNotifConfig=None).made(hss)
    asked = made.watched
    assert (asked.external_identifier, asked.is_group, asked[3127], asked[3131], asked[3128]) == (made.id, False, LOSS, 3600, 5)
    assert asked[3130] == datetime.datetime(2035, 1, 1)
    assert made.json == {"self": made.location, **made.body, "monitorExpireTime": "2035-01-01T00:00:00.000Z", "supportedFeatures": "0"}
    assert as1.get(made.at).json() == made.json and made.json in as1.get(BASE).json()
    assert as1.delete(made.at).status == 204
    assert hss.watched.get(timeout=LIMIT_S).gone == [made.reference]
    assert as1.get(made.at).status == 404 and as1.delete(made.at).status == 404 and made.json not in as1.get(BASE).json()
    assert result_of(hss.tell(report(made.reference, LOSS))) in (REFERENCE_UNKNOWN, 2001)


def test_reports_reach_the_application_until_there_were_as_many_as_it_wanted(subscription, as1, hss):
    made = subscription(maximumNumberOfReports=2).made(hss)
    for reason in (0, 1):
        assert result_of(hss.tell(report(made.reference, LOSS, avp(3162, reason, V3GPP)))) == 2001
    until(lambda: len(made.reports()) == 2, "both reports")
    assert [(each["monitoringType"], each["externalId"], each["lossOfConnectReason"]) for each in made.reports()] == [
        ("LOSS_OF_CONNECTIVITY", made.id, reason) for reason in (0, 1)]
    assert all(notice["subscription"] == made.location for notice in made.told()) and all("eventTime" in each for each in made.reports())
    until(lambda: as1.get(made.at).status == 404, "the end of the subscription")


def test_a_guessed_reference_does_not_let_a_peer_speak_of_devices_that_are_not_its_own(sink):
    peers = 'diameter.peers=[{identity="hss1.epc.test",applications=["s6t"]},{identity="hss2.epc.test",applications=["s6t"],imsis=["00102"]}]'
    with Host(CALLBACKS, peers) as host:
        client = host.application("as1", ["acme.example"], ["monitoring"])
        host.admin.put("/v1/groups/g@acme.example", {})
        with MonteHss(host) as hss:
            made = Subscription(host, client, sink).made(hss)
            group = client.post(BASE, {"externalGroupId": "g@acme.example", "notificationDestination": sink.link("/g"), "monitoringType": "LOSS_OF_CONNECTIVITY",
                                       "maximumNumberOfReports": 5})
            assert group.status == 201, group
            (of_group,) = hss.watched.get(timeout=LIMIT_S).references
            with MonteHss(host, identity="hss2.epc.test") as other:
                assert result_of(other.tell(report(made.reference, LOSS))) == REFERENCE_UNKNOWN
                assert result_of(other.tell(report(made.reference, LOSS, avp(3149, 2, V3GPP, m=False)))) == REFERENCE_UNKNOWN  # cancelled
                assert result_of(other.tell(report(of_group, LOSS))) == NOT_ALLOWED
                assert result_of(other.tell(report(made.reference, LOSS, avp(3126, of_group, V3GPP)))) == NOT_ALLOWED
            assert result_of(hss.tell(report(made.reference, LOSS, avp(3162, 1, V3GPP)))) == 2001
            until(made.reports, "the report of its own HSS")
            assert [each["lossOfConnectReason"] for each in made.reports()] == [1]
            assert client.get(made.at).status == client.get(path_of(group.headers["Location"])).status == 200


@pytest.mark.parametrize("cores", [1, 3])
def test_a_limited_peer_s_report_of_a_group_names_no_device_that_is_not_its_own(sink, cores):
    peers = 'diameter.peers=[{identity="hss1.epc.test",applications=["s6t"]},{identity="hss2.epc.test",applications=["s6t"],imsis=["00102"]}]'
    own, second, foreign = "001020000000001", "001020000000002", "001030000000001"
    at = f"/limited-{cores}"
    with Host(CALLBACKS, peers, f"host.cores={cores}") as host:
        client = host.application("as1", ["acme.example"], ["monitoring"])
        host.admin.put("/v1/groups/g@acme.example", {})
        for name, imsi, msisdn in (("own", own, "491501"), ("second", second, "491502"), ("foreign", foreign, "491503")):
            host.admin.put_twin(f"{name}@acme.example", imsi=imsi, msisdn=msisdn)
        with MonteHss(host) as hss:
            made = client.post(BASE, {"externalGroupId": "g@acme.example", "notificationDestination": sink.link(at), "monitoringType": "LOSS_OF_CONNECTIVITY",
                                      "maximumNumberOfReports": 50})
            assert made.status == 201, made
            (reference,) = hss.watched.get(timeout=LIMIT_S).references
            beside = [  # the names beside its own IMSI
                [external("foreign@acme.example")], [msisdn_of("491503")], [external("nobody@acme.example")],
                [external("foreign@acme.example"), msisdn_of("491501")], [external("nobody@acme.example"), msisdn_of("491503")],
                [external("own@acme.example")], [], [external("second@acme.example")]]
            cancelled = avp(3149, 2, V3GPP, m=False)
            with MonteHss(host, identity="hss2.epc.test") as other:
                for names in beside:
                    assert result_of(other.tell(group_report(reference, item([imsi_of(own), *names], LOSS)))) == 2001
                assert result_of(other.tell(group_report(reference, item([imsi_of(own), external("foreign@acme.example")], LOSS, cancelled)))) == 2001
            assert result_of(hss.tell(group_report(reference, item([external("foreign@acme.example")], LOSS)))) == 2001

            def reports():
                return [each for notice in sink.taken(at) for each in notice.get("monitoringEventReports", [])]

            until(lambda: len(reports()) == len(beside) + 1, "all reports")
            *said, of_all = [(each.get("externalId"), each.get("msisdn")) for each in reports()]
            assert of_all == ("foreign@acme.example", None), "who may speak of all"
            ended = [each for notice in sink.taken(at) for each in notice.get("cancelExternalIds", [])]
            if cores == 1:
                assert said == [("own@acme.example", None)] * (len(beside) - 1) + [("second@acme.example", None)]
                assert ended == ["own@acme.example"]
            else:  # where another core has the device, core 0 cannot check a name: there is none
                assert set(said) <= {("own@acme.example", None), ("second@acme.example", None), (None, None)}
                assert set(ended) <= {"own@acme.example"}


def test_reachability_of_another_kind_than_asked_for_is_not_told(subscription, hss, real):
    made = subscription(monitoringType="UE_REACHABILITY", reachabilityType="SMS", maximumNumberOfReports=1).made(hss)
    for kind in (1, 0):  # reachable for data, for SMS
        assert result_of(hss.tell(report(made.reference, REACHABILITY, avp(3140, kind, V3GPP)))) == 2001
    until(made.reports, "a report")
    assert [each["reachabilityType"] for each in made.reports()] == ["SMS"]
    rows = [row for row in real.admin.get(f"/v1/twins/{made.id}/timeline").json()["events"] if row["kind"] == "network"]
    assert len(rows) == 2 and not any("schedule" in row for row in rows)


def test_a_repeated_report_is_told_once(subscription, hss):
    made = subscription().made(hss)
    for again in (False, True):
        assert result_of(hss.tell(report(made.reference, LOSS), end=77_000 + made.number, is_again=again)) == 2001
    assert result_of(hss.tell(report(made.reference, LOSS, avp(3162, 1, V3GPP)))) == 2001
    until(lambda: len(made.reports()) >= 2, "reports")
    assert len(made.reports()) == 2


def test_a_one_time_report_that_comes_at_once_is_the_answer(subscription, as1, hss):
    made = subscription(monitoringType="ROAMING_STATUS", maximumNumberOfReports=1, plmnIndication=True)
    hss.at_once = [lambda reference: report(reference, ROAMING, avp(3139, 0, V3GPP), avp(1407, b"\x62\xf2\x10", V3GPP))]
    answer = made.post()
    assert answer.status == 200, answer
    said = answer.json()
    assert (said["monitoringType"], said["externalId"], said["roamingStatus"]) == ("ROAMING_STATUS", made.id, True)
    assert made.id not in as1.get(BASE).body.decode()
    hss.watched.get(timeout=LIMIT_S)
    with pytest.raises(queue.Empty):  # the HSS has nothing left of it, so nothing is to be ended there
        hss.watched.get(timeout=0.3)
    answer = made.post(maximumNumberOfReports=3)
    assert answer.status == 201 and answer.json()["monitoringEventReport"]["roamingStatus"] is True


def test_by_msisdn_the_msisdn_is_asked_and_told(subscription, hss):
    made = subscription(externalId=None)
    made.body["msisdn"] = made.msisdn
    made.made(hss)
    assert made.watched.msisdn == msisdn_of(made.msisdn).value and made.watched.external_identifier is None
    hss.tell(report(made.reference, LOSS))
    until(made.reports, "a report")
    assert made.reports()[0]["msisdn"] == made.msisdn and "externalId" not in made.reports()[0]


def test_put_replaces_it_at_the_hss_too(subscription, as1, hss):
    made = subscription().made(hss)
    answer = as1.put(made.at, {**made.body, "maximumNumberOfReports": 7, "maximumDetectionTime": 60})
    assert answer.status == 200 and answer.json() == {**made.json, "maximumNumberOfReports": 7, "maximumDetectionTime": 60}
    asked = hss.watched.get(timeout=LIMIT_S)
    assert asked.gone == [made.reference] and len(asked.references) == 1 and asked.references != [made.reference]
    assert (asked[3128], asked[3131]) == (7, 60)
    hss.tell(report(asked.references[0], LOSS))
    until(made.reports, "a report")
    assert find(hss.tell(report(made.reference, LOSS)), 3171, 298) == REFERENCE_UNKNOWN
    other = subscription()
    answer = as1.put(made.at, {**made.body, "externalId": other.id})
    assert answer.status == 400 and answer.json()["invalidParams"][0]["param"] == "/externalId"


@pytest.mark.parametrize("said,status,cause,name", [
    (refusal(5001), 404, "USER_UNKNOWN", None), (refusal(5510), 403, "OPERATION_NOT_ALLOWED", None), (refusal(5512), 403, "PARAMETER_OUT_OF_RANGE", None),
    (refusal(5513), 500, None, "5513 DIAMETER_ERROR_CONFIGURATION_EVENT_STORAGE_NOT_SUCCESSFUL"), ([avp(268, 3004)], 503, None, None),
    ([avp(268, 5012)], 500, None, "5012 DIAMETER_UNABLE_TO_COMPLY"), ([avp(268, 3002)], 503, None, None),
    *(([avp(268, code)], 500, None, str(code)) for code in (3001, 3003, 3007, 3008, 3009)),
])
def test_what_the_hss_refuses_is_refused(subscription, as1, hss, said, status, cause, name):
    hss.on_watched = lambda watched: said
    made = subscription()
    answer = made.post()
    assert answer.status == status and (cause is None or answer.json()["cause"] == cause), answer
    if status == 500:
        assert name in answer.json()["detail"], answer
    assert made.id not in as1.get(BASE).body.decode()
    is_for_good = status != 503
    assert ("try again" in answer.json()["detail"]) != is_for_good and ("Retry-After" in answer.headers) != is_for_good
    assert cause != "USER_UNKNOWN" or "no such device" in answer.json()["detail"]


def test_an_end_is_told_to_the_hss_until_it_has_heard(subscription, as1, hss, real):
    made = subscription().made(hss)
    hss.on_watched = lambda watched: [avp(268, 3004)]  # too busy
    assert as1.delete(made.at).status == 204
    assert as1.get(made.at).status == 404
    hss.watched.get(timeout=LIMIT_S)
    hss.on_watched = hss.agree
    until(lambda: made.reference in hss.watched.get(timeout=LIMIT_S).gone, "another try")


@pytest.mark.parametrize("change,member", [
    ({"monitoringType": None}, "/monitoringType"), ({"monitoringType": "SOMETHING"}, "/monitoringType"), ({"monitoringType": 3}, "/monitoringType"),
    ({"notificationDestination": None}, "/notificationDestination"), ({"notificationDestination": "ftp://x"}, "/notificationDestination"),
    ({"maximumNumberOfReports": 0}, "/maximumNumberOfReports"), ({"maximumNumberOfReports": "1"}, "/maximumNumberOfReports"),
    ({"maximumNumberOfReports": None}, "/maximumNumberOfReports"), ({"monitorExpireTime": "soon"}, "/monitorExpireTime"),
    ({"monitorExpireTime": "2020-01-01T00:00:00Z"}, "/monitorExpireTime"), ({"maximumDetectionTime": -1}, "/maximumDetectionTime"),
    ({"maximumLatency": 1.5}, "/maximumLatency"), ({"maximumResponseTime": True}, "/maximumResponseTime"), ({"repPeriod": []}, "/repPeriod"),
    ({"suggestedNumberOfDlPackets": "x"}, "/suggestedNumberOfDlPackets"), ({"idleStatusIndication": 1}, "/idleStatusIndication"),
    ({"reachabilityType": "MAIL"}, "/reachabilityType"), ({"locationType": "HERE"}, "/locationType"), ({"accuracy": "GOOD"}, "/accuracy"),
    ({"associationType": "SIM"}, "/associationType"), ({"plmnIndication": "yes"}, "/plmnIndication"), ({"minimumReportInterval": {}}, "/minimumReportInterval"),
    ({"locationArea": []}, "/locationArea"), ({"locationArea": {"cellIds": []}}, "/locationArea/cellIds"),
    ({"locationArea": {"cellIds": [1]}}, "/locationArea/cellIds/0"), ({"locationArea": {"geographicAreas": [1]}}, "/locationArea/geographicAreas/0"),
    ({"requestTestNotification": "no"}, "/requestTestNotification"), ({"websockNotifConfig": 1}, "/websockNotifConfig"),
    ({"supportedFeatures": "xyz"}, "/supportedFeatures"), ({"mtcProviderId": ""}, "/mtcProviderId"), ({"externalId": "nobody"}, "/externalId"),
    ({"msisdn": "49"}, "/msisdn"), ({"addedExternalIds": []}, "/addedExternalIds"), ({"addedExternalIds": ["x"]}, "/addedExternalIds/0"),
    ({"excludedMsisdns": [12345]}, "/excludedMsisdns/0"), ({"addedMsisdns": ["a"]}, "/addedMsisdns/0"), ({"excludedExternalIds": "a@b"}, "/excludedExternalIds"),
    ({"groupReportGuardTime": 5}, "/groupReportGuardTime"), ({"addedExternalIds": ["a@acme.example"]}, "/externalGroupId"), ({"immediateRep": 0}, "/immediateRep"),
    ({"snssai": 1}, "/snssai"), ({"apiNames": {}}, "/apiNames"), ({"sesEstInd": "x"}, "/sesEstInd"), ({"maxAgeOfLocEst": "x"}, "/maxAgeOfLocEst"),
    ({"monitoringType": "UE_REACHABILITY"}, "/reachabilityType"), ({"monitoringType": "LOCATION_REPORTING"}, "/locationType"),
    ({"monitoringType": "CHANGE_OF_IMSI_IMEI_ASSOCIATION"}, "/associationType"), ({"monitoringType": "NUMBER_OF_UES_IN_AN_AREA"}, "/locationArea"),
    ({"monitoringType": "NUMBER_OF_UES_IN_AN_AREA", "locationArea": {"cellIds": ["1"]}}, "/externalId"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_body_that_cannot_be_is_400_and_names_the_member(subscription, change, member):
    made = subscription()
    body = {name: value for name, value in {**made.body, **change}.items() if value is not None}
    answer = made.client.post(BASE, body)
    assert answer.status == 400 and answer.headers["Content-Type"] == "application/problem+json", answer
    (invalid,) = answer.json()["invalidParams"]
    assert invalid["param"] == member and invalid["reason"] == answer.json()["detail"], answer


@pytest.mark.parametrize("change,member", [
    ({"monitoringType": "UE_REACHABILITY", "reachabilityType": "SMS", "maximumNumberOfReports": 2}, "/maximumNumberOfReports"),
    ({"monitoringType": "LOCATION_REPORTING", "locationType": "LAST_KNOWN_LOCATION", "maximumNumberOfReports": 2}, "/maximumNumberOfReports"),
    ({"monitoringType": "LOCATION_REPORTING", "locationType": "INITIAL_LOCATION"}, "/locationType"),
    ({"monitoringType": "LOCATION_REPORTING", "locationType": "CURRENT_LOCATION", "accuracy": "GEO_AREA"}, "/accuracy"),
    ({"monitorExpireTime": "2099-01-01T00:00:00Z"}, "/monitorExpireTime"),
])
def test_what_no_network_could_do_is_out_of_range(subscription, change, member):
    answer = subscription().post(**change)
    assert (answer.status, answer.json()["cause"], answer.json()["invalidParams"][0]["param"]) == (403, "PARAMETER_OUT_OF_RANGE", member), answer


@pytest.mark.parametrize("kind", ["DOWNLINK_DATA_DELIVERY_STATUS", "API_SUPPORT_CAPABILITY", "NUM_OF_REGD_UES", "NUM_OF_ESTD_PDU_SESSIONS", "AREA_OF_INTEREST"])
def test_events_of_5g_are_refused(subscription, kind):
    answer = subscription().post(monitoringType=kind)
    assert (answer.status, answer.json()["cause"], answer.json()["invalidParams"][0]["param"]) == (403, "OPERATION_NOT_ALLOWED", "/monitoringType")


def test_a_type_that_is_none_is_answered_with_all_there_are(subscription):
    answer = subscription().post(monitoringType="ROAMING")
    assert answer.status == 400 and "AVAILABILITY_AFTER_DDN_FAILURE, " in answer.json()["detail"] and answer.json()["detail"].endswith("AREA_OF_INTEREST")


def test_members_of_a_later_release_and_of_5g_are_passed_over(subscription, hss):
    made = subscription(somethingNew={"a": 1}, afServiceId="x", monitoringEventReport={"monitoringType": "ROAMING_STATUS"}).made(hss)
    assert not {"somethingNew", "afServiceId", "monitoringEventReport"} & set(made.json)


def test_unknown_devices_and_others_subscriptions_are_not_there(real, subscription, as1, hss, sink):
    made = subscription().made(hss)
    answer = as1.post(BASE, {**made.body, "externalId": "nobody@acme.example"})
    assert (answer.status, answer.json()["cause"]) == (404, "USER_UNKNOWN")
    other = real.application("as2", ["acme.example"], ["monitoring"])
    assert other.get(made.at).status == 403 and other.get(made.at.replace("/as1/", "/as2/")).status == 404
    foreign = real.application("as3", ["other.example"], ["monitoring"])
    assert foreign.post(BASE.replace("as1", "as3"), made.body).status == 404
    address = {name: value for name, value in made.body.items() if name != "externalId"}
    assert as1.post(BASE, {**address, "ipv4Addr": "10.0.0.1"}).json()["cause"] == "USER_UNKNOWN"


def test_a_test_notification_comes_first(subscription, hss):
    made = subscription(requestTestNotification=True).made(hss)
    hss.tell(report(made.reference, LOSS))
    until(made.reports, "a report")
    assert made.told()[0] == {"subscription": made.location} and "requestTestNotification" not in made.json


def test_a_subscription_ends_in_time(subscription, as1, hss):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)
    made = subscription(maximumNumberOfReports=None, monitorExpireTime=soon.isoformat()).made(hss)
    until(lambda: as1.get(made.at).status == 404, "its end")


def test_without_an_hss_to_reach_the_application_is_asked_to_try_again(subscription):
    answer = subscription().post()
    assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0


def test_an_application_that_may_not_any_more_hears_nothing(real, sink, hss):
    client = real.application("less", ["acme.example"], ["monitoring", "read"])
    made = Subscription(real, client, sink)
    answer = client.post(BASE.replace("as1", "less"), made.body)
    assert answer.status == 201
    (reference,) = hss.watched.get(timeout=LIMIT_S).references
    assert real.admin.request("PATCH", "/v1/applications/less", {"scopes": ["read"]}, Content_Type="application/merge-patch+json").status == 200
    assert result_of(hss.tell(report(reference, LOSS))) == 2001
    assert real.admin.request("PATCH", "/v1/applications/less", {"scopes": ["read", "monitoring"]}, Content_Type="application/merge-patch+json").status == 200
    assert result_of(hss.tell(report(reference, LOSS, avp(3162, 1, V3GPP)))) == 2001
    until(made.reports, "the report of when it may")
    assert [each.get("lossOfConnectReason") for each in made.reports()] == [1]


def test_an_application_and_a_twin_that_go_take_their_subscriptions_along(real, sink, subscription, hss):
    client = real.application("leaving", ["acme.example"], ["monitoring"])
    made = subscription()
    answer = client.post(BASE.replace("as1", "leaving"), made.body)
    assert answer.status == 201
    (reference,) = hss.watched.get(timeout=LIMIT_S).references
    assert real.admin.delete("/v1/applications/leaving").status == 204
    assert hss.watched.get(timeout=LIMIT_S).gone == [reference]
    lost = subscription().made(hss)
    assert real.admin.delete(f"/v1/twins/{lost.id}").status == 204
    assert hss.watched.get(timeout=LIMIT_S).gone == [lost.reference]


# ---- devices in an area ----

CELLS = {"cellIds": ["001-01-0a1b2c3"], "trackingAreaIds": ["001-01-0a1b"]}


class Counting(Mme):
    """A serving node that says how many devices are in an area."""

    def __init__(self, *arguments, count=0, said=None, **more):
        self.count, self.said, self.asked = count, said, queue.Queue()
        super().__init__(*arguments, **more)

    def on_other(self, message):
        session = next(item for item in message.avps if item.code == 263)
        here = avp(3127, 7, V3GPP)
        where = avp(1496, find(message, 3122, 4306, 1496), V3GPP)  # as it was asked about
        place = avp(4307, [where, avp(4308, self.count, V3GPP)], V3GPP)
        said = self.said or [avp(268, 2001), avp(3123, [avp(3124, 1, V3GPP), here, place], V3GPP)]
        self._answer(message, [session, said[0], avp(277, 1), *self.origin(), *said[1:]])
        self.asked.put(message)


def area(as1, sink, **members):
    return as1.post(BASE, {"notificationDestination": sink.link("/area"), "monitoringType": "NUMBER_OF_UES_IN_AN_AREA", "maximumNumberOfReports": 1,
                           "locationArea": CELLS, **members})


def test_serving_nodes_count_the_devices_in_an_area_and_the_sum_is_told(real, as1, sink):
    with Counting(real, identity="mme8.epc.test", count=3) as one, Counting(real, identity="mme9.epc.test", count=4) as other:
        answer = area(as1, sink)
        assert answer.status == 200, answer
        assert answer.json()["uePerLocationReport"] == {"ueCount": 7} and answer.json()["monitoringType"] == "NUMBER_OF_UES_IN_AN_AREA"
        for node in (one, other):
            assert find(node.asked.get(timeout=LIMIT_S), 3122, 3127) == 7
        other.said = refusal(5101)
        assert area(as1, sink).json()["uePerLocationReport"] == {"ueCount": 3}  # what the others say
        other.said = [avp(268, 3001)]
        assert area(as1, sink).json()["uePerLocationReport"] == {"ueCount": 3}
        one.said = [avp(268, 3007)]
        answer = area(as1, sink)
        assert answer.status == 500 and "Retry-After" not in answer.headers
        assert answer.json()["detail"].startswith("no serving node takes such requests"), answer
        one.said = [avp(268, 3004)]  # in either order
        assert area(as1, sink).status == 503
        one.said, other.said = other.said, one.said
        assert area(as1, sink).status == 503
        for change, member in (({"maximumNumberOfReports": 2}, "/maximumNumberOfReports"), ({"locationArea": {"cellIds": ["here"]}}, "/locationArea"),
                               ({"locationArea": {"routingAreaIds": ["001-01-0a1b"]}}, "/locationArea")):
            answer = area(as1, sink, **change)
            assert (answer.status, answer.json()["cause"], answer.json()["invalidParams"][0]["param"]) == (403, "PARAMETER_OUT_OF_RANGE", member)
    until(lambda: area(as1, sink).status == 503, "the end of both nodes")


# ---- websockets ----

def test_reports_go_over_a_websocket(subscription, as1, hss, real):
    made = subscription(websockNotifConfig={"requestWebsocketUri": True}).made(hss)
    uri = made.json["websockNotifConfig"]["websocketUri"]
    assert uri == made.location.replace("http://", "ws://") + "/websocket"
    hss.tell(report(made.reference, LOSS))
    with Websocket(real.http_port, path_of(uri), as1.token) as socket:
        assert json.loads(socket.taken())["monitoringEventReports"][0]["externalId"] == made.id
    assert made.told() == []


# ---- groups ----

class OfGroup(Subscription):
    def __init__(self, host, client, sink, **members):
        super().__init__(host, client, sink, **members)
        self.group = f"g{self.number}@acme.example"
        self.body["externalGroupId"] = self.group
        del self.body["externalId"]


@pytest.fixture
def of_group(real, as1, sink):
    return lambda **members: OfGroup(real, as1, sink, **members)


def group_report(reference, *items):
    return avp(3165, [avp(3124, reference, V3GPP), avp(3125, b"scef.dromio.test", V3GPP), *items], V3GPP, m=False)


def test_reports_of_a_group_s_members_are_told_together(of_group, as1, hss, real):
    made = of_group(groupReportGuardTime=1, monitorExpireTime=FUTURE).made(hss)
    assert (made.watched.external_identifier, made.watched.is_group, made.watched.guard_s) == (made.group, True, 1)
    assert made.json["externalGroupId"] == made.group and made.json in as1.get(BASE).json()
    names = [f"k{n}@acme.example" for n in range(40)]
    for some in (names[:20], names[20:]):
        assert result_of(hss.tell(group_report(made.reference, *[item([external(name)], LOSS) for name in some]))) == 2001
    until(lambda: len(made.reports()) == 40, "all reports")
    assert [each["externalId"] for each in made.reports()] == names
    assert len(made.told()) == 1, "one notification in a guard time"
    hss.tell(group_report(made.reference, item([external("late@acme.example")], LOSS)))
    until(lambda: len(made.reports()) == 41, "the last report")
    assert as1.delete(made.at).status == 204
    gone = next(each for each in iter(lambda: hss.watched.get(timeout=LIMIT_S), None) if each.gone == [made.reference])  # others may end too
    assert gone.is_group
    assert as1.get(made.at).status == 404
    until(lambda: real.admin.get(f"/v1/groups/{made.group}").status == 404, "the end of a group nothing is had of")


@pytest.mark.parametrize("protocol", [None, "dromio.notifications.v1"])
def test_much_that_is_told_of_a_group_goes_over_a_websocket_too(of_group, as1, hss, real, protocol):
    made = of_group(groupReportGuardTime=1, monitorExpireTime=FUTURE, websockNotifConfig={"requestWebsocketUri": True}).made(hss)
    names = [f"{n}-{'k' * 200}@acme.example" for n in range(60)]
    assert result_of(hss.tell(group_report(made.reference, *[item([external(name)], LOSS) for name in names]))) == 2001
    with Websocket(real.http_port, path_of(made.json["websockNotifConfig"]["websocketUri"]), as1.token, protocol=protocol) as socket:
        text = socket.text()
    said = json.loads(text)
    assert len(text) > 16384
    assert [one["externalId"] for one in (said if protocol is None else said["content"])["monitoringEventReports"]] == names


def test_what_could_not_be_kept_of_a_group_is_nowhere(of_group, as1, hss, real):
    made = of_group(monitorExpireTime=FUTURE)
    assert real.admin.put(f"/v1/groups/{made.group}", {}).status in (200, 201)
    (tables,) = real.data.rglob("host")
    in_the_way = tables.parent / ".host.new"
    in_the_way.mkdir()
    assert made.post().status == 503
    in_the_way.rmdir()
    (reference,) = hss.watched.get(timeout=LIMIT_S).references
    assert hss.watched.get(timeout=LIMIT_S).gone == [reference]
    assert made.group not in as1.get(BASE).body.decode()
    made.made(hss)


def test_members_are_excluded_and_added_again_by_a_json_patch(of_group, as1, hss):
    made = of_group(monitorExpireTime=FUTURE).made(hss)
    answer = as1.request("PATCH", made.at, [{"op": "add", "path": "/excludedExternalIds", "value": ["a@acme.example"]},
                                            {"op": "add", "path": "/excludedExternalIds/-", "value": "b@acme.example"}],
                         Content_Type="application/json-patch+json")
    assert answer.status == 204, answer
    assert hss.watched.get(timeout=LIMIT_S).gone == [made.reference]
    assert as1.get(made.at).json()["excludedExternalIds"] == ["a@acme.example", "b@acme.example"]
    assert as1.request("PATCH", made.at, [{"op": "remove", "path": "/excludedExternalIds/0"}], Content_Type="application/json-patch+json").status == 204
    assert as1.get(made.at).json()["excludedExternalIds"] == ["b@acme.example"]
    for patch in ([{"op": "remove", "path": "/excludedExternalIds/7"}], [{"op": "replace", "path": "/monitoringType", "value": "ROAMING_STATUS"}],
                  [{"op": "move", "path": "/excludedExternalIds", "from": "/addedExternalIds"}], {"excludedExternalIds": []}, [], [{"op": "add"}],
                  [{"op": "add", "path": "/excludedExternalIds", "value": "x"}], [{"op": "add", "path": "/excludedExternalIds/-"}]):
        answer = as1.request("PATCH", made.at, patch, Content_Type="application/json-patch+json")
        assert answer.status == 400, (patch, answer)


def test_what_a_change_brings_at_once_takes_the_place_of_what_was_there(of_group, as1, hss):
    hss.at_once = [lambda reference: report(reference, LOSS, avp(3162, 0, V3GPP))]
    made = of_group(monitorExpireTime=FUTURE).made(hss)
    assert made.json["monitoringEventReport"]["lossOfConnectReason"] == 0
    hss.at_once = [lambda reference: report(reference, LOSS, avp(3162, 1, V3GPP))]
    assert as1.request("PATCH", made.at, [{"op": "add", "path": "/excludedExternalIds", "value": ["a@acme.example"]}],
                       Content_Type="application/json-patch+json").status == 204
    assert as1.get(made.at).json()["monitoringEventReport"]["lossOfConnectReason"] == 1


def test_a_group_nobody_knows_is_404(of_group, as1, real, hss):
    hss.on_watched = lambda watched: refusal(5001)
    made = of_group(monitorExpireTime=FUTURE)
    answer = made.post()
    assert answer.status == 404 and answer.json()["detail"] == "the HSS knows no such group", answer
    assert real.admin.get(f"/v1/groups/{made.group}").status == 404  # nothing of it is left here


# ---- without an HSS ----

def test_without_any_hss_this_host_reports_what_it_sees_itself(sink):
    with Host(CALLBACKS) as host:
        client = host.application("as1", ["acme.example"], ["monitoring"])
        seen = Subscription(host, client, sink, monitoringType="UE_REACHABILITY", reachabilityType="DATA", maximumNumberOfReports=1)
        assert seen.post().status == 201, seen.answer
        other = Subscription(host, client, sink, monitoringType="UE_REACHABILITY", reachabilityType="DATA")
        assert other.post().status == 201 and client.delete(other.at).status == 204 and client.get(other.at).status == 404
        for members in ({"monitoringType": "LOSS_OF_CONNECTIVITY"}, {"monitoringType": "UE_REACHABILITY", "reachabilityType": "SMS", "maximumNumberOfReports": 1}):
            answer = Subscription(host, client, sink, **members).post()
            assert answer.status == 503 and "no HSS is among diameter.peers" in answer.json()["detail"]
        with Mme(host) as mme:
            imsi = f"00103{seen.number:010d}"
            mme.attach(imsi)
            mme.uplink(imsi, thermo_reading(1, 20))
            until(seen.reports, "a report")
        (told,) = seen.reports()
        assert (told["monitoringType"], told["reachabilityType"], told["externalId"]) == ("UE_REACHABILITY", "DATA", seen.id)
        until(lambda: client.get(seen.at).status == 404, "its end")


# ---- a crash ----

def test_nothing_is_lost_or_forgotten_over_kill_9(sink):
    with Host(*SETTINGS) as host:
        client = host.application("as1", ["acme.example"], ["monitoring"])
        with MonteHss(host) as hss:
            one, of_group = Subscription(host, client, sink).made(hss), OfGroup(host, client, sink, monitorExpireTime=FUTURE, groupReportGuardTime=1).made(hss)
            ended = Subscription(host, client, sink).made(hss)
            hss.on_watched = lambda watched: None  # it never hears of the end
            sink.status = 503
            assert result_of(hss.tell(report(one.reference, LOSS))) == 2001
            assert result_of(hss.tell(group_report(of_group.reference, item([external("k@acme.example")], LOSS)))) == 2001
            other = host.client(client.token)  # its answer is not waited for
            threading.Thread(target=lambda: quietly(lambda: other.delete(ended.at)), daemon=True).start()
            hss.watched.get(timeout=LIMIT_S)
            host.kill()
        host.start()
        sink.status = 204
        client = host.client(client.token)
        with MonteHss(host) as hss:
            until(lambda: ended.reference in hss.watched.get(timeout=LIMIT_S).gone, "the end that was never heard of")
            for kept in (one, of_group):
                assert client.get(kept.at).json() == kept.json
                until(kept.reports, "what was reported before")
            hss.tell(report(one.reference, LOSS, avp(3162, 1, V3GPP)))
            until(lambda: any(each.get("lossOfConnectReason") == 1 for each in one.reports()), "a report after the crash")


@pytest.mark.parametrize("before,after", [(3, 1), (1, 3), (3, 2)])
def test_subscriptions_open_with_another_number_of_cores(sink, tmp_path, before, after):
    def settings(cores):
        return (*SETTINGS, f"host.cores={cores}")
    with Host(*settings(before), directory=tmp_path) as host:
        client = host.application("as1", ["acme.example"], ["monitoring"])
        token = client.token
        with MonteHss(host) as hss:
            made = [Subscription(host, client, sink).made(hss) for _ in range(12)]
            of_group = OfGroup(host, client, sink, monitorExpireTime=FUTURE, groupReportGuardTime=1).made(hss)
            sink.status = 503
            for one in made:
                assert result_of(hss.tell(report(one.reference, LOSS))) == 2001
            assert result_of(hss.tell(group_report(of_group.reference, item([external("k@acme.example")], LOSS)))) == 2001
        host.kill()
    sink.status = 204
    with Host(*settings(after), directory=tmp_path) as host:
        client = host.client(token)
        members = ("externalId", "externalGroupId", "monitoringType", "maximumNumberOfReports")
        listed = client.get(BASE).json()
        for one in [*made, of_group]:
            shown = client.get(one.at).json()
            assert [shown.get(name) for name in members] == [one.json.get(name) for name in members] and shown in listed
        assert len(listed) == 13
        until(lambda: all(one.reports() for one in [*made, of_group]), "what was reported before")
        with MonteHss(host) as hss:
            for one in made:
                assert result_of(hss.tell(report(one.reference, LOSS, avp(3162, 1, V3GPP)))) == 2001
            until(lambda: all(any(each.get("lossOfConnectReason") == 1 for each in one.reports()) for one in made), "reports of now")
            assert client.delete(made[0].at).status == 204 and hss.watched.get(timeout=LIMIT_S).gone == [made[0].reference]


def quietly(call):
    try:
        return call()
    except OSError as gone:
        return gone
