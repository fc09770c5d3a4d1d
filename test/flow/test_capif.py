"""CAPIF (TS 29.222): what this host publishes at a core function."""
import json
import re
import ssl
import time
import urllib.parse

import pytest
from ccf import CoreFunction
from certificates import Authority
from host import ONE_GATE, Host, until
from issuer import Issuer

ALLOW = "capif.allow=127.0.0.0/8"
NIDD = "3gpp-nidd"


def at(core, *settings, **more):
    return Host(f"capif.core_function={core.root}", ALLOW, "capif.check=1", *settings, **more)


def shown(host):
    return host.admin.get("/v1/capif").json()


def statuses(host):
    return {api["name"]: api["status"] for api in shown(host)["apis"]}


def is_published(host, core, *names):
    until(lambda: set(core.published()) == set(statuses(host)) >= set(names) and set(statuses(host).values()) == {"published"}, "what is published")


def test_what_the_host_has_is_published_and_described():
    with CoreFunction() as core, at(core, thermo=False) as host:
        is_published(host, core, NIDD)
        api = core.published("scef.dromio.test")[NIDD]
        profile, = api["aefProfiles"]
        assert profile["aefId"] == "scef.dromio.test" and profile["securityMethods"] == ["OAUTH"]
        assert profile["interfaceDescriptions"] == [{"ipv4Addr": "127.0.0.1", "port": host.http_port}] and "domainName" not in profile
        version, = profile["versions"]
        resources = {resource["uri"]: resource for resource in version["resources"]}
        assert version["apiVersion"] == "v1" and resources["/{scsAsId}/configurations"]["operations"] == ["GET", "POST"]
        assert resources["/{scsAsId}/configurations/{configurationId}"]["resourceName"] == "individual configurations"
        assert not any("websocket" in uri for uri in resources)
        told = shown(host)
        assert told["core_function"] == core.root and "reason" not in told
        assert {a["id"] for a in told["apis"]} == {a["apiId"] for a in core.published().values()}
        assert not ONE_GATE or host.metric("dromio_capif_published") == len(told["apis"])


def test_nothing_is_published_twice_over_kills_and_lost_answers():
    with CoreFunction() as core, at(core, thermo=False) as host:
        is_published(host, core, NIDD)
        first = core.published()[NIDD]["apiId"]
        host.kill()
        host.start()
        until(lambda: len(core.asked_for("GET")) > 2, "a look at what is there")
        is_published(host, core, NIDD)
        assert core.published()[NIDD]["apiId"] == first
        host.kill()
        core.apis.clear()  # it lost what it had
        host.start()
        is_published(host, core, NIDD)


def test_one_of_which_the_answer_was_lost_is_found_again():
    with CoreFunction() as core:
        lost = []

        def is_lost(method, path):  # it publishes, and says that it broke
            if method == "POST" and not lost:
                lost.append(path)
                core.publish("POST", "scef.dromio.test", [], {"apiName": NIDD, "aefProfiles": [{"aefId": "scef.dromio.test", "versions": [{"apiVersion": "v1"}], "domainName": "old.example"}]})
                return 500
            return None
        core.broken = is_lost
        with at(core, "capif.apis=3gpp-nidd", thermo=False) as host:
            is_published(host, core, NIDD)
            until(lambda: "interfaceDescriptions" in core.published()[NIDD]["aefProfiles"][0], "a description that is whole")
            assert len(core.asked_for("POST")) == 1 and len(core.asked_for("PUT")) == 1


def test_a_core_function_that_is_away_is_asked_again_and_shown():
    with CoreFunction() as core:
        core.broken = 503
        with at(core, thermo=False) as host:
            until(lambda: "the core function said 503" in str(shown(host)), "the reason")
            assert "capif_failed" in host.log()
            core.broken = None
            is_published(host, core, NIDD)
            until(lambda: "reason" not in str(shown(host)), "no reason")
            assert not ONE_GATE or host.metric('dromio_capif_requests_total{outcome="failed"}') > 0


def test_a_list_that_is_not_there_is_done_without():
    with CoreFunction() as core:
        core.has_list = False
        with at(core, thermo=False) as host:
            is_published(host, core, NIDD)
            host.kill()
            host.start()
            until(lambda: len(core.asked_for("GET")) > 2, "another cycle")
            assert set(core.published()) == set(statuses(host))


