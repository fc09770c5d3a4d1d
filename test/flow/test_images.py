"""Images: bad ones are refused with every reason; what a twin's code may do wrong costs its own event only."""
import json
import pathlib
import shutil
import subprocess

import pytest
from host import THERMO, Events, Host, thermo_reading, until
from hostile import leb
from mme import Mme

# Its twins fail on purpose, and are not to be set aside for it.
PATIENT = SETTINGS = ("penalty.failures=0", "quarantine.twins=0", "quarantine.kills=0")

# What the rogue does is the first byte of its frame.
COUNT, TRAP, LOOP, OUT_OF_BOUNDS, OVERFLOW, DIVIDE, BAD_RESULT, FLOOD, NOT_FINITE, GROW, SWALLOW, NOT_HANDLED, BAD_CALL, SPIN_A_BIT = range(14)
ROGUE = r"""
#define IMPORT(name) __attribute__((import_module("dromio"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))
typedef unsigned char u8; typedef unsigned int u32; typedef int i32; typedef long long i64;
IMPORT(property_set_integer) void property_set_integer(i32 property, i64 value, i32 quality);
IMPORT(property_set_number) void property_set_number(i32 property, double value, i32 quality);
IMPORT(timer) void timer(i32 number, i64 delay_ms);
EXPORT(dromio_abi_1) void dromio_abi_1(void) {}
static u8 buffer[2048] __attribute__((aligned(16)));
EXPORT(dromio_event_buffer) u8 *dromio_event_buffer(void) { return buffer; }
static u32 count; static volatile u32 sink, wrong;
__attribute__((noinline)) static u32 fall(u32 depth) { return depth == 0 ? sink : fall(depth - 1) * 3 + sink; }
EXPORT(dromio_event) i32 dromio_event(u32 kind, u32 id, u32 length)
{
    if (kind != 3) return kind == 5 ? 0 : 1;
    count++;                        /* only kept when the turn ends well */
    switch (buffer[0]) {
    case 1: __builtin_trap();
    case 2: for (;;) sink++;
    case 3: *(volatile u32 *)0x7fffff00 = 1; return 0;
    case 4: sink = fall(100000000); return 0;
    case 5: sink = 7000 / (sink - sink); return 0;
    case 6: return 77;
    case 7: for (i32 i = 0; i < 1000; i++) timer(i, i); return 0;
    case 8: property_set_number(1, __builtin_inf(), 0); return 0;
    case 9: while (__builtin_wasm_memory_grow(0, 16) != (unsigned long)-1) sink++; *(volatile u8 *)0x3ffffff0 = 1; return 0;
    case 10: property_set_integer(0, count, 0); return 2;
    case 11: return 1;
    case 12: wrong = (u32)dromio_event_buffer; ((void (*)(double))wrong)(1.0); return 0;
    case 13: for (u32 i = 0; i < 1000; i++) sink++; break;
    }
    property_set_integer(0, count, 0);
    return 0;
}
"""
MODEL = {"@context": "https://www.w3.org/2022/wot/td/v1.1", "@type": "tm:ThingModel", "title": "Rogue", "version": {"model": "1.0.0"},
         "dromio:model": "acme/rogue",
         "properties": {"count": {"type": "integer", "readOnly": True}, "number": {"type": "number", "readOnly": True}},
         "actions": {"act": {}}}


def section(code, body):
    return bytes([code]) + leb(len(body)) + body


def custom(name, body):
    return section(0, leb(len(name)) + name.encode() + body)


def with_model(wasm, model):
    return wasm + custom("dromio.model", model if isinstance(model, bytes) else json.dumps(model).encode())


def from_text(directory, text):
    (directory / "a.wat").write_text(text)
    subprocess.run(["wat2wasm", "--enable-all", "--no-check", "-o", "a.wasm", "a.wat"], cwd=directory, check=True, timeout=60)
    return (directory / "a.wasm").read_bytes()


