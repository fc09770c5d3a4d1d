"""The fuzz targets: what each reads, where its words are, how long its inputs may be, and whether it
prints lines of its own."""

DIAMETER = {"words": ("src/gate/diameter*.c", "src/wire/diameter/*.c"), "more": ("avps",), "bytes": 8192}
FIELDS = range(1, 128)
MESSAGES = range(0, 80)

TARGETS = {
    "archive": {"reads": "a backup, at restore", "words": ("src/store/archive.h", "cli/archive_check.c", "cli/restore.c"), "bytes": 16384},
    "artifact": {"reads": "compiled images, and what the process that makes them answers", "words": ("src/cell/artifact.c",)},
    "cell_turn": {"reads": "ring messages core -> cell, contexts and events of turns", "numbers": range(0, 40), "bytes": 16384},
    "charging": {"reads": "charging files at start, charges of the log", "words": ("src/twin/charge.c", "src/ledger/journal.c")},
    "charging_ring": {"reads": "ring messages core -> charging and charging -> core", "numbers": (74, 77), "bytes": 8192},
    "columns": {"reads": "the columns, spoilt by whoever writes them", "bytes": 1024},
    "config": {"reads": "configuration words", "words": ("src/host/config.c",), "is_loud": True},
    "context": {"reads": "contexts that a cell gives back", "bytes": 8192},
    "core_record": {"reads": "records of the log", "numbers": FIELDS, "bytes": 16384},
    "core_request": {"reads": "ring messages gate -> core", "numbers": FIELDS, "words": ("src/core/api*.c",), "bytes": 16384},
    "core_result": {"reads": "ring messages cell -> core", "numbers": range(0, 40)},
    "desk_ring": {"reads": "ring messages gate -> desk", "more": ("sql",)},
    "diameter_peer": {"reads": "a Diameter connection, before and after its capabilities", **DIAMETER},
    "diameter_read": {"reads": "Diameter messages and the values of AVPs", **DIAMETER},
    "effect": {"reads": "effects of a turn", "numbers": range(0, 16)},
    "gate_ring": {"reads": "ring messages core -> gate and desk -> gate", "numbers": MESSAGES, "words": ("src/gate/reply.c", "src/gate/fan.c", "src/gate/join.c", "src/gate/description.c"), "bytes": 16384},
    "host_files": {"reads": "the small files of a data directory: keys, host's tables, generations, layout", "numbers": FIELDS, "words": ("src/store/data_layout.c",), "bytes": 8192},
    "http_answer": {"reads": "answers of foreign HTTP servers: applications' and a CAPIF core function's", "words": ("src/gate/publisher.c",), "more": ("routes",), "bytes": 8192},
    "http_body": {"reads": "JSON bodies of all kinds", "words": ("src/gate/*body.c", "src/twin/t8*.c", "src/twin/nidd.c", "src/gate/fields.c"), "bytes": 8192},
    "http_connection": {"reads": "an HTTP connection, the bearer tokens in it", "words": ("src/gate/request.c", "src/gate/parse.c"), "more": ("routes",), "bytes": 16384},
    "http_target": {"reads": "targets of HTTP requests", "more": ("routes",), "words": ("src/gate/target.c",)},
    "interworking": {"reads": "Diameter between serving and home networks", **DIAMETER},
    "jwt": {"reads": "JWTs, JWK sets, forms and scopes", "words": ("src/gate/jwt.c", "src/gate/form.c", "src/gate/scope.c", "src/gate/oauth.c")},
    "log_files": {"reads": "epoch and replay point of a log"},
    "log_segment": {"reads": "segments of the log: rounds, records, frames", "words": ("src/store/log_round.c",), "bytes": 65536},
    "model_flat": {"reads": "models as artifacts have them", "numbers": range(0, 32)},
    "model_json": {"reads": "Thing Models", "words": ("src/twin/model_json.c", "src/twin/model_rules.c"), "bytes": 16384},
    "rds_frame": {"reads": "frames of the reliable data service", "words": ()},
    "report": {"reads": "reports of network nodes", **DIAMETER},
    "ring": {"reads": "a ring that its writer has spoilt"},
    "s6t": {"reads": "an HSS's requests and answers", **DIAMETER},
    "sql": {"reads": "SQL of applications", "more": ("sql",), "words": ("src/desk/view.c", "src/desk/aggregate.c")},
    "sse": {"reads": "server-sent events, in the command line", "words": ("cli/sse.c",)},
    "text": {"reads": "texts of the host, in the command line"},
    "toml": {"reads": "TOML", "words": ("src/base/toml.c",)},
    "trigger": {"reads": "what nodes say of device triggers", **DIAMETER},
    "twin_wasm": {"reads": "images, in the command line", "words": ("cli/twin_wasm.c",), "bytes": 16384},
    "value": {"reads": "values of properties"},
    "wasm": {"reads": "uploaded images", "words": ("src/cell/wasm*.c", "src/cell/admit.c"), "bytes": 16384},
    "websocket_frame": {"reads": "frames of websocket clients"},
}