def test_a_change_of_configuration_changes_and_withdraws(tmp_path):
    with CoreFunction() as core:
        with at(core, thermo=False, directory=tmp_path) as host:
            is_published(host, core, NIDD)
            kept = core.published()[NIDD]["apiId"]
        with at(core, "capif.apis=3gpp-nidd", "t8.api_root=https://scef.example.net", thermo=False, directory=tmp_path) as host:
            until(lambda: set(core.published()) == {NIDD}, "the others to go")
            until(lambda: core.published()[NIDD]["aefProfiles"][0].get("domainName") == "scef.example.net", "the new root")
            assert core.published()[NIDD]["apiId"] == kept
        with at(core, "capif.publish=false", thermo=False, directory=tmp_path) as host:
            until(lambda: not core.published(), "nothing published")
            until(lambda: shown(host)["apis"] == [], "nothing shown")


@pytest.mark.parametrize("garbage", [
    (200, b"not json", None), (200, b"{}", None), (200, b'[1,{"apiName":3},{"apiName":"x","apiId":""},null]', None), (200, b"[" * 5000, None),
    (200, b"[" + b"{}," * 100_000 + b"{}]", None), (201, b"", None), (201, b"{}", "http://x/%2e%2e/"), (201, b"[]", "/"), (201, b'{"apiId":"' + b"i" * 5000 + b'"}', "http://x/" + "l" * 5000),
    (302, b"", "http://127.0.0.1:1/"), (204, b"", None), (500, b"\xff\x00", None)], ids=lambda garbage: f"{garbage[0]}-{garbage[1][:12]}")
def test_nonsense_of_a_core_function_is_a_failure(garbage):
    with CoreFunction() as core:
        core.raw = garbage
        with at(core, "capif.apis=3gpp-nidd", thermo=False) as host:
            until(lambda: "capif_failed" in host.log(), "a failure")
            assert host.is_healthy() and statuses(host) == {NIDD: "waiting"}
            core.raw = None
            is_published(host, core, NIDD)


