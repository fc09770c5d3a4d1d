"""What docs/operations.md and the manual pages say, asked of a running host."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "peers"))
from whole_host import BUILD, WholeHost, free_port  # noqa: E402

OPERATIONS = ROOT / "docs" / "operations.md"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    running = WholeHost(tmp_path_factory.mktemp("operations"))
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(30) == 0


def test_ready_is_told_when_requests_are_answered(tmp_path):
    http = free_port()
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(60)
        process = subprocess.Popen(
            [str(BUILD / "dromiod"), "--data", str(tmp_path / "data"), "--set", f'http.listen="127.0.0.1:{http}"',
             "--set", f'diameter.listen="127.0.0.1:{free_port()}"', "--set", "host.gates=2"],
            env={**os.environ, "NOTIFY_SOCKET": path}, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            assert notify.recv(100) == b"READY=1"
            for _ in range(20):  # either gate may answer
                assert urllib.request.urlopen(f"http://127.0.0.1:{http}/healthz", timeout=30).status == 200
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def told_metrics(host):
    """name -> type of what the host shows now."""
    status, text = host.call("GET", "/metrics")
    assert status == 200
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text.decode(), re.M))


def test_every_metric_is_in_the_manual_and_the_other_way_round(host):
    written = dict(re.findall(r"^\| `(dromio_\w+)` \| (counter|gauge|histogram) \|", OPERATIONS.read_text(), re.M))
    assert written == told_metrics(host)


def test_every_reason_of_a_refusal_is_in_the_manual(host):
    _, text = host.call("GET", "/metrics")
    page = OPERATIONS.read_text()
    reasons = re.findall(r'^dromio_\w+_(?:drops|refused)_total\{reason="(\w+)"\}', text.decode(), re.M)
    assert len(reasons) > 20
    assert [r for r in reasons if f"`{r}`" not in page] == []


def test_the_sample_configuration_says_the_defaults(tmp_path):
    sample = (BUILD / "docs" / "dromiod.toml").read_text()
    keys = subprocess.run([str(BUILD / "dromiod"), "--keys"], check=True, capture_output=True, text=True).stdout
    keys_of_issuer = tmp_path / "issuer.jwks"  # RFC 8037 A.2
    keys_of_issuer.write_text('{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}')
    all_of_it = re.sub(r"^#([a-z_]+ = |\[)", r"\1", sample, flags=re.M)
    all_of_it = re.sub(r"^max = 1$", "max = 2", all_of_it, flags=re.M)  # the trust group has a cell of its own
    for text in (sample, all_of_it.replace("/etc/dromio/login.example.net.jwks", str(keys_of_issuer))):
        file = tmp_path / "dromiod.toml"
        file.write_text(text)
        checked = subprocess.run([str(BUILD / "dromiod"), "--config", str(file), "--check"], capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")
    for line in keys.splitlines():
        name = line.split("\t")[0].rsplit(".", 1)[1]
        assert "not in this version" in line or line.startswith("bench.") or re.search(rf"^#?(\[\[\w+\.)?{name}\b", sample, re.M), name


def test_every_key_is_in_the_manual_page():
    page = BUILD / "docs" / "dromiod.conf.5"
    if not page.exists():
        pytest.skip("scdoc is not here")
    text = page.read_text().replace("\\", "")
    keys = subprocess.run([str(BUILD / "dromiod"), "--keys"], check=True, capture_output=True, text=True).stdout
    assert [k for k in (line.split("\t")[0] for line in keys.splitlines()) if k not in text] == []


@pytest.mark.parametrize("text, where", [
    ('[host]\nidentity = "scef.example"\nrealms = "x"\n', "3: host.realms"),
    ('[host]\nidentity = "scef.example"\n\nrealms = "x"', "4: host.realms"),
    ('[host]\ngates = 17\n', "2: host.gates"),
    ('[host\n', "1: "),
    ('[diameter]\npeers = [\n {identity = "a"},\n {identty = "b"},\n]\n', "4: diameter.peers[1].identty"),
])
def test_wrong_configuration_is_one_line_with_file_line_and_key(tmp_path, text, where):
    file = pathlib.Path(tmp_path / "wrong.toml")
    file.write_text(text)
    told = subprocess.run([str(BUILD / "dromiod"), "--config", str(file), "--check"], capture_output=True, text=True)
    assert told.returncode == 2 and told.stderr.count("\n") == 1
    assert f"{file}:{where}" in told.stderr
