"""Everything that has threads runs under ThreadSanitizer: the ticker beside a cell's turns, the log's reader beside recovery, the helper that makes pages, and, as threads, what are rooms elsewhere: both
sides of a ring, writers and readers of the directory, cores and a cell of a simulated host that recover. No report is allowed."""
import os
import subprocess

PROMISE = "What runs in several threads does not race"
UNIT = "programs"
SHORT, LONG = 14, 14
SECONDS = 300
IN_CHECK = False
LIMITS = "memory that processes share: ThreadSanitizer sees one process; rings and columns are looked at as threads, and by `sandbox`, instead"

PROGRAMS = ("ring", "directory", "pages", "commit_log", "log_reader", "log_check", "columns", "ticker", "cell", "cell_computing", "engine", "bench_sink", "sim", "cores")


def run(proof):
    programs = [name for name in PROGRAMS if name == (proof.only or name)]
    if not programs:
        proof.fail(f"no program is called {proof.only}: {', '.join(PROGRAMS)}")
    proof.wanted = len(programs)
    build = proof.built("threads", configured=proof.only is not None)
    environment = {**os.environ, "TSAN_OPTIONS": f"halt_on_error=0:report_signal_unsafe=0:exitcode=66:log_path={proof.work}/report"}
    for name in programs[proof.done:]:
        ran = subprocess.run(["meson", "test", "-C", build, *([] if proof.only else ["--no-rebuild"]), "--timeout-multiplier", "10", name], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        reports = "\n".join(path.read_text()[:3000] for path in proof.work.glob("report*"))
        if reports or ran.returncode != 0 or "Ok:                 1" not in ran.stdout:
            proof.fail(f"{name}:\n{reports or ran.stdout[-2000:]}")
        proof.count()