def test_an_address_that_is_not_allowed_is_not_reached():
    with CoreFunction() as core, Host(f"capif.core_function={core.root}", "capif.check=1", thermo=False) as host:
        until(lambda: "its address may not be reached" in str(shown(host)), "the reason")
        assert not core.asked


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def secured(authority, name="core"):
    issued = authority.issue(name, "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.pem, issued.key)
    context.load_verify_locations(authority.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def with_tls(authority, tmp_path):
    ours = authority.issue("scef", "DNS:scef.dromio.test")
    (tmp_path / "secret").write_text("let us in\n")
    return (f"capif.tls.certificate={ours.pem}", f"capif.tls.key={ours.key}", f"capif.tls.ca={authority.pem}",
            f"capif.registration_secret={tmp_path}/secret")


def test_a_provider_registers_and_goes_by_the_names_it_is_given(authority, tmp_path):
    with CoreFunction(secured(authority), secret="let us in") as core:
        settings = with_tls(authority, tmp_path)
        with at(core, *settings, thermo=False, directory=tmp_path) as host:
            is_published(host, core, NIDD)
            (name, registration), = core.registrations.items()
            roles = {function["apiProvFuncRole"]: function for function in registration["apiProvFuncs"]}
            assert set(roles) == {"AEF", "APF", "AMF"} and roles["AEF"]["regInfo"]["apiProvPubKey"].startswith("-----BEGIN PUBLIC KEY-----")
            told = shown(host)
            assert (told["registration"], told["aef"], told["apf"]) == (name, roles["AEF"]["apiProvFuncId"], roles["APF"]["apiProvFuncId"])
            assert core.published(told["apf"])[NIDD]["aefProfiles"][0]["aefId"] == told["aef"]
            assert {client for *_, client in core.asked} == {"scef"}
            answer = host.admin.post("/v1/applications", {"id": "as1", "domains": ["acme.example"], "scopes": ["nidd"]}).json()
            form = f"grant_type=client_credentials&client_id=as1&client_secret={answer['token']}&scope=3gpp%23{told['aef']}:3gpp-nidd"
            given = host.client(None).post("/capif-security/v1/securities/as1/token", form, Content_Type="application/x-www-form-urlencoded")
            assert given.status == 200, given  # by the name it was given
            assert host.client(given.json()["access_token"]).get("/3gpp-nidd/v1/as1/configurations").status == 200
            host.kill()
            host.start()
            until(lambda: shown(host)["aef"] == told["aef"] and len(core.asked_for("GET")) > 2, "the same names")
            assert len(core.registrations) == 1
            core.registrations.clear()
            core.apis.clear()
            until(lambda: core.registrations, "a new registration")
            is_published(host, core, NIDD)
            assert "let us in" not in host.log()
        with at(core, *settings, "capif.publish=false", thermo=False, directory=tmp_path):
            until(lambda: not core.published() and not core.registrations, "nothing left")


def test_a_core_function_of_another_authority_is_not_spoken_to(authority, tmp_path):
    other = Authority(tmp_path / "other")
    with CoreFunction(secured(other), secret="let us in") as core, at(core, *with_tls(authority, tmp_path), thermo=False) as host:
        until(lambda: re.search("registering: .*(SSL|certificate)", str(shown(host))), "the reason")
        assert not core.asked


def test_a_wrong_secret_is_said_and_shown_nowhere(authority, tmp_path):
    with CoreFunction(secured(authority), secret="another") as core, at(core, *with_tls(authority, tmp_path), thermo=False) as host:
        until(lambda: "registering: the core function said 403" in str(shown(host)), "the reason")
        assert "let us in" not in host.log() + str(shown(host))


def test_only_the_administrator_sees_it():
    with Host(thermo=False) as host:
        assert host.admin.get("/v1/capif").json() == {"apis": []}
        assert host.application("as1", ["acme.example"]).get("/v1/capif").status == 403


# ---- without another one: this host is its own small core function ----

FORM = "application/x-www-form-urlencoded"
ONBOARDED = "/api-invoker-management/v1/onboardedInvokers"
TRUSTED = "/capif-security/v1/trustedInvokers"
AEF = "scef.dromio.test"
KEY = "-----BEGIN PUBLIC KEY-----\nMCowBQ...\n-----END PUBLIC KEY-----\n"
ENROLMENT = {"onboardingInformation": {"apiInvokerPublicKey": KEY}, "notificationDestination": "http://as.example/capif"}


@pytest.fixture(scope="module")
def own():
    with Host(thermo=False) as host:
        yield host


def application(host, name, scopes=("nidd",)):
    made = host.admin.post("/v1/applications", {"id": name, "domains": ["acme.example"], "scopes": list(scopes)})
    assert made.status == 201, made
    return host.client(made.json()["token"])


def token(host, name, secret, scope=f"3gpp#{AEF}:3gpp-nidd"):
    form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": name, "client_secret": secret, "scope": scope})
    return host.client(None).post(f"/capif-security/v1/securities/{name}/token", form, Content_Type=FORM)


def discover(client, name, **filters):
    query = urllib.parse.urlencode({"api-invoker-id": name, **{key.replace("_", "-"): value for key, value in filters.items()}})
    return client.get(f"/service-apis/v1/allServiceAPIs?{query}")


def names_of(answer):
    assert answer.status == 200, answer
    return [api["apiName"] for api in answer.json().get("serviceAPIDescriptions", [])]


def test_an_invoker_finds_what_it_may_use(own):
    nidd, reader = application(own, "finder", ["nidd"]), application(own, "reader", ["read"])
    assert names_of(discover(nidd, "finder")) == [NIDD]
    assert "serviceAPIDescriptions" not in discover(reader, "reader").json()
    assert set(names_of(discover(own.admin, "finder"))) == {NIDD}  # for the administrator as for the invoker itself
    found, = discover(nidd, "finder").json()["serviceAPIDescriptions"]
    assert found["apiId"] == NIDD and found["aefProfiles"][0]["aefId"] == AEF
    assert discover(nidd, "reader").status == 403 and discover(own.admin, "nobody").status == 404
    assert nidd.get("/service-apis/v1/allServiceAPIs").status == 400
    for filters, is_found in (({"api_name": NIDD}, True), ({"api_name": "3gpp-other"}, False), ({"api_version": "v1"}, True), ({"api_version": "v2"}, False),
                              ({"comm_type": "SUBSCRIBE_NOTIFY"}, True), ({"comm_type": "OTHER"}, False), ({"protocol": "HTTP_1_1"}, True), ({"protocol": "HTTP_2"}, False),
                              ({"aef_id": AEF}, True), ({"aef_id": "other"}, False), ({"data_format": "JSON"}, True), ({"data_format": "XML"}, False),
                              ({"api_cat": "x"}, False), ({"supported_features": "1"}, True)):
        assert bool(names_of(discover(nidd, "finder", **filters))) == is_found, filters
    assert discover(nidd, "finder", supported_features="zz").status == 400
    assert discover(nidd, "finder", unknown="1").status == 400


def test_what_the_host_publishes_with_itself(own):
    reader = application(own, "looker")
    published = reader.get(f"/published-apis/v1/{AEF}/service-apis").json()
    assert NIDD in [api["apiId"] for api in published]
    assert reader.get(f"/published-apis/v1/{AEF}/service-apis/{NIDD}").json() in published
    assert reader.get(f"/published-apis/v1/{AEF}/service-apis/none").status == 404
    assert reader.get("/published-apis/v1/other/service-apis").status == 404
    assert reader.post(f"/published-apis/v1/{AEF}/service-apis", {"apiName": "mine"}).status == 405


def test_onboarding_secures_and_ends_an_invoker():
    with Host(thermo=False) as host:
        first = application(host, "inv")
        made = first.post(ONBOARDED, {**ENROLMENT, "apiInvokerInformation": "a pump", "requestTestNotification": False, "newer": 1})
        assert made.status == 201, made
        details = made.json()
        assert made.headers["Location"].endswith(ONBOARDED + "/inv") and details["apiInvokerId"] == "inv"
        assert [api["apiName"] for api in details["apiList"]["serviceAPIDescriptions"]] == [NIDD]
        assert details["onboardingInformation"]["apiInvokerPublicKey"] == KEY and details["apiInvokerInformation"] == "a pump"
        assert first.get("/v1/capif").status == 401  # good once
        secret = details["onboardingInformation"]["onboardingSecret"]
        invoker = host.client(secret)
        assert invoker.post(ONBOARDED, ENROLMENT).status == 403  # it is already
        security = {"securityInfo": [{"aefId": AEF, "apiId": NIDD, "prefSecurityMethods": ["PSK", "OAUTH"]}], "notificationDestination": "http://as.example/security"}
        at = f"{TRUSTED}/inv"
        assert invoker.get(at).status == 404
        secured = invoker.put(at, security)
        assert secured.status == 201 and secured.headers["Location"].endswith(at)
        assert secured.json()["securityInfo"][0]["selSecurityMethod"] == "OAUTH"
        narrow = host.client(token(host, "inv", secret).json()["access_token"])  # it could make itself a secret that opens more
        for method, path, body in (("POST", ONBOARDED, ENROLMENT), ("PUT", f"{ONBOARDED}/inv", ENROLMENT), ("DELETE", f"{ONBOARDED}/inv", None),
                                   ("PUT", at, security), ("DELETE", at, None), ("POST", at + "/update", security)):
            assert narrow.request(method, path, body).status == 403, (method, path)
        assert narrow.get(at).status == 200
        host.kill()
        host.start()
        assert invoker.get(at + "?authenticationInfo=true").json() == secured.json()
        given = token(host, "inv", secret)
        assert given.status == 200, given
        assert host.client(given.json()["access_token"]).get("/3gpp-nidd/v1/inv/configurations").json() == []
        changed = invoker.request("PATCH", f"{ONBOARDED}/inv", {"apiInvokerInformation": "two pumps"}, Content_Type="application/merge-patch+json")
        assert changed.status == 200 and changed.json()["apiInvokerInformation"] == "two pumps" and "onboardingSecret" not in changed.json()["onboardingInformation"]
        replaced = invoker.put(f"{ONBOARDED}/inv", ENROLMENT)
        assert replaced.status == 200 and "apiInvokerInformation" not in replaced.json()
        assert invoker.post(at + "/update", {**security, "securityInfo": [{"interfaceDetails": {"ipv4Addr": "127.0.0.1", "port": 8443}, "prefSecurityMethods": ["OAUTH"]}]}).status == 200
        other = application(host, "other")
        for method, path, body in (("GET", at, None), ("PUT", at, security), ("DELETE", at, None), ("DELETE", f"{ONBOARDED}/inv", None), ("PUT", f"{ONBOARDED}/inv", ENROLMENT)):
            assert other.request(method, path, body).status == 404, (method, path)
        assert other.put(f"{TRUSTED}/other", security).status == 404  # not onboarded
        assert invoker.delete(at).status == 204 and invoker.get(at).status == 404
        assert invoker.delete(f"{ONBOARDED}/inv").status == 204
        assert invoker.get("/v1/capif").status == 401 and token(host, "inv", secret).status == 401
        assert host.admin.delete(f"{ONBOARDED}/inv").status == 404
        again = host.client(host.admin.post("/v1/applications/inv/token").json()["token"])
        assert again.post(ONBOARDED, ENROLMENT).status == 201


BAD_ENROLMENTS = [{}, {**ENROLMENT, "onboardingInformation": {}}, {**ENROLMENT, "onboardingInformation": []}, {**ENROLMENT, "notificationDestination": "ftp://x"},
                  {**ENROLMENT, "onboardingInformation": {"apiInvokerPublicKey": "k" * 5000}}, {**ENROLMENT, "apiList": {"serviceAPIDescriptions": []}},
                  {**ENROLMENT, "supportedFeatures": "x"}, {**ENROLMENT, "apiInvokerInformation": 1}, {**ENROLMENT, "requestTestNotification": "yes"}, [], "x", "1"]
BAD_SECURITY = [{}, {"securityInfo": [], "notificationDestination": "http://a"},
                *({"securityInfo": [row], "notificationDestination": "http://a.example"} for row in (
                    {}, 1, {"aefId": AEF}, {"aefId": AEF, "prefSecurityMethods": []}, {"aefId": AEF, "prefSecurityMethods": ["PSK"]}, {"aefId": AEF, "prefSecurityMethods": ["PKI"]},
                    {"aefId": "other", "prefSecurityMethods": ["OAUTH"]}, {"prefSecurityMethods": ["OAUTH"]},
                    {"aefId": AEF, "interfaceDetails": {"ipv4Addr": "127.0.0.1"}, "prefSecurityMethods": ["OAUTH"]},
                    {"interfaceDetails": {"ipv4Addr": "x"}, "prefSecurityMethods": ["OAUTH"]},
                    {"interfaceDetails": {"ipv4Addr": "127.0.0.1", "port": 70000}, "prefSecurityMethods": ["OAUTH"]}))]


@pytest.mark.parametrize("number, body", list(enumerate(BAD_ENROLMENTS)))
def test_a_bad_enrolment_changes_nothing(own, number, body):
    client = application(own, f"bad{number}")
    answer = client.post(ONBOARDED, body)
    assert answer.status == 400 and answer.headers["Content-Type"] == "application/problem+json", answer
    assert client.post(ONBOARDED, ENROLMENT).status == 201  # its token is good as before


def test_a_bad_security_context_is_refused(own):
    client = application(own, "secured")
    client = own.client(client.post(ONBOARDED, ENROLMENT).json()["onboardingInformation"]["onboardingSecret"])
    for body in BAD_SECURITY:
        answer = client.put(f"{TRUSTED}/secured", body)
        assert answer.status == 400, (body, answer)
    assert client.get(f"{TRUSTED}/secured?authenticationInfo=maybe").status == 400


def test_an_invoker_asks_whether_it_is_known(own):
    client = application(own, "asker")
    check = "/aef-security/v1/check-authentication"
    assert client.post(check, {"apiInvokerId": "asker", "supportedFeatures": "1"}).json() == {"supportedFeatures": "0"}
    assert client.post(check, {"apiInvokerId": "finder", "supportedFeatures": "0"}).status == 403
    assert own.admin.post(check, {"apiInvokerId": "nobody", "supportedFeatures": "0"}).status == 404
    for body in ({}, {"apiInvokerId": "asker"}, {"apiInvokerId": 1, "supportedFeatures": "0"}, {"apiInvokerId": "asker", "supportedFeatures": "g"}):
        assert client.post(check, body).status == 400, body


def test_what_is_revoked_is_good_no_more_and_a_new_token_is():
    with Host(thermo=False) as host:
        secret = host.admin.post("/v1/applications", {"id": "inv", "domains": ["acme.example"], "scopes": ["nidd", "read"]}).json()["token"]
        ccf = application(host, "ccf", ["capif"])
        before = host.client(token(host, "inv", secret).json()["access_token"])
        whole = host.client(token(host, "inv", secret, scope="nidd read").json()["access_token"])
        at = "/3gpp-nidd/v1/inv/configurations"
        assert before.get(at).status == 200
        notice = {"revokeInfo": {"apiInvokerId": "inv", "aefId": AEF, "apiIds": [NIDD], "cause": "OVERLIMIT_USAGE"}, "supportedFeatures": "0"}
        revoke = "/aef-security/v1/revoke-authorization"
        assert before.post(revoke, notice).status == 403  # not everybody's to do
        assert ccf.post(revoke, {**notice, "revokeInfo": {**notice["revokeInfo"], "apiInvokerId": "nobody"}}).status == 404
        assert ccf.post(revoke, {**notice, "revokeInfo": {**notice["revokeInfo"], "apiIds": ["3gpp-none"]}}).status == 404
        assert ccf.post(revoke, {**notice, "revokeInfo": {**notice["revokeInfo"], "apiIds": []}}).status == 400
        assert ccf.post(revoke, notice).json() == {"supportedFeatures": "0"}
        assert before.get(at).status == 403
        assert whole.get(at).status == 403 and whole.get("/v1/groups").status == 200
        host.kill()
        host.start()
        ccf.close()
        assert before.get(at).status == 403
        until(lambda: host.client(token(host, "inv", secret).json()["access_token"]).get(at).status == 200, "a token of a later second")
        later = host.client(token(host, "inv", secret).json()["access_token"])
        by_ccf = f"{TRUSTED}/inv/delete"  # the same, said to the core function that the host is
        assert later.post(by_ccf, notice["revokeInfo"]).status == 403
        assert ccf.post(by_ccf, {**notice["revokeInfo"], "apiInvokerId": "ccf"}).status == 400
        assert ccf.post(by_ccf, notice["revokeInfo"]).status == 204
        assert later.get(at).status == 403


def test_with_another_core_function_these_are_its_own():
    with CoreFunction() as core, at(core, thermo=False) as host:
        inv = application(host, "inv")
        refused = discover(inv, "inv")
        assert refused.status == 404 and core.root in refused.json()["detail"]
        assert inv.post(ONBOARDED, ENROLMENT).status == 404
        is_published(host, core, NIDD)
        ccf = application(host, "ccf", ["capif"])
        notice = {"apiInvokerId": "inv", "apiIds": [core.published()[NIDD]["apiId"]], "cause": "UNEXPECTED_REASON"}  # by the id that it gave
        assert ccf.post("/aef-security/v1/revoke-authorization", {"revokeInfo": notice, "supportedFeatures": ""}).status == 200


def test_a_token_of_the_core_function_is_taken_back_also_without_its_time(tmp_path):
    """CAPIF's claims (TS 29.222 8.5.4.2.8) have no iat: what says nothing is as old as it may be."""
    issuer, now = Issuer("ccf", "aud", "ES256"), int(time.time())
    (tmp_path / "keys.json").write_text(json.dumps(issuer.key_set()))
    with Host(f'auth.issuers=[{{issuer="*",audience="*",keys="{tmp_path}/keys.json"}}]', thermo=False) as host:
        application(host, "inv")
        ccf = application(host, "ccf", ["capif"])

        def status(**claims):
            claims = {"iss": "inv", "sub": None, "client_id": None, "aud": None, **claims}
            return host.client(issuer.token("inv", f"3gpp#{AEF}:3gpp-nidd", **claims)).get("/3gpp-nidd/v1/inv/configurations").status
        timeless, dated = {"iat": None, "exp": now + 3600}, {"iat": now - 5, "exp": now + 3600}
        assert (status(**timeless), status(**dated)) == (200, 200)
        notice = {"apiInvokerId": "inv", "apiIds": [NIDD], "cause": "OVERLIMIT_USAGE"}
        assert ccf.post("/aef-security/v1/revoke-authorization", {"revokeInfo": notice, "supportedFeatures": "0"}).status == 200
        assert (status(**timeless), status(**dated)) == (403, 403)
        assert status(iat=None, exp=now + 2 * 24 * 3600) == 200  # it cannot be from before: none lives so long
        assert status(iat=now + 20, exp=now + 3600) == 200       # within the skew of clocks
