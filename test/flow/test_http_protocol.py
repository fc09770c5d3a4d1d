"""HTTP/1.1 of the gate (RFC 9110, RFC 9112): framing, order, bounds, refusals."""
import pathlib
import resource
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "peers"))
from http_gate import Gate  # noqa: E402

AUTH = "Authorization: Bearer admin-token\r\n"
GET = f"GET /v1/twins/a@acme.example HTTP/1.1\r\nHost: h\r\n{AUTH}\r\n"


@pytest.fixture(scope="module")
def gate():
    with Gate() as running:
        yield running


def put(twin="a", body="{}", more=""):
    return (f"PUT /v1/twins/{twin}@acme.example HTTP/1.1\r\nHost: h\r\n{AUTH}Content-Type: application/json\r\n"
            f"{more}Content-Length: {len(body)}\r\n\r\n{body}")


def refused(gate, text, status):
    """Answered once with the status, then closed."""
    with gate.wire() as wire:
        wire.send(text)
        answer = wire.answer()
        assert answer.status == status, answer.body
        assert answer.headers["Connection"] == "close"
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert wire.is_closed()


# ---- one connection, many requests ----

def test_a_connection_serves_requests_one_after_the_other(gate):
    with gate.wire() as wire:
        for _ in range(5):
            assert wire.send(GET).answer().status == 200


def test_pipelined_requests_are_answered_in_order_whatever_the_core_answers_first(gate):
    late = GET.replace("/a@", "/late1@")
    with gate.wire() as wire:
        wire.send(late + GET + GET.replace("/a@", "/missing@") + GET)
        assert wire.answer().json() == {"late": True}
        assert wire.answer().status == 200
        assert wire.answer().status == 404
        assert wire.answer().status == 200


def test_what_the_gate_answers_itself_waits_for_its_place(gate):
    health = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
    with gate.wire() as wire:
        wire.send(GET.replace("/a@", "/late3@") + health + GET.replace("admin", "nobody") + GET.replace("twins", "trains") + GET)
        assert wire.answer().json() == {"late": True}
        assert [wire.answer().status for _ in range(4)] == [200, 401, 404, 200]


def test_a_refusal_behind_others_waits_for_its_place_and_is_the_last(gate):
    with gate.wire() as wire:
        wire.send(GET.replace("/a@", "/late4@") + GET + "GET /x HTTP/1.1\r\n: broken\r\n\r\n" + GET)
        assert wire.answer().json() == {"late": True}
        assert [wire.answer().status for _ in range(2)] == [200, 400]
        assert wire.is_closed()


def test_more_pipelined_requests_than_are_held_at_once_are_all_answered(gate):
    with gate.wire() as wire:
        wire.send(GET * 500)
        assert [wire.answer().status for _ in range(500)] == [200] * 500


def test_a_write_waits_for_what_is_before_it_and_holds_what_is_behind_it(gate):
    with gate.wire() as wire:
        wire.send(GET + put() + GET + put("b") + GET)
        assert [wire.answer().status for _ in range(5)] == [200, 201, 200, 201, 200]


def test_a_request_that_comes_byte_by_byte_is_answered(gate):
    with gate.wire() as wire:
        for byte in put(body='{"tags":{"site":"north"}}'):
            wire.send(byte)
        assert wire.answer().fields()["TAG"] == [b"\x04sitenorth"]


def test_a_request_over_several_reads_of_the_buffer_keeps_its_head(gate):
    with gate.wire() as wire:
        filler = "X-Filler: " + "f" * 3000 + "\r\n"
        one = GET.replace("\r\n\r\n", "\r\n" + filler + "\r\n")
        wire.send(one * 20)
        assert [wire.answer().status for _ in range(20)] == [200] * 20


def test_connection_close_is_done(gate):
    with gate.wire() as wire:
        wire.send(GET.replace("Host: h", "Host: h\r\nConnection: close"))
        answer = wire.answer()
        assert answer.status == 200 and answer.headers["Connection"] == "close"
        assert wire.is_closed()


def test_nothing_behind_connection_close_is_answered(gate):
    with gate.wire() as wire:
        wire.send(GET.replace("Host: h", "Host: h\r\nConnection: close") + GET)
        assert wire.answer().status == 200
        assert wire.is_closed()


def test_http_1_0_is_answered_and_closed(gate):
    with gate.wire() as wire:
        wire.send(f"GET /v1/twins/a@acme.example HTTP/1.0\r\n{AUTH}\r\n")
        assert wire.answer().status == 200
        assert wire.is_closed()


