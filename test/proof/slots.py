"""Twins write a secret wherever they can (memory, stack, globals, tables, memory they grew, effects) and end in every way there is: well, by a trap, out of bounds, by an overflow of the stack, by the
deadline, refused by an import, with more state than there is room for. Whoever has the slot next, a new twin of the same image or of another image in the same cell (one of them compiled for computing),
says in a number what it sees, all of its memory from the first byte to the last, its stack pointer, globals of every type: it must be what it was in a slot nobody had used, and nothing may be kept
for a twin that changed nothing. Who grows its memory finds nothing but zeros in all that it can get. A twin's own stack is not given to it again either. The host itself compares slots with their
baseline byte by byte. Half of the reuses are in memory of exactly an image's size, half in whole pages; images that grow, and such as change tables and drop segments, get a fresh instance each turn
and are among them."""
import os
import subprocess

PROMISE = "Nothing of a twin's turn is left in the slot for the next twin, however the turn ended"
UNIT = "reuses"
SHORT, LONG = 100_000, 10_000_000
SECONDS = 35
IN_CHECK = True
LIMITS = "Words left on the native stack and in registers' save areas: src/cell/room_test.c looks for those in all memory of a confined cell. Side channels of the processor."
STEP = 10_000


def run(proof):
    build = proof.build
    environment = {**os.environ, "TEST_IMAGES": str(build / "src/cell")}
    while not proof.over():
        count = min(STEP, proof.wanted - proof.done)
        way = ("exact", "plain")[proof.done // STEP % 2]
        command = [build / "src/cell/slots", way, str(proof.seed), str(proof.done), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=proof.root)
        if done.returncode != 0 or done.stdout.splitlines()[-1:] != [f"{count} reuses"]:
            proof.fail(f"TEST_IMAGES={build}/src/cell {' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-600:]}{done.stderr[-600:]}")
        proof.count(count)
    proof.measured["traces_found"] = 0