def from_c(directory, text, *flags):
    (directory / "a.c").write_text(text)
    subprocess.run(["clang", "--target=wasm32", "-mbulk-memory", "-O1", "-ffreestanding", "-fno-builtin", "-fvisibility=hidden", *flags, "-c",
                    "-o", "a.o", "a.c"], cwd=directory, check=True, timeout=60)
    subprocess.run([shutil.which("wasm-ld") or "wasm-ld-14", "--no-entry", "--stack-first", "-z", "stack-size=4096", "--strip-all",
                    "--gc-sections", "--export=__heap_base", "-o", "a.wasm", "a.o"], cwd=directory, check=True, timeout=60)
    return (directory / "a.wasm").read_bytes()


# ---- good ones ----

def test_an_image_is_201_and_200_when_it_is_there_already(real):
    wasm = THERMO.read_bytes()
    again = real.push(wasm)
    assert again.status == 200 and again.json() == {"image": real.thermo, "model": "acme/thermo", "version": "1.0.0"}
    other = with_model(wasm, MODEL)  # a second model section, or trailing: refused or another digest, never the same
    assert real.admin.post("/v1/images", other).status in (201, 409, 422)


def test_images_are_shown(real, thermometer):
    thermometer()
    listed = real.admin.get("/v1/images").json()["images"]
    [shown] = [image for image in listed if image["image"] == real.thermo]
    one = real.admin.get(f"/v1/images/{real.thermo}").json()
    for image in (shown, one):
        assert image["model"] == "acme/thermo" and image["version"] == "1.0.0" and image["twins"] >= 1 and image["memory"] > 0
        assert any("property_set_number" in name for name in image["imports"])
    assert real.admin.get("/v1/images/sha256:" + "0" * 64).status == 404
    assert real.admin.get("/v1/images/thermo").status in (400, 404)


def test_images_want_their_scope(real):
    pusher = real.application("pusher", ["acme.example"], ["images"])
    assert pusher.post("/v1/images", THERMO.read_bytes()).status == 200
    assert real.application("no-pusher", ["acme.example"], ["read", "write"]).post("/v1/images", b"x").status == 403


# ---- bad ones ----

FRAME = """(module (memory (export "memory") 1)
  (func (export "dromio_abi_1")) (func (export "dromio_event_buffer") (result i32) (i32.const 1024))
  (func (export "dromio_event") (param i32 i32 i32) (result i32) %s) %s)"""
BODY = "(i32.const 0)"


@pytest.mark.parametrize("text, words", [
    ('(module)', ["memory", "dromio_abi_1", "dromio_event_buffer", "dromio_event"]),
    (FRAME % (BODY, '(import "env" "abort" (func))'), ["abort"]),
    (FRAME % (BODY, '(import "dromio" "format_disk" (func))'), ["format_disk"]),
    (FRAME % (BODY, '(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))'), ["fd_write"]),
    (FRAME.replace("(result i32) %s)", "%s)") % ("", ""), ["dromio_event", "signature"]),
    (FRAME.replace('"dromio_abi_1"', '"dromio_abi_2"') % (BODY, ""), ["dromio_abi_1"]),
    (FRAME.replace("1024", "70000") % (BODY, ""), ["dromio_event_buffer"]),
    (FRAME % ("(i64.const 0)", ""), ["type"]),
    (FRAME.replace("1)\n", "1000)\n", 1) % (BODY, ""), ["memory"]),
    (FRAME.replace('1)\n', '1 2 shared)\n', 1) % (BODY, ""), ["memory"]),
    (FRAME % (BODY, "(memory i64 1)"), []),
    (FRAME % (BODY, "(start 0)"), ["start"]),
    (FRAME % ("(return_call 3)", "(func (result i32) (i32.const 0))"), []),
    (FRAME % ("(atomic.fence) (i32.const 0)", ""), []),
    (FRAME.replace("(i32.const 1024)", "(loop (br 0)) (i32.const 1024)") % (BODY, ""), ["dromio_event_buffer"]),
])
def test_a_bad_image_is_refused_with_every_reason(real, tmp_path, text, words):
    before = real.admin.get("/v1/images").json()
    # wat2wasm wants imports first
    if "(import" in text:
        start = text.index("(import")
        imported = text[start:text.rindex(")")]
        text = text[:start].replace("(module ", "(module " + imported) + ")"
    answer = real.admin.post("/v1/images", with_model(from_text(tmp_path, text), MODEL))
    assert answer.status == 422 and answer.headers["Content-Type"].startswith("application/problem+json"), answer
    told = answer.json()
    assert told["reasons"] and all(isinstance(reason, str) and reason for reason in told["reasons"])
    for word in words:
        assert any(word in reason for reason in told["reasons"]), (word, told)
    assert real.admin.get("/v1/images").json() == before


