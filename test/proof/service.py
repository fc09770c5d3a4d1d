"""The systemd unit as it is installed is judged by `systemd-analyze security`, and the host runs under what the unit asks for: the tests of the service look that every room still gets what it needs."""
import re
import shutil

PROMISE = "The service is confined: an exposure level under 2.0 for systemd"
UNIT = "units"
SHORT, LONG = 1, 1
SECONDS = 10
IN_CHECK = True
LIMITS = "what each room may do beyond the unit: seccomp and Landlock, which `sandbox` looks at"


def run(proof):
    if shutil.which("systemd-analyze") is None:
        proof.unavailable("there is no systemd-analyze")
    unit = proof.build / "docs/dromiod.service"
    said = proof.run("systemd-analyze", "security", "--offline=true", str(unit))
    exposure = float(re.search(r"Overall exposure level for dromiod.service: ([\d.]+)", said)[1])
    proof.measured["exposure level, 0 to 10"] = exposure
    proof.table("What it may still do", ["setting", "why it counts"], [(line[1:].split(None, 1)[0], line[1:].split(None, 1)[1].rsplit("  ", 1)[0].strip()) for line in said.splitlines() if line.startswith("✗")])
    if exposure >= 2.0:
        proof.fail(f"the exposure level is {exposure}")
    proof.measured["tests of the service"] = proof.pytest("test/flow/test_service.py")
    proof.count()
