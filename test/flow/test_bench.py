"""dromio-bench: one JSON object each, with the contract's keys, and nothing left behind."""
import functools
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "peers"))
from whole_host import BUILD  # noqa: E402

BENCH = str(BUILD / "dromio-bench")
PEER = {"peer", "peer_per_second", "peer_cpu_micros", "ratio"}
KEYS = PEER | {"bench", "per_second", "cpu_micros", "p50_micros", "p99_micros", "bytes_per_twin", "settings"}
LOADED = {"bench", "per_second", "cpu_micros", "p50_micros", "p99_micros", "settings"}
OWN_LOAD = {"bench", "per_second", "cpu_micros", "settings"}  # a room of the host makes it: no request, no latency


def run(name, directory, *options, path=None):
    done = subprocess.run([BENCH, name, "--json", "--quick", "--data", str(directory), *options],
                          capture_output=True, text=True, timeout=120, env=os.environ | ({"PATH": path} if path else {}))
    assert done.returncode == 0, done.stderr
    assert not list(directory.iterdir())
    return json.loads(done.stdout)


# What is looked at is there after a moment as after many seconds.
MOMENT = ["--seconds", "0.4"]
SHORT = [*MOMENT, "--twins", "500"]


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Runs a benchmark once for all tests that read its result."""
    return functools.cache(lambda name, *options: run(name, tmp_path_factory.mktemp(name), *SHORT, *options))


HAS_REDIS = shutil.which("redis-server") is not None
HAS_FREEDIAMETER = shutil.which("freeDiameterd") is not None and (BUILD / "bench" / "freediameter_t6a.fdx").exists()


@pytest.mark.parametrize("name, options", [("diameter", []), ("http", []), ("latency", ["--alone"])])
def test_load_is_measured(once, name, options):
    result = once(name, *options)
    assert set(result) == LOADED | (PEER if name == "diameter" and HAS_FREEDIAMETER else set()) and result["bench"] == name
    assert result["per_second"] > 0 and 0 < result["p50_micros"] <= result["p99_micros"]
    assert result["settings"].get("answered_otherwise", 0) == 0


def test_the_plain_form_says_of_what_and_each_setting_on_a_line(tmp_path):
    done = subprocess.run([BENCH, "group", "--quick", "--twins", "100", "--data", str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "group" and lines[1].split()[1:3] == ["per", "second,"] and "MT-Data-Requests" in lines[1]
    settings = lines[lines.index("  settings") + 1:]
    assert all(line.startswith("    ") and line.strip() for line in settings)
    assert "    members 100" in settings and any(line.startswith("    slowest_s ") for line in settings)
    assert "    twin acme/thermo, 8-byte frames, column updates on" in settings  # a text keeps its commas


def test_turns_are_of_the_hosts_own_load_and_without_commits(tmp_path):
    result = run("turns", tmp_path, "--seconds", "1", "--twins", "2000")  # CPU time is counted in hundredths
    settings = result["settings"]
    assert set(result) == OWN_LOAD and result["per_second"] > 0 and result["cpu_micros"] > 0
    assert settings["commits"] == 0 and settings["set"] == "bench.no_log=true bench.load=2000 bench.window=1024"
    assert settings["cpu_micros_core"] > 0 and settings["cpu_micros_cell"] > 0 and settings["cpu_micros_load"] > 0
    assert settings["cpu_micros_core"] + settings["cpu_micros_cell"] <= result["cpu_micros"] * 1.01


def test_durable_has_a_row_through_sockets(once):
    result = once("durable")
    assert set(result) == OWN_LOAD | (PEER if HAS_REDIS else set())
    assert result["settings"]["commits"] >= result["settings"]["turns"] - result["settings"]["window"]
    sockets = result["settings"]["sockets"]
    assert sockets["per_second"] > 0 and 0 < sockets["p50_micros"] <= sockets["p99_micros"]
    assert sockets["answered_otherwise"] == 0 and sockets["connections"] == 4


@pytest.mark.skipif(not HAS_REDIS, reason="redis-server is not installed")
def test_durable_is_compared_with_redis(once):
    result = once("durable")
    sockets = result["settings"]["sockets"]
    assert result["peer"].startswith("redis ")
    assert result["ratio"] == pytest.approx(sockets["per_second"] / result["peer_per_second"], rel=0.01)
    assert result["peer_cpu_micros"] == sockets["peer_cpu_micros"] > 0 and sockets["peer_cpu_micros_load"] > 0


@pytest.mark.skipif(not HAS_FREEDIAMETER, reason="freeDiameter is not installed")
def test_diameter_is_compared_with_freediameter(once):
    result = once("diameter")
    assert result["peer"].startswith("freeDiameter 1.")
    assert result["ratio"] == pytest.approx(result["per_second"] / result["peer_per_second"], rel=0.01)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_http_is_measured_by_wrk_too(once):
    settings = once("http")["settings"]
    assert settings["wrk_per_second"] > 0 and 0 < settings["wrk_p50_micros"] <= settings["wrk_p99_micros"]
    assert settings["wrk_not_200"] == settings["wrk_broken"] == 0
    if shutil.which("curl"):
        assert settings["tls_per_second"] > 0 and settings["tls_not_200"] == settings["tls_broken"] == 0


def test_what_is_not_installed_is_not_compared_with(once, tmp_path):
    result = run("durable", tmp_path, *SHORT, path=str(tmp_path)) if HAS_REDIS else once("durable")
    assert set(result) == OWN_LOAD and "redis-server is not installed" in result["settings"]["sockets"]["peer_note"]


def test_an_uplink_is_a_turn_and_a_commit(once):
    settings = once("diameter")["settings"]
    # Those in flight when measuring began and ended are the difference.
    assert abs(settings["turns"] - settings["answered_2001"]) <= 2 * settings["window"]
    assert settings["commits"] >= settings["turns"] - settings["window"]


def test_density_is_memory_and_restarts(tmp_path):
    result = run("density", tmp_path, "--twins", "500")
    settings = result["settings"]
    assert set(result) == {"bench", "bytes_per_twin", "settings"} and set(result) <= KEYS
    assert result["bytes_per_twin"] == pytest.approx((settings["pss_after"] - settings["pss_before"]) / 500, rel=0.01)
    assert all(settings[n] > 0 for n in ("restart_ms", "restart_after_kill_ms", "bulk_twins_per_second"))


def test_every_uplink_is_told_to_the_application_once(tmp_path):
    result = run("nidd", tmp_path, *MOMENT, "--twins", "500")
    settings = result["settings"]
    assert result["per_second"] > 0 and settings["notifications"] > 0  # it fails itself when one is missing, strange or there twice
    assert settings["configurations"] == settings["connected"] == 500 and settings["alone_p50_micros"] > 0


def test_every_report_is_told_to_the_application_once(tmp_path):
    result = run("monte", tmp_path, *MOMENT, "--twins", "500")
    settings = result["settings"]
    assert result["per_second"] > 0 and settings["notifications"] > 0  # it fails itself when one is missing, strange or there twice
    assert settings["subscriptions"] == 500 and settings["alone_p50_micros"] > 0 and settings["subscriptions_per_second"] > 0


@pytest.mark.parametrize("name", ["nidd", "monte"])
@pytest.mark.parametrize("twins", [1, 20])
def test_few_devices_have_no_more_notifications_waiting_than_a_host_keeps(tmp_path, name, twins):
    result = run(name, tmp_path, *MOMENT, "--twins", str(twins))
    assert result["per_second"] > 0 and result["settings"]["waiting_most"] == result["settings"]["twins"] == twins


def test_queue_goes_beyond_memory_and_flushes_all_of_it(tmp_path):
    result = run("queue", tmp_path, "--twins", "200", "--quick")
    settings = result["settings"]
    assert settings["downlinks"] == 200 * settings["downlinks_a_device"] and result["per_second"] > 0
    assert 0 < settings["in_the_log_only"] < settings["downlinks"] and settings["queued_downlink_memory_bytes"] <= 1 << 20
    assert settings["chunks"] > 0 and settings["log_bytes_a_downlink"] > settings["chunk_bytes_a_downlink"] > 0
    assert settings["flushed_per_second"] > 0 and settings["restart_after_kill_ms"] > 0 and settings["queues_read"] > 0


def test_hot_spreads_unevenly(tmp_path):
    result = run("hot", tmp_path, *SHORT)
    settings = result["settings"]
    assert set(result) == {"bench", "per_second", "settings"}
    assert all(settings[f"{mix}_per_second"] > 0 for mix in ("uniform", "zipf", "one_twin", "domains"))
    assert settings["zipf_to_uniform"] == pytest.approx(settings["zipf_per_second"] / settings["uniform_per_second"], rel=0.01)
    assert all(settings[f"{mix}_answered_3xxx"] == 0 for mix in ("uniform", "zipf", "one_twin", "domains"))


def test_overload_refuses_and_says_what_is_left(tmp_path):
    result = run("overload", tmp_path, "--seconds", "0.5", "--twins", "500")
    settings = result["settings"]
    assert result["per_second"] == pytest.approx(settings["5x_answered_per_second"], rel=0.01)
    for step in ("1x", "2x", "5x"):
        assert settings[f"{step}_answered_per_second"] + settings[f"{step}_refused_per_second"] <= 1.01 * settings[f"{step}_sent_per_second"] + 2000


def test_a_groups_downlink_reaches_all_members(tmp_path):
    result = run("group", tmp_path, "--twins", "2000")
    assert set(result) == {"bench", "per_second", "cpu_micros", "settings"}
    assert result["per_second"] > 0 and result["settings"]["members"] == 2000 and result["settings"]["rounds"] == 2


def test_curve_follows_the_offered_load(tmp_path):
    settings = run("curve", tmp_path, *SHORT)["settings"]
    for percent in (10, 25, 50, 75, 90, 100, 125, 150, 200):
        assert settings[f"at_{percent}_answered_per_second"] > 0
        assert 0 < settings[f"at_{percent}_p50_micros"] <= settings[f"at_{percent}_p99_micros"]
    assert settings["at_10_sent_per_second"] < settings["peak_per_second"]


MEASURE = str(ROOT / "tools" / "measure")


def measure(out, *options):
    return subprocess.run([MEASURE, "--out", str(out), *options], capture_output=True, text=True, timeout=120)


def test_measure_keeps_results_and_goes_on_where_it_stopped(tmp_path):
    out = tmp_path / "results.json"
    done = measure(out, "--data", str(tmp_path), "group")
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    assert record["runs"][0]["result"]["bench"] == "group" and record["machine"]["cpus"] == os.cpu_count()
    record["runs"][0]["started"] = "kept"
    record["plan"].append(["latency", ["--quick", *SHORT]])
    out.write_text(json.dumps(record))
    done = subprocess.run([MEASURE, "--continue", str(out)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    runs = json.loads(out.read_text())["runs"]
    assert [run["run"].split()[0] for run in runs] == ["group", "latency"] and runs[0]["started"] == "kept"


def test_measure_names_what_failed(tmp_path):
    out = tmp_path / "results.json"
    done = measure(out, "--data", str(tmp_path / "nowhere"), "latency")
    assert done.returncode == 1 and "cannot make a directory" in done.stderr
    assert "cannot make a directory" in json.loads(out.read_text())["runs"][0]["failed"]
    assert measure(out, "no-such").returncode == 1


def test_compute_computes_the_same_as_native(tmp_path):
    result = run("compute", tmp_path)
    settings = result["settings"]
    assert set(result) == {"bench", "per_second", "peer", "peer_per_second", "ratio", "settings"}
    assert result["ratio"] == pytest.approx(min(settings[f"{kernel}_ratio"] for kernel in ("fir", "fft", "keccak")), rel=0.01)
    assert all(settings[f"{kernel}_unmarked_ratio"] > 0 for kernel in ("fir", "fft", "keccak"))


def rooms_of(directory):
    """Processes whose command line names the directory."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(directory).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                pass
    return found


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    process = subprocess.Popen([BENCH, "diameter", "--data", str(tmp_path), "--seconds", "60"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("*/data/admin.token")):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130 and out == b""
    assert not list(tmp_path.iterdir())
    assert [p for p in rooms_of(tmp_path) if p != os.getpid()] == []


@pytest.mark.parametrize("options", [[], ["nothing"], ["http", "latency"], ["http", "--seconds", "0"], ["http", "--twins", "x"]])
def test_bad_usage_is_exit_2(options):
    done = subprocess.run([BENCH, *options], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_help_names_every_bench():
    done = subprocess.run([BENCH, "--help"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert all(f"  {n} " in done.stdout for n in ("turns", "durable", "diameter", "http", "density", "latency", "hot", "nidd", "monte", "queue", "overload", "group", "curve", "compute", "growth"))


def test_a_host_that_does_not_start_is_said(tmp_path):
    done = subprocess.run([BENCH, "latency", "--dromiod", "/bin/false", "--data", str(tmp_path)], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 1 and "/bin/false ended while starting" in done.stderr and not list(tmp_path.iterdir())


def test_turns_of_twins_whose_contexts_are_in_the_log(tmp_path):
    result = run("cold", tmp_path, *MOMENT, "--twins", "5000")
    assert set(result) == LOADED and result["per_second"] > 0
    settings = result["settings"]
    assert 0.05 < settings["read_from_log"] < 1 and settings["unreadable"] == 0
    assert 0 < settings["context_bytes"] <= 80000 + 8192 * 256  # what is in a turn or not durable cannot leave


def test_restarts_are_timed(tmp_path):
    result = run("restart", tmp_path, "--twins", "500")
    settings = result["settings"]
    in_memory = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True).stdout.strip() == "tmpfs"
    for row in ("restart", "restart_after_kill", "restart_cached", "restart_cached_after_kill"):
        assert settings[f"{row}_ms"] > 0
        assert (settings[f"{row}_in_page_cache"] > 0.5) == ("cached" in row or in_memory)


def test_growth_measures_the_same_twins_for_each_benchmark(tmp_path):
    settings = run("growth", tmp_path, *MOMENT, "--twins", "3000")["settings"]
    assert settings["twins"] == 3000
    for name in ("durable", "diameter", "http", "cold"):
        assert settings[name]["per_second"] > 0 and settings[name]["cpu_micros"] > 0, name
    assert settings["diameter"]["answered_otherwise"] == settings["http"]["answers_otherwise"] == settings["cold"]["unreadable"] == 0
    assert settings["density"]["bytes_per_twin"] > 0 and settings["density"]["frames_each"] == 20
    assert settings["latency"]["p50_micros"] > 0 and settings["latency"]["outstanding"] == 1
    assert settings["restart"]["restart_ms"] > 0 and settings["restart"]["restart_after_kill_ms"] > 0


def test_plot_takes_growth_as_a_run_of_each_benchmark():
    loader = importlib.machinery.SourceFileLoader("plot", str(ROOT / "tools" / "plot"))
    plot = importlib.util.module_from_spec(importlib.util.spec_from_loader("plot", loader))
    loader.exec_module(plot)
    growth = [{"run": f"growth --twins {twins}", "result": {"bench": "growth", "settings": {
        "twins": twins, "durable": {"per_second": 1000 + twins}, "density": {"bytes_per_twin": 500.5}, "restart": {"restart_ms": twins / 10}}}}
        for twins in (2000, 1000)]
    record = {"runs": [{"run": "durable --quick", "result": {"bench": "durable", "per_second": 7, "settings": {}}}, *growth]}
    assert plot.growth(record, "durable", "per_second") == [(1000, 2000), (2000, 3000)]
    assert plot.growth(record, "density", "settings.restart_ms") == [(1000, 100), (2000, 200)]
    assert plot.latest(record, "durable")["result"]["per_second"] == 7
    assert plot.growth_table(record).splitlines()[2] == "| 1,000 | 2,000 | 500 | 100 |"


def test_a_log_kept_small_is_smaller(tmp_path):
    settings = run("compaction", tmp_path, *MOMENT, "--twins", "2000")["settings"]
    assert settings["log_bytes_most"] > settings["live_bytes"] > 0 and settings["p99_ratio"] > 0
