"""What tests say and hear on T8 and CAPIF, kept for test_t8_spec.py: one line for each message. Nothing is kept
where 3GPP's files are not: DROMIO_3GPP_OPENAPI names their folder."""
import json
import os
import pathlib
import tempfile
import threading
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BESIDE = ROOT.parent / "shared" / "spec" / "openapi"
named = os.environ.get("DROMIO_3GPP_OPENAPI")
FOLDER = pathlib.Path(named) if named else BESIDE if (BESIDE / "TS29122_NIDD.yaml").is_file() else None
TOOLS = pathlib.Path(os.environ.get("DROMIO_DEPS", pathlib.Path.home() / ".cache/dromio/deps")) / "venv-t8" / "bin"
NOT_CHECKED = "3GPP's OpenAPI files are not here (DROMIO_3GPP_OPENAPI)" if FOLDER is None else "tools/setup --t8 was not run"
# API by the first part of its paths; the second is its version.
FILES = {
    "3gpp-nidd": "TS29122_NIDD.yaml",
    "3gpp-monitoring-event": "TS29122_MonitoringEvent.yaml",
    "3gpp-device-triggering": "TS29122_DeviceTriggering.yaml",
    "3gpp-cp-parameter-provisioning": "TS29122_CpProvisioning.yaml",
    "3gpp-network-parameter-configuration": "TS29122_NpConfiguration.yaml",
    "3gpp-ecr-control": "TS29122_ECRControl.yaml",
    "service-apis": "TS29222_CAPIF_Discover_Service_API.yaml",
    "published-apis": "TS29222_CAPIF_Publish_Service_API.yaml",
    "api-invoker-management": "TS29222_CAPIF_API_Invoker_Management_API.yaml",
    "api-provider-management": "TS29222_CAPIF_API_Provider_Management_API.yaml",
    "capif-security": "TS29222_CAPIF_Security_API.yaml",
    "aef-security": "TS29222_AEF_Security_API.yaml",
}
MOST = 200_000

_lock = threading.Lock()
KEPT = os.environ.get("DROMIO_T8_KEPT")  # a folder of this run, where its tests are several processes
_file = tempfile.NamedTemporaryFile("w", prefix="dromio-t8-", suffix=".ndjson", dir=KEPT, delete=KEPT is None) if FOLDER else None
_lines = 0


def is_checked():
    """What is kept, and what else 3GPP's files say."""
    return FOLDER is not None and (TOOLS / "st").exists()


def _json(body):
    if isinstance(body, (bytes, str)):
        try:
            return json.loads(body)
        except ValueError:
            return None
    return body


def _body(body, kind):
    """A form as an object of its members, all else as JSON."""
    if kind.startswith("application/x-www-form-urlencoded") and body:
        text = body.decode() if isinstance(body, bytes) else body
        return dict(urllib.parse.parse_qsl(text)) or _json(body)
    return _json(body)


def _keep(record):
    global _lines
    with _lock:
        if _lines < MOST:
            _file.write(json.dumps(record) + "\n")
            _lines += 1


def exchange(method, path, body, answer, kind="application/json"):
    """A request with the type of its body, and its answer."""
    parts = path.split("?")[0].split("/", 3)
    if _file is None or len(parts) < 3 or parts[1] not in FILES or parts[2] != "v1":
        return
    _keep({"api": parts[1], "method": method, "path": "/" + "".join(parts[3:]), "body": _body(body, kind), "has_body": bool(body), "kind": kind.split(";")[0],
           "status": answer.status, "type": (answer.headers.get("Content-Type") or "").split(";")[0], "answer": _json(answer.body),
           "has_answer": bool(answer.body)})


def notification(body):
    if _file is not None:
        _keep({"notification": _json(body)})


def path():
    """The file of all that was kept so far, by this process and those before it."""
    with _lock:
        _file.flush()
    if KEPT is None:
        return _file.name
    parts = sorted(pathlib.Path(KEPT).glob("*.ndjson"))
    whole = pathlib.Path(KEPT) / "all"
    whole.write_text("".join(part.read_text() for part in parts))
    return str(whole)
