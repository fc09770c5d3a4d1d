"""Words for libFuzzer: what a reader compares its input with, taken from its own sources and from the tables of spec/."""
import csv
import re

WORD_MAX, WORDS_MAX = 64, 2000


def entry(word):
    """As libFuzzer reads it: quoted, bytes that are not plain in hexadecimal."""
    return '"' + "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word) + '"'


def literals(root, patterns):
    """Texts in the sources that match."""
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            if path.name.endswith("_test.c"):
                continue
            for text in re.findall(r'"((?:[^"\\\n]|\\.)*)"', path.read_text(errors="replace")):
                yield text.encode().decode("unicode_escape", errors="ignore").encode("utf-8", errors="ignore") if "\\" in text else text.encode()


def rows(root, name):
    lines = [line for line in (root / "spec" / name).read_text().splitlines() if not line.startswith("#")]
    return csv.DictReader(lines)


def avps(root):
    """Headers of AVPs of 12 and 16 bytes: code, flags, length, vendor, value; and commands."""
    for row in rows(root, "diameter_avp.csv"):
        vendor = int(row["vendor"])
        flags = (0x80 if vendor else 0) | (0x40 if row["m"] == "M" else 0)
        length = 12 + 4 * bool(vendor)
        yield int(row["code"]).to_bytes(4, "big") + bytes([flags]) + length.to_bytes(3, "big") + (vendor.to_bytes(4, "big") if vendor else b"") + b"\0\0\0\1"
    for row in rows(root, "diameter_command.csv"):
        yield int(row["code"]).to_bytes(3, "big") + int(row["application"]).to_bytes(4, "big")
    for row in rows(root, "diameter_value.csv"):
        if row["value"].isdigit() and int(row["value"]) < 2**32:
            yield int(row["value"]).to_bytes(4, "big")


def routes(root):
    for row in rows(root, "routes.csv"):
        for value in row.values():
            if isinstance(value, str) and value.startswith("/"):
                yield value.encode()
    yield from (b"GET ", b"PUT ", b"POST ", b"PATCH ", b"DELETE ", b"HEAD ", b" HTTP/1.1\r\n", b"Host: h\r\n", b"Authorization: Bearer a\r\n", b"Content-Length: ",
                b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Type: application/json\r\n", b"Expect: 100-continue\r\n", b"0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


def numbers(values):
    """Numbers of 1, 2 and 4 bytes as rooms write them."""
    for value in values:
        for size in (1, 2, 4):
            if value < 256**size:
                yield value.to_bytes(size, "little")


def sql():
    words = """select from where group by order limit offset distinct and or not in between like glob is null case when then else end count sum avg min max total
    union all intersect except with recursive as join left on exists cast collate nocase asc desc having values pragma attach explain thermo temperature low label site tag twin id
    model domain contact_ms revision abs coalesce length substr hex round typeof lower upper printf group_concat over partition row_number json_each"""
    return (f" {word} ".encode() for word in words.split())


EXTRA = {"avps": avps, "routes": routes}


def of(root, target):
    words = list(literals(root, target.get("words", ())))
    for kind in target.get("more", ()):
        words += EXTRA[kind](root) if kind in EXTRA else sql() if kind == "sql" else ()
    words += numbers(target.get("numbers", ()))
    seen = {word: None for word in words if 1 <= len(word) <= WORD_MAX}
    return "".join(entry(word) + "\n" for word in list(seen)[:WORDS_MAX])
