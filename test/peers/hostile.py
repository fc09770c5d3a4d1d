"""An image whose twins do what the first byte of their frame says: well, or badly."""
import json
import shutil
import subprocess

GOOD, TRAP, LOOP, DOWNLINKS, LOGS, GROW, TIMER, NOTIFY = range(8)

SOURCE = r"""
#define IMPORT(name) __attribute__((import_module("dromio"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))
typedef unsigned char u8; typedef unsigned int u32; typedef int i32; typedef long long i64;
IMPORT(property_set_integer) void property_set_integer(i32 property, i64 value, i32 quality);
IMPORT(downlink) void downlink(const void *bytes, i32 length, i32 merge_key, i32 expiry_s);
IMPORT(timer) void timer(i32 number, i64 delay_ms);
IMPORT(notify) void notify(i32 event);
IMPORT(log) void log_line(i32 level, const void *bytes, i32 length);
EXPORT(dromio_abi_1) void dromio_abi_1(void) {}
static u8 buffer[2048] __attribute__((aligned(16)));
EXPORT(dromio_event_buffer) u8 *dromio_event_buffer(void) { return buffer; }
static u32 count, timers; static volatile u32 sink;
static volatile u8 hoard[16384];
EXPORT(dromio_event) i32 dromio_event(u32 kind, u32 id, u32 length)
{
    if (kind == 6) {                /* once set, again and again */
        property_set_integer(1, ++timers, 0);
        timer(1, 0);
        return 0;
    }
    if (kind != 3) return kind == 4 || kind == 5 ? 0 : 1;
    u32 amount = length > 1 ? buffer[1] : 1;
    switch (buffer[0]) {
    case 1: __builtin_trap();
    case 2: for (;;) sink++;
    case 3: for (u32 i = 0; i < amount; i++) downlink("flood", 5, 0, 60); break;
    case 4: for (u32 i = 0; i < amount; i++) log_line(1, "a line that says nothing, again and again, so that the log grows", 64); break;
    case 5: for (u32 i = 0; i < amount * 64; i++) hoard[i] = (u8)(i * 37 + count + 1); break;
    case 6: timer(1, 0); break;
    case 7: for (u32 i = 0; i < amount; i++) notify(0); break;
    }
    property_set_integer(0, ++count, 0);
    return 0;
}
"""


def model(name="acme/hostile"):
    return {"@context": "https://www.w3.org/2022/wot/td/v1.1", "@type": "tm:ThingModel", "title": "Hostile", "version": {"model": "1.0.0"},
            "dromio:model": name,
            "properties": {"count": {"type": "integer", "readOnly": True}, "timers": {"type": "integer", "readOnly": True},
                           "limit": {"type": "integer"}},
            "actions": {"act": {}}, "events": {"told": {}}}


def leb(number):
    out = b""
    while True:
        out += bytes([number & 0x7F | (0x80 if number > 0x7F else 0)])
        number >>= 7
        if number == 0:
            return out


def image(directory, name="acme/hostile"):
    """The bytes of the image; its name makes it another one."""
    (directory / "hostile.c").write_text(SOURCE)
    subprocess.run(["clang", "--target=wasm32", "-mbulk-memory", "-O1", "-ffreestanding", "-fno-builtin", "-fvisibility=hidden", "-c",
                    "-o", "hostile.o", "hostile.c"], cwd=directory, check=True, timeout=60)
    subprocess.run([shutil.which("wasm-ld") or "wasm-ld-14", "--no-entry", "--stack-first", "-z", "stack-size=4096", "--strip-all",
                    "--gc-sections", "--export=__heap_base", "-o", "hostile.wasm", "hostile.o"], cwd=directory, check=True, timeout=60)
    text = json.dumps(model(name)).encode()
    body = leb(len("dromio.model")) + b"dromio.model" + text
    return (directory / "hostile.wasm").read_bytes() + b"\0" + leb(len(body)) + body
