"""An application that lost a domain: what it made there it sees and ends, and does not change."""
from host import Host
from parameter_hss import ParameterHss
from sink import Sink
from t8 import CALLBACKS, b64, path_of

HSS_IS_KNOWN = 'diameter.peers=[{identity="hss1.epc.test",applications=["s6t"]},{identity="hss2.epc.test",applications=["s6t"]}]'
PATCH = {"Content_Type": "application/merge-patch+json"}
PARAMETERS, PATTERNS = "/3gpp-network-parameter-configuration/v1/as1/configurations", "/3gpp-cp-parameter-provisioning/v1/as1/subscriptions"
DEVICE, GROUP = {"externalId": "d1@acme.example"}, {"externalGroupId": "g@acme.example"}


def made(client, path, body):
    answer = client.post(path, body)
    assert answer.status == 201, answer
    return path_of(answer.headers["Location"])


def test_an_application_that_lost_a_domain_changes_nothing_in_it_any_more():
    with Host(CALLBACKS, HSS_IS_KNOWN) as host, Sink() as sink, ParameterHss(host) as hss:
        host.admin.put_twin("d1@acme.example", imsi="001010000000001")
        host.admin.put("/v1/groups/g@acme.example", {})
        host.admin.put("/v1/groups/g@acme.example/members/d1@acme.example", None)
        mine = host.application("as1", ["acme.example", "other.example"], ["nidd", "parameters"])
        told = {"notificationDestination": sink.link("/x")}
        np = made(mine, PARAMETERS, {**DEVICE, **told, "maximumLatency": 3600})
        cp = made(mine, PATTERNS, {**DEVICE, "cpParameterSets": {"n": {"setId": "n", "periodicTime": 3600}}})
        host.admin.put("/v1/groups/h@other.example", {})
        while not hss.cirs.empty():
            hss.cirs.get()
        assert host.admin.request("PATCH", "/v1/applications/as1", {"domains": ["other.example"]}).status == 200
        changes = [("PUT", np, {**DEVICE, **told, "maximumLatency": 7200}, {}), ("PATCH", np, {"maximumLatency": 9600}, PATCH),
                   ("PUT", cp + "/cpSets/n", {"setId": "n", "periodicTime": 60}, {}), ("DELETE", cp + "/cpSets/n", b"", {})]
        for method, path, body, more in changes:
            assert mine.request(method, path, body, **more).status == 404, (method, path)
        assert hss.cirs.empty()  # the network was asked nothing for it
        assert mine.get(np).status == 200 and mine.get(cp).status == 200
        assert host.admin.request("PATCH", np, {"maximumLatency": 9600}, **PATCH).status == 200  # the administrator may
        assert mine.delete(np).status == 204 and mine.delete(cp).status == 204


def test_nor_what_waits_there_for_a_device_or_a_group():
    with Host(CALLBACKS) as host, Sink() as sink:
        host.admin.put_twin("d1@acme.example", imsi="001010000000001")
        host.admin.put("/v1/groups/g@acme.example", {})
        host.admin.put("/v1/groups/g@acme.example/members/d1@acme.example", None)
        mine = host.application("as1", ["acme.example", "other.example"], ["nidd"])
        told = {"notificationDestination": sink.link("/x")}
        one, group = (made(mine, "/3gpp-nidd/v1/as1/configurations", {**whose, **told}) for whose in (DEVICE, GROUP))
        waiting = made(mine, one + "/downlink-data-deliveries", {**DEVICE, "data": b64(b"hello")})
        of_group = made(mine, group + "/downlink-data-deliveries", {**GROUP, "data": b64(b"all")})
        assert host.admin.request("PATCH", "/v1/applications/as1", {"domains": ["other.example"]}).status == 200
        changes = [("PATCH", waiting, {"data": b64(b"EVIL")}, PATCH), ("PUT", waiting, {**DEVICE, "data": b64(b"EVIL")}, {}),
                   ("PATCH", of_group, {"data": b64(b"EVIL")}, PATCH), ("PUT", of_group, {**GROUP, "data": b64(b"EVIL")}, {}),
                   ("PATCH", one, {"notificationDestination": sink.link("/y")}, PATCH), ("PATCH", group, {"notificationDestination": sink.link("/y")}, PATCH),
                   ("POST", one + "/downlink-data-deliveries", {**DEVICE, "data": b64(b"EVIL")}, {}), ("PUT", one + "/rds-ports/ue-1-ef-1", {"portId": "ue-1-ef-1"}, {})]
        for method, path, body, more in changes:
            assert mine.request(method, path, body, **more).status == 404, (method, path)
        assert mine.get(waiting).status == 200 and mine.get(of_group).status == 200
        assert mine.delete(waiting).status in (200, 204) and mine.delete(group).status == 204 and mine.delete(one).status == 204