def test_http_1_0_keep_alive_is_kept(gate):
    with gate.wire() as wire:
        for _ in range(2):
            wire.send(f"GET /v1/twins/a@acme.example HTTP/1.0\r\nConnection: keep-alive\r\n{AUTH}\r\n")
            assert wire.answer().headers["Connection"] == "keep-alive"


def test_a_client_that_closes_its_side_still_gets_its_answer(gate):
    with gate.wire() as wire:
        wire.send(GET)
        wire.socket.shutdown(1)
        assert wire.answer().status == 200
        assert wire.is_closed()


def test_an_answer_for_a_client_that_is_gone_does_no_harm(gate):
    for _ in range(20):
        with gate.wire() as wire:
            wire.send(GET.replace("/a@", "/late2@"))
    assert gate.request("GET", "/v1/twins/a@acme.example").status == 200


def test_empty_lines_before_a_request_are_skipped(gate):
    with gate.wire() as wire:
        assert wire.send("\r\n\r\n" + GET).answer().status == 200


# ---- HEAD, chunked, 100-continue ----

def test_head_has_the_header_of_get_and_no_body(gate):
    with gate.wire() as wire:
        wire.send(GET.replace("GET", "HEAD") + GET)
        head = wire.answer("HEAD")
        whole = wire.answer()
        assert head.status == 200 and head.body == b""
        assert head.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(whole.body))


def test_a_chunked_body_is_put_together(gate):
    with gate.wire() as wire:
        wire.send(f"PUT /v1/twins/a@acme.example HTTP/1.1\r\nHost: h\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n"
                  '4\r\n{"im\r\n0b\r\nsi":"001010\r\n0F\r\n000000001"}    \r\n0\r\n\r\n' + GET)
        assert wire.answer().fields()["IMSI"] == [b"001010000000001"]
        assert wire.answer().status == 200


def test_trailers_are_read_and_ignored(gate):
    with gate.wire() as wire:
        wire.send(f"PUT /v1/twins/a@acme.example HTTP/1.1\r\nHost: h\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n"
                  "2\r\n{}\r\n0\r\nAuthorization: Bearer reader-token\r\nX: y\r\n\r\n" + GET)
        assert wire.answer().status == 201
        assert wire.answer().status == 200


def test_an_answer_in_parts_is_chunked(gate):
    with gate.wire() as wire:
        wire.send(GET.replace("/a@", "/parts@") + GET)
        answer = wire.answer()
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.json() == {"parts": [1, 2, 3]}
        assert wire.answer().status == 200


def test_an_answer_in_parts_for_http_1_0_ends_with_the_connection(gate):
    with gate.wire() as wire:
        wire.send(f"GET /v1/twins/parts@acme.example HTTP/1.0\r\n{AUTH}\r\n")
        answer = wire.answer()
        assert "Transfer-Encoding" not in answer.headers
        assert answer.json() == {"parts": [1, 2, 3]}


def test_expect_100_continue_is_answered_before_the_body(gate):
    with gate.wire() as wire:
        head, body = put(more="Expect: 100-continue\r\n", body='{"model":"acme/thermo"}').split("\r\n\r\n")
        wire.send(head + "\r\n\r\n")
        assert wire.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert wire.file.readline() == b"\r\n"
        assert wire.send(body).answer().fields()["MODEL"] == [b"acme/thermo"]


def test_expect_100_continue_without_a_token_is_refused_before_the_body(gate):
    with gate.wire() as wire:
        head = put(more="Expect: 100-continue\r\n").replace(AUTH, "").split("\r\n\r\n")[0]
        answer = wire.send(head + "\r\n\r\n").answer()
        assert answer.status == 401 and answer.headers["Connection"] == "close"


def test_another_expectation_is_417(gate):
    with gate.wire() as wire:
        assert wire.send(put(more="Expect: miracles\r\n")).answer().status == 417


# ---- what could be read in two ways ----

