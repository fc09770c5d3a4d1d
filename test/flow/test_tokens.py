"""Tokens of applications under an Idempotency-Key: made once, told again, on no disk in clear."""
import pytest
from host import Host
from test_backup import dromio

BODY = {"id": "as1", "domains": ["acme.example"], "scopes": ["read"]}


@pytest.fixture(scope="module", params=["host.cores=1", "host.cores=3"])
def host(request):
    with Host(request.param) as host:
        yield host


def is_good(host, token):
    return host.client(token).get("/v1/twins").status == 200


def files_hold(host, text):
    return [path for path in host.data.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_a_repetition_gets_the_same_token(host):
    first = host.admin.post("/v1/applications", BODY, Idempotency_Key="k1")
    again = host.admin.post("/v1/applications", BODY, Idempotency_Key="k1")
    assert first.status == again.status == 201
    assert first.json() == again.json() and first.headers["Location"] == again.headers["Location"]
    assert is_good(host, first.json()["token"])
    assert len(host.admin.get("/v1/applications").json()["applications"]) == 1
    other = host.admin.post("/v1/applications", BODY | {"scopes": ["write"]}, Idempotency_Key="k1")
    assert (other.status, other.json()["type"]) == (422, "idempotency_key_reused"), other
    assert host.admin.post("/v1/applications", BODY, Idempotency_Key="k2").status == 409
    assert host.admin.post("/v1/applications", BODY).status == 409


def test_it_is_the_same_after_a_kill_and_lies_nowhere_in_clear(host):
    body = BODY | {"id": "as2"}
    token = host.admin.post("/v1/applications", body, Idempotency_Key="as2").json()["token"]
    host.kill()
    host.start()
    again = host.admin.post("/v1/applications", body, Idempotency_Key="as2")
    assert again.status == 201 and again.json()["token"] == token and is_good(host, token)
    assert files_hold(host, token) == []
    assert host.admin.post("/v1/applications", body | {"domains": []}, Idempotency_Key="as2").status == 422


def test_the_command_line_asks_again_with_a_key(host):
    def run(*words):
        return dromio(*words, "--idempotency-key", "cli", host=host)
    first, again = (run("app", "add", "as4", "--domain", "acme.example") for _ in range(2))
    assert first.returncode == again.returncode == 0 and first.stdout == again.stdout and is_good(host, first.stdout.strip())
    newer, same = (run("app", "token", "as4") for _ in range(2))
    assert newer.stdout == same.stdout != first.stdout and is_good(host, newer.stdout.strip())
    assert run("app", "add", "as4", "--domain", "acme.example").returncode == 4


def test_a_token_that_has_ended_is_not_told_again_and_nothing_comes_back(host):
    body = BODY | {"id": "as3"}
    first = host.admin.post("/v1/applications", body, Idempotency_Key="as3").json()["token"]
    newer = host.admin.post("/v1/applications/as3/token", Idempotency_Key="as3")
    again = host.admin.post("/v1/applications/as3/token", Idempotency_Key="as3")
    assert newer.status == again.status == 201 and newer.json() == again.json()
    assert is_good(host, newer.json()["token"]) and not is_good(host, first)
    ended = host.admin.post("/v1/applications", body, Idempotency_Key="as3")
    assert ended.status == 409 and "newer" in ended.json()["detail"] and first not in ended.body.decode()
    assert host.admin.delete("/v1/applications/as3").status == 204
    host.restart()
    for path in ("/v1/applications", "/v1/applications/as3/token"):
        ended = host.admin.post(path, body if path.endswith("applications") else None, Idempotency_Key="as3")
        assert ended.status == 409 and "removed" in ended.json()["detail"], ended
    assert host.admin.get("/v1/applications/as3").status == 404
    assert host.admin.post("/v1/applications", body, Idempotency_Key="another").status == 201