@pytest.mark.parametrize("model, word", [
    (None, "dromio.model"), (b"{", ""), (b"\xff\xfe", ""), (b"[]", ""), ({**MODEL, "dromio:model": "no slash"}, "dromio:model"),
    ({key: value for key, value in MODEL.items() if key != "dromio:model"}, "dromio:model"),
    ({**MODEL, "properties": {"count": {"type": "array"}}}, "count"), ({**MODEL, "properties": {f"p{n}": {"type": "integer"} for n in range(2000)}}, ""),
    ({**MODEL, "properties": {"Bad Name!": {"type": "integer"}, "x": {"type": "colour"}}}, ""), (b"[" * 100000, ""),
])
def test_a_bad_model_is_refused(real, tmp_path, model, word):
    wasm = from_text(tmp_path, FRAME % (BODY, ""))
    answer = real.admin.post("/v1/images", wasm if model is None else with_model(wasm, model))
    assert answer.status == 422 and answer.json()["reasons"], answer
    assert any(word in reason for reason in answer.json()["reasons"]), answer.json()


def test_bytes_that_are_no_wasm_are_refused(real):
    wasm = THERMO.read_bytes()
    for bad in (b"", b"\0", b"\0asm", b"\0asm\1\0\0\0", b"\0asm\2\0\0\0", b"MZ" * 500, wasm[:len(wasm) // 2], wasm[:-1],
                wasm[:100] + bytes([wasm[100] ^ 0xFF]) + wasm[101:]):
        answer = real.admin.post("/v1/images", bad)
        assert answer.status in (400, 422), (bad[:10], answer)
        if answer.status == 422:
            assert answer.json()["reasons"]
    assert real.admin.post("/v1/images", b"\0asm\1\0\0\0" + b"\0" * (5 << 20)).status in (413, 422)


def test_several_things_wrong_are_all_told(real, tmp_path):
    text = '(module (import "env" "abort" (func)) (import "env" "exit" (func (param i32))) (memory 1))'
    reasons = real.admin.post("/v1/images", from_text(tmp_path, text)).json()["reasons"]
    for word in ("abort", "exit", "dromio_abi_1", "dromio_event_buffer", "memory", "dromio.model"):
        assert any(word in reason for reason in reasons), (word, reasons)


def test_a_large_nested_image_ends_its_admission_only(real, tmp_path):
    """Deep blocks and a large function: refused or taken, within its own process."""
    deep = "(block " * 5000 + ")" * 5000
    wide = "(drop (i32.add (i32.const 1) (i32.const 2)))" * 30000
    for body in (deep + BODY, wide + BODY):
        answer = real.admin.post("/v1/images", with_model(from_text(tmp_path, FRAME % (body, "")), {**MODEL, "dromio:model": f"acme/n{len(body)}"}))
        assert answer.status in (201, 422), answer
    assert real.admin.get("/healthz").status == 200


# ---- what its code does wrong ----

ROGUE_WITHOUT_GROW = ROGUE.replace("case 9: while (__builtin_wasm_memory_grow(0, 16) != (unsigned long)-1) sink++;", "case 9:")


@pytest.fixture(scope="module")
def rogue(real, tmp_path_factory):
    return real.push(with_model(from_c(tmp_path_factory.mktemp("rogue"), ROGUE_WITHOUT_GROW), MODEL)).json()["image"]


@pytest.fixture(scope="module")
def computing(real, tmp_path_factory):
    """The same, but it says that it computes: no address is compared."""
    source = ROGUE_WITHOUT_GROW + '\n__attribute__((export_name("dromio_compute"))) void dromio_compute(void) {}\n'
    return real.push(with_model(from_c(tmp_path_factory.mktemp("computing"), source), {**MODEL, "dromio:model": "acme/computing"})).json()["image"]


@pytest.fixture(scope="module")
def bomb(real, tmp_path_factory):
    """The same, but with memory.grow: a fresh instance each turn."""
    wasm = with_model(from_c(tmp_path_factory.mktemp("bomb"), ROGUE), {**MODEL, "dromio:model": "acme/bomb"})
    return real.push(wasm).json()["image"]


@pytest.fixture(scope="module")
def stillborn(real, tmp_path_factory):
    """Fails when a twin is made of it."""
    source = ROGUE.replace("if (kind != 3)", "if (kind == 1) __builtin_trap();\n    if (kind != 3)")
    return real.push(with_model(from_c(tmp_path_factory.mktemp("stillborn"), source), {**MODEL, "dromio:model": "acme/stillborn"})).json()["image"]


def test_an_image_that_computes_is_shown_as_such(real, rogue, computing):
    shown = {image["image"]: image["computes"] for image in real.admin.get("/v1/images").json()["images"]}
    assert shown[computing] is True and shown[rogue] is False
    assert real.admin.get(f"/v1/images/{computing}").json()["computes"] is True
    real.kill()
    real.start()
    assert real.admin.get(f"/v1/images/{computing}").json()["computes"] is True


def test_an_image_that_fails_at_once_is_not_given_to_a_twin_without_one(real, mme, stillborn, names):
    name, imsi = next(names)
    assert real.admin.put(f"/v1/twins/{name}", {"imsi": imsi}).status == 201
    mme.attach(imsi)
    with Events(real.admin, f"?twin={name}") as events:
        answer = real.admin.put(f"/v1/twins/{name}", {"image": stillborn})
        assert (answer.status, answer.json()["type"]) == (422, "twin_failed"), answer
        assert events.next("dromio.trap.v1")["cloud"]["data"]["image"] is None
    mme.uplink(imsi, b"as it is")
    assert real.admin.twin(name)["image"] is None
    assert real.admin.get(f"/v1/twins/{name}/timeline?limit=1").json()["events"][0]["frame"] == b"as it is".hex()


def failures(real, image):
    """{reason: count} of /metrics."""
    found = {}
    for line in real.metrics().splitlines():
        if line.startswith("dromio_turn_failures_total{") and image in line:
            found[line.split('reason="')[1].split('"')[0]] = int(float(line.rsplit(" ", 1)[1]))
    return found


@pytest.mark.parametrize("kind, act, reasons", [
    ("rogue", TRAP, {"trap"}), ("rogue", LOOP, {"deadline"}), ("rogue", OUT_OF_BOUNDS, {"out_of_bounds"}), ("rogue", OVERFLOW, {"stack_overflow"}),
    ("rogue", DIVIDE, {"trap"}), ("rogue", BAD_RESULT, {"bad_result"}), ("rogue", FLOOD, {"effects"}), ("rogue", NOT_FINITE, {"trap", "effects"}),
    ("rogue", BAD_CALL, {"trap"}), ("rogue", GROW, {"out_of_bounds"}), ("bomb", GROW, {"memory", "out_of_bounds"}), ("bomb", TRAP, {"trap"}),
    ("bomb", LOOP, {"deadline"}), ("bomb", OVERFLOW, {"stack_overflow"}),
    ("computing", TRAP, {"trap"}), ("computing", LOOP, {"deadline"}), ("computing", OUT_OF_BOUNDS, {"out_of_bounds"}),
    ("computing", OVERFLOW, {"stack_overflow"}), ("computing", BAD_CALL, {"trap"}), ("computing", DIVIDE, {"trap"})])
def test_it_costs_its_own_event_only(request, real, mme, thermometer, names, kind, act, reasons):
    image = request.getfixturevalue(kind)
    name, imsi = next(names)
    real.admin.put_twin(name, image=image, imsi=imsi)
    mme.attach(imsi)
    other = thermometer()
    mme.uplink(imsi, bytes([COUNT]))
    assert real.admin.value(name, "count") == 1
    before, letters, cells = failures(real, image), real.metric("dromio_dead_letters_total"), real.rooms()
    with Events(real.admin, f"?twin={name}") as events:
        boxes = [other.mme.begin_odr(other.imsi, thermo_reading(number)) for number in range(20)]
        frame = bytes([act, 0xAB, 0xCD])
        end = 0x5000000 + int(imsi[-7:])
        mme.uplink(imsi, frame, end=end)  # 2001: the trap is the twin's affair
        assert all(box.get(timeout=20) for box in boxes)
        trap = events.next("dromio.trap.v1")["cloud"]
    assert other["readings"] == 20
    assert trap["subject"] == name and trap["data"]["reason"] and trap["data"]["image"] == image
    after = failures(real, image)
    grown = {reason for reason in after if after[reason] != before.get(reason, 0)}
    assert len(grown) == 1 and grown <= reasons and sum(after.values()) == sum(before.values()) + 1, (before, after)
    assert real.metric("dromio_dead_letters_total") == letters + 1
    answer = real.admin.get("/v1/dead-letters").json()
    letter = next(found for found in answer["dead_letters" if "dead_letters" in answer else next(iter(answer))] if found["id"] == name)
    assert (letter["frame"], letter["image"], letter["kind"]) == (frame.hex(), image, "uplink") and letter["reason"] and letter["time"]
    newest = real.admin.get(f"/v1/twins/{name}/timeline?limit=1").json()["events"][0]
    assert newest["frame"] == frame.hex() and newest["outcome"].startswith("trap")
    turns = real.metric("dromio_turns_total")
    mme.uplink(imsi, frame, end=end, is_again=True)  # a duplicate: no second turn
    assert real.metric("dromio_turns_total") == turns and real.metric("dromio_dead_letters_total") == letters + 1
    mme.uplink(imsi, bytes([COUNT]))
    assert real.admin.value(name, "count") == 2  # went on with its old context
    assert {room for room in real.rooms()} == {room for room in cells}


def test_what_it_does_not_handle_or_swallows_is_no_failure(real, mme, rogue, names):
    name, imsi = next(names)
    real.admin.put_twin(name, image=rogue, imsi=imsi)
    mme.attach(imsi)
    letters = real.metric("dromio_dead_letters_total")
    mme.uplink(imsi, bytes([SWALLOW]))
    mme.uplink(imsi, bytes([NOT_HANDLED]))
    mme.uplink(imsi, bytes([SPIN_A_BIT]))
    outcomes = [event["outcome"] for event in real.admin.get(f"/v1/twins/{name}/timeline?limit=3").json()["events"]]
    assert outcomes == ["handled", "not_handled", "swallowed"]
    assert real.metric("dromio_dead_letters_total") == letters and real.admin.value(name, "count") == 3


def test_many_runaways_leave_others_served(real, mme, rogue, thermometer, names):
    pairs = [next(names) for _ in range(20)]
    for name, imsi in pairs:
        real.admin.put_twin(name, image=rogue, imsi=imsi)
        mme.attach(imsi)
    device = thermometer()
    boxes = [mme.begin_odr(imsi, bytes([LOOP])) for _, imsi in pairs]
    for number in range(10):
        device.uplink(thermo_reading(number))
    assert device["readings"] == 10
    assert all(box.get(timeout=30) for box in boxes)
    for _, imsi in pairs:
        mme.uplink(imsi, bytes([COUNT]))
    assert [real.admin.value(name, "count") for name, _ in pairs] == [1] * 20


def test_dead_letters_survive_a_restart_and_belong_to_their_domain(real, rogue, names):
    name, imsi = next(names)
    real.admin.put_twin(name, image=rogue, imsi=imsi)
    with Mme(real, identity="mme7.epc.test") as mme:
        mme.attach(imsi).uplink(imsi, bytes([TRAP, 0x77]))
    real.kill()
    real.start()
    assert name in real.admin.get("/v1/dead-letters").body.decode()
    stranger = real.application("stranger", ["other.example"], ["read"])
    assert name not in stranger.get("/v1/dead-letters").body.decode()
    with Mme(real, identity="mme7.epc.test") as mme:
        mme.uplink(imsi, bytes([COUNT]))
        assert real.admin.value(name, "count") == 1


def test_a_restarted_host_runs_all_images(real, mme, rogue, bomb, computing, names, thermometer):
    found = []
    for image in (rogue, bomb, computing):
        name, imsi = next(names)
        real.admin.put_twin(name, image=image, imsi=imsi)
        found.append((name, imsi))
    device = thermometer()
    mme.leave()
    real.restart()
    with Mme(real, identity="mme7.epc.test") as again:
        for _, imsi in found:
            again.attach(imsi).uplink(imsi, bytes([COUNT]))
        again.uplink(device.imsi, thermo_reading(1))
    assert [real.admin.value(name, "count") for name, _ in found] == [1, 1, 1] and device["readings"] == 1
    until(lambda: real.admin.get("/healthz").status == 200)


# ---- what is kept of an image ----

def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def test_damaged_files_of_an_image_stop_its_own_twins_at_most():
    other = THERMO.with_name("thermo_moved.wasm").read_bytes()
    with Host(*PATIENT) as host:
        digest = host.thermo.removeprefix("sha256:")
        wasm, artifact = host.data / "images" / f"{digest}.wasm", host.data / "images" / f"{digest}.artifact"
        host.admin.put_twin("a@acme.example", imsi="001010000000001", image=host.thermo)
        host.push(other)
        host.admin.put_twin("b@acme.example", imsi="001010000000002")
        with Mme(host).attach("001010000000001") as mme:
            mme.attach("001010000000002")
            mme.uplink("001010000000001", thermo_reading(1))
        assert host.stop() == 0

        flip_a_bit(artifact)  # made anew, and kept
        good = wasm.read_bytes()
        host.start()
        with Mme(host, identity="second.epc.test") as mme:
            mme.uplink("001010000000001", thermo_reading(2))
        assert host.admin.value("a@acme.example", "readings") == 2
        assert host.log().count("is compiled anew") == 1
        host.restart()
        assert host.log().count("is compiled anew") == 1
        assert host.stop() == 0

        flip_a_bit(artifact)
        flip_a_bit(wasm)
        (host.data / "images" / f"{'0' * 64}.wasm").write_bytes(b"of a push that was interrupted")
        host.start()
        until(lambda: "cannot be run" in host.log(), "the message")
        with Mme(host, identity="third.epc.test") as mme:
            mme.uplink("001010000000002", thermo_reading(1))
            assert host.admin.value("b@acme.example", "readings") == 1
            refused = host.admin.write("a@acme.example", "period", 600)
            assert refused.status == 503 and refused.json()["type"] == "image_broken"
            assert host.admin.value("a@acme.example", "readings") == 2
            assert host.push(good).status == 200
            assert wasm.read_bytes() == good
            mme.uplink("001010000000001", thermo_reading(3))
            assert host.admin.value("a@acme.example", "readings") == 3
        assert not list((host.data / "images").glob("0000*"))


def test_images_that_are_pushed_leave_nothing_open_in_dromiod():
    with Host() as host:
        files = lambda: len(list(pathlib.Path(f"/proc/{host.process.pid}/fd").iterdir()))
        for number in range(6):
            answer = host.push(THERMO.read_bytes() + section(0, leb(7) + b"variant" + bytes([number])))
            assert answer.status == 201, answer
            if number == 0:
                first = files()
        until(lambda: files() <= first, "as few open files as after the first")