@pytest.mark.parametrize("lines", [
    "Content-Length: 2\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 2",
    "Content-Length: 2\r\nContent-Length: 2",
    "Content-Length: 2\r\nContent-Length: 3",
    "Content-Length: +2",
    "Content-Length: -2",
    "Content-Length: 0x2",
    "Content-Length: 2, 2",
    "Content-Length: 99999999999999999999",
    "Content-Length : 2",
    "Content-Length:\r\n 2",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked, identity",
    "Host: other",
    "X-Folded: a\r\n b",
    "X Y: z",
    ": z",
    "X-Nul: a\x00b",
    "Authorization: Bearer reader-token",
    "If-Match: \"1\"\r\nIf-Match: \"2\"",
])
def test_ambiguous_headers_are_400_and_close(gate, lines):
    refused(gate, f"PUT /v1/twins/a@acme.example HTTP/1.1\r\nHost: h\r\n{AUTH}{lines}\r\n\r\n{{}}", 400)


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "identity"])
def test_an_unknown_transfer_coding_is_refused(gate, coding):
    with gate.wire() as wire:
        wire.send(f"PUT /v1/twins/a@acme.example HTTP/1.1\r\nHost: h\r\n{AUTH}Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n")
        assert wire.answer().status in (400, 501)
        assert wire.is_closed()


