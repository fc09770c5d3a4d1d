"""What tests say and hear on T8, kept for test_t8_spec.py: one line for each different message. Nothing is kept
where 3GPP's files are not: DROMIO_3GPP_OPENAPI names their folder."""
import json
import os
import pathlib
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
BESIDE = ROOT.parent / "shared" / "spec" / "openapi"
named = os.environ.get("DROMIO_3GPP_OPENAPI")
FOLDER = pathlib.Path(named) if named else BESIDE if (BESIDE / "TS29122_NIDD.yaml").is_file() else None
BASE = "/3gpp-nidd/v1"
MOST = 200_000

_lock = threading.Lock()
KEPT = os.environ.get("DROMIO_T8_KEPT")  # a folder of this run, where its tests are several processes
_file = tempfile.NamedTemporaryFile("w", prefix="dromio-t8-", suffix=".ndjson", dir=KEPT, delete=KEPT is None) if FOLDER else None
_lines = 0


def _json(body):
    if isinstance(body, (bytes, str)):
        try:
            return json.loads(body)
        except ValueError:
            return None
    return body


def _keep(record):
    global _lines
    with _lock:
        if _lines < MOST:
            _file.write(json.dumps(record) + "\n")
            _lines += 1


def exchange(method, path, body, answer):
    if _file is None or not path.startswith(BASE + "/"):
        return
    _keep({"method": method, "path": path[len(BASE):].split("?")[0], "body": _json(body), "has_body": bool(body), "status": answer.status,
           "type": (answer.headers.get("Content-Type") or "").split(";")[0], "answer": _json(answer.body), "has_answer": bool(answer.body)})


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
