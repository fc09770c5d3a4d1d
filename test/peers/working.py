"""An image whose twins work for each event, as one does that decodes or checks what its device sends."""
import json
import shutil
import subprocess

import hostile

SOURCE = r"""
#define IMPORT(name) __attribute__((import_module("dromio"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))
typedef unsigned char u8; typedef unsigned int u32; typedef int i32; typedef long long i64;
IMPORT(property_set_integer) void property_set_integer(i32 property, i64 value, i32 quality);
EXPORT(dromio_abi_1) void dromio_abi_1(void) {}
static u8 buffer[2048] __attribute__((aligned(16)));
EXPORT(dromio_event_buffer) u8 *dromio_event_buffer(void) { return buffer; }
static u32 count; static volatile u32 sink;
EXPORT(dromio_event) i32 dromio_event(u32 kind, u32 id, u32 length)
{
    if (kind != 3 && kind != 5) return 1; /* an uplink, an action */
    for (u32 n = 0; n < ROUNDS; n++) sink += n;
    property_set_integer(0, ++count, 0);
    return 0;
}
"""


def image(directory, rounds, name="acme/thermo"):
    """The bytes of an image; 3,000 rounds take about a microsecond."""
    (directory / "working.c").write_text(SOURCE)
    subprocess.run(["clang", "--target=wasm32", "-mbulk-memory", "-O1", "-ffreestanding", "-fno-builtin", "-fvisibility=hidden", f"-DROUNDS={rounds}", "-c",
                    "-o", "working.o", "working.c"], cwd=directory, check=True, timeout=60)
    subprocess.run([shutil.which("wasm-ld") or "wasm-ld-14", "--no-entry", "--stack-first", "-z", "stack-size=4096", "--strip-all",
                    "--gc-sections", "-o", "working.wasm", "working.o"], cwd=directory, check=True, timeout=60)
    body = hostile.leb(len("dromio.model")) + b"dromio.model" + json.dumps(hostile.model(name)).encode()
    return (directory / "working.wasm").read_bytes() + b"\0" + hostile.leb(len(body)) + body