def test_transfer_encoding_in_http_1_0_is_400(gate):
    refused(gate, f"PUT /v1/twins/a@acme.example HTTP/1.0\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)


def test_http_1_1_without_a_host_is_400(gate):
    refused(gate, f"GET /v1/twins HTTP/1.1\r\n{AUTH}\r\n", 400)


@pytest.mark.parametrize("chunk", ["2;a=b\r\n{}\r\n0\r\n\r\n", "2 \r\n{}\r\n0\r\n\r\n", "x\r\n{}\r\n0\r\n\r\n",
                                   "2\n{}\n0\n\n", "2\r\n{}0\r\n\r\n", "-2\r\n{}\r\n0\r\n\r\n",
                                   "11111111111111111\r\n{}\r\n0\r\n\r\n"])
def test_a_chunk_that_could_be_read_in_two_ways_is_400(gate, chunk):
    refused(gate, f"PUT /v1/twins/a@acme.example HTTP/1.1\r\nHost: h\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n{chunk}", 400)


@pytest.mark.parametrize("text", ["GET /healthz HTTP/1.1\nHost: h\n\n", "GET /healthz HTTP/1.1\rHost: h\r\r",
                                  "GET /heal thz HTTP/1.1\r\nHost: h\r\n\r\n",
                                  "GET /healthz\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "{}\r\n\r\n",
                                  "GET healthz HTTP/1.1\r\nHost: h\r\n\r\n", "GET /healthz HTTP/1.1\r\n Host: h\r\n\r\n"])
def test_what_is_no_request_is_refused(gate, text):
    with gate.wire() as wire:
        wire.send(text.encode("latin-1"))
        assert wire.answer().status in (400, 401, 505)  # a target without "/" is a path nobody may ask for


# ---- 414, 431, 413, 408, 501, 505 ----

def test_a_target_that_is_too_long_is_414(gate):
    refused(gate, f"GET /v1/{'a' * 9000} HTTP/1.1\r\nHost: h\r\n\r\n", 414)
    refused(gate, f"GET /v1/{'a' * 40000}", 414)


def test_a_header_that_is_too_large_is_431(gate):
    refused(gate, f"GET /v1/twins HTTP/1.1\r\nHost: h\r\nX: {'a' * 17000}\r\n\r\n", 431)


def test_too_many_header_fields_are_431(gate):
    refused(gate, "GET /v1/twins HTTP/1.1\r\nHost: h\r\n" + "X: y\r\n" * 70 + "\r\n", 431)


def test_trailers_without_end_are_431(gate):
    refused(gate, f"POST /v1/twins:bulk HTTP/1.1\r\nHost: h\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n0\r\n"
            + "X: " + "y" * 5000 + "\r\n\r\n", 431)


def test_a_body_that_says_it_is_too_large_is_413_before_it_is_read(gate):
    with gate.wire() as wire:
        wire.send(put().replace("Content-Length: 2", "Content-Length: 70000"))
        answer = wire.answer()
        assert answer.status == 413 and answer.headers["Connection"] == "close"


def test_a_chunked_body_that_grows_too_large_is_413(gate):
    with gate.wire() as wire:
        wire.send(f"PUT /v1/twins/a@acme.example HTTP/1.1\r\nHost: h\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(9):
            wire.send("2000\r\n" + " " * 0x2000 + "\r\n")
        answer = wire.answer()
        assert answer.status == 413 and answer.headers["Connection"] == "close"


def test_an_unknown_method_is_501(gate):
    refused(gate, "BREW /v1/twins HTTP/1.1\r\nHost: h\r\n\r\n", 501)
    refused(gate, f"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n{AUTH}\r\n", 501)


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/1.2", "HTTP/3.0", "HTTP/0.9"])
def test_another_version_is_505(gate, version):
    refused(gate, f"GET /v1/twins {version}\r\nHost: h\r\n\r\n", 505)


def test_http_2_with_prior_knowledge_is_505(gate):
    refused(gate, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)


def test_an_upgrade_is_ignored(gate):
    with gate.wire() as wire:
        wire.send(GET.replace("Host: h", "Host: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA") + GET)
        assert wire.answer().status == 200
        assert wire.answer().status == 200


def test_a_head_that_does_not_end_is_408(gate):
    with gate.wire() as wire:
        answer = wire.send("GET /v1/twins HTTP/1.1\r\nHost: h\r\n").answer()
        assert answer.status == 408 and answer.headers["Connection"] == "close"


# ---- bodies nobody asked for ----

def test_a_small_body_of_a_refused_request_is_skipped_and_the_connection_goes_on(gate):
    with gate.wire() as wire:
        wire.send(put(body='{"imsi":"1"}').replace("admin", "nobody") + GET)
        assert wire.answer().status == 401
        assert wire.answer().status == 200


def test_a_body_of_a_get_is_skipped(gate):
    with gate.wire() as wire:
        wire.send(GET.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello") + GET)
        assert wire.answer().status == 200
        assert wire.answer().status == 200


def test_a_body_that_breaks_after_its_answer_loses_no_answer_before_it(gate):
    with gate.wire() as wire:
        wire.send(GET.replace("/a@", "/late6@") + "GET /healthz HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nnonsense")
        gate.request("GET", "/v1/twins/a@acme.example")
        assert wire.answer().json() == {"late": True}
        assert wire.answer().status == 200
        assert wire.is_closed()


def test_a_large_body_of_a_refused_request_ends_the_connection_after_the_answer(gate):
    with gate.wire() as wire:
        body = "x" * 200000
        wire.send(put(body=body).replace("admin", "nobody"))
        answer = wire.answer()
        assert answer.status == 401 and answer.headers["Connection"] == "close"


# ---- targets ----

def test_absolute_form_is_understood(gate):
    with gate.wire() as wire:
        wire.send(GET.replace("GET /", "GET http://anything:80/"))
        assert wire.answer().fields()["ID"] == [b"a@acme.example"]


@pytest.mark.parametrize("path", ["/v1/twins/%zz@acme.example", "/v1/twins/a%00@acme.example", "/v1/twins/%ff@acme.example",
                                  "/v1/../v1/twins", "/v1/%2e%2e/x", "/v1/twins?limit=%z"])
def test_a_malformed_target_is_400(gate, path):
    assert gate.request("GET", path).status == 400


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/twins/", "/v1//twins", "/v2/twins", "/v1/twins/a@b.example/x", "/V1/twins",
                                  "/" + "a/" * 30])
def test_an_unknown_path_is_404(gate, path):
    assert gate.request("GET", path).status == 404


def test_a_known_path_with_another_method_is_405_with_allow(gate):
    answer = gate.request("POST", "/v1/twins/a@acme.example")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD, PUT, DELETE"
    assert gate.request("PATCH", "/v1/query").headers["Allow"] == "POST"
    assert gate.request("OPTIONS", "/v1/twins").headers["Allow"] == "GET, HEAD"
    assert gate.request("TRACE", "/v1/twins").status == 405


# ---- many ----

def test_a_full_gate_makes_room_for_a_new_client():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with Gate() as gate:
            busy = gate.wire().send(GET.replace("/a@", "/late9@"))
            idle = [gate.wire() for _ in range(min(8192, hard - 100))]
            assert gate.request("GET", "/v1/twins/a@acme.example").status == 200
            assert busy.answer().json() == {"late": True}  # one with a request under way was left alone
            for wire in idle + [busy]:
                wire.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- stopping ----

def test_the_gate_stops_with_connections_open_and_finishes_what_is_under_way():
    with Gate() as gate:
        idle, busy, waiting = gate.wire(), gate.wire(), gate.wire()
        assert idle.send(GET).answer().status == 200
        assert busy.send(GET).answer().status == 200
        waiting.send(GET.replace("/a@", "/silent@"))
        assert gate.stop() == 0
        assert idle.is_closed() and busy.is_closed() and waiting.is_closed()
