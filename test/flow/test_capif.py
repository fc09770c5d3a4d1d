"""CAPIF (TS 29.222): what this host publishes at a core function."""
import re
import ssl

import pytest
from ccf import CoreFunction
from certificates import Authority
from host import Host, until

ALLOW = "capif.allow=127.0.0.0/8"
NIDD = "3gpp-nidd"


def at(core, *settings, **more):
    return Host(f"capif.core_function={core.root}", ALLOW, "capif.check=1", *settings, **more)


def shown(host):
    return host.admin.get("/v1/capif").json()


def statuses(host):
    return {api["name"]: api["status"] for api in shown(host)["apis"]}


def is_published(host, core, *names):
    until(lambda: set(core.published()) >= set(names) and all(statuses(host).get(name) == "published" for name in names), "what is published")


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
        assert host.metric("dromio_capif_published") == len(told["apis"])


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
                core.publish("POST", "scef.dromio.test", [], {"apiName": NIDD, "aefProfiles": [{"aefId": "scef.dromio.test", "versions": [{"apiVersion": "v1"}]}]})
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
            assert host.metric('dromio_capif_requests_total{outcome="failed"}') > 0


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
            until(lambda: core.registrations and NIDD in core.published() and statuses(host)[NIDD] == "published", "a new registration")
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
