"""Keys and sealed records of a data directory, opened by code of its own: the key hierarchy as src/core/vault.h says it, the
ciphers by OpenSSL. What this cannot open with the files that are there, nobody can."""
import ctypes
import ctypes.util
import struct

CRYPTO = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
for name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_ecb", "EVP_aes_256_gcm"):
    getattr(CRYPTO, name).restype = ctypes.c_void_p
GCM_SET_TAG = 0x11
ENTRY, GONE, HOST = 64, 0xFFFF, 0
HEADER, PLACE = 48, 8


def ecb(key, blocks):
    context = ctypes.c_void_p(CRYPTO.EVP_CIPHER_CTX_new())
    out, length = ctypes.create_string_buffer(len(blocks) + 16), ctypes.c_int()
    assert CRYPTO.EVP_EncryptInit_ex(context, ctypes.c_void_p(CRYPTO.EVP_aes_256_ecb()), None, key, None) == 1
    CRYPTO.EVP_CIPHER_CTX_set_padding(context, 0)
    assert CRYPTO.EVP_EncryptUpdate(context, out, ctypes.byref(length), blocks, len(blocks)) == 1
    CRYPTO.EVP_CIPHER_CTX_free(context)
    return out.raw[:len(blocks)]


def gcm_open(key, nonce, associated, sealed, tag):
    """The plain bytes, or None."""
    context = ctypes.c_void_p(CRYPTO.EVP_CIPHER_CTX_new())
    out, length = ctypes.create_string_buffer(len(sealed) + 16), ctypes.c_int()
    CRYPTO.EVP_DecryptInit_ex(context, ctypes.c_void_p(CRYPTO.EVP_aes_256_gcm()), None, key, nonce)
    CRYPTO.EVP_DecryptUpdate(context, None, ctypes.byref(length), associated, len(associated))
    CRYPTO.EVP_DecryptUpdate(context, out, ctypes.byref(length), sealed, len(sealed))
    CRYPTO.EVP_CIPHER_CTX_ctrl(context, GCM_SET_TAG, 16, tag)
    is_good = CRYPTO.EVP_DecryptFinal_ex(context, None, ctypes.byref(length)) == 1
    CRYPTO.EVP_CIPHER_CTX_free(context)
    return out.raw[:len(sealed)] if is_good else None


def named(key, name):
    halves = (name.encode().ljust(15, b"\0") + bytes([half]) for half in (1, 2))
    return ecb(key, b"".join(halves))


def of_number(key, number, epoch):
    return ecb(key, struct.pack("<QQQQ", number, epoch & ~1, number, epoch | 1))


def part_open(key, number, associated, sealed):
    """A sealed part: epoch, counter and tag of the key, ciphertext, tag."""
    epoch, = struct.unpack_from("<Q", sealed)
    return gcm_open(of_number(key, number, epoch), sealed[8:16] + bytes(4), associated, sealed[16:-16], sealed[-16:])


class KeyFile:
    """The keys as they are now, of a host that need not run."""

    def __init__(self, data, master=None):
        self.master = master or (data / "master.key").read_bytes()
        raw = (data / "log" / "keys").read_bytes()
        assert len(raw) % ENTRY == 0
        self.wrapped, self.gone = {}, set()
        for at in range(0, len(raw), ENTRY):
            number, generation = struct.unpack_from("<HH", raw, at)
            if generation == GONE:
                self.gone.add(number)
            else:
                self.wrapped[number, generation] = raw[at + 4:at + ENTRY]
        wrap = named(self.master, "wrap")
        self.keys = {of: gcm_open(wrap, wrapped[:12], b"domain key\0\0" + struct.pack("<HH", *of), wrapped[12:44], wrapped[44:])
                     for of, wrapped in self.wrapped.items()}

    def generations(self, number):
        return sorted(generation for of, generation in self.wrapped if of == number)

    def record_open(self, record):
        """The fields and the context of a record in clear; None for each that no key here opens."""
        domain, twin, _, _, fields, context = struct.unpack_from("<4xIQQQII", record, 8)
        sealed = record[HEADER:HEADER + fields]
        key = self.keys.get((domain, self.generation_of(domain, sealed)))
        plain = part_open(named(key, "log"), domain, record[8:HEADER], sealed) if key else None
        kept = record[HEADER + fields:HEADER + fields + context]
        key = self.keys.get((domain, self.generation_of(domain, kept))) if kept else None
        # a context's binding has the image and the revision, which its fields say; that its key opens it is seen by the keystream's key alone
        return plain, of_number(named(key, "context"), twin, struct.unpack_from("<Q", kept)[0]) if key else None

    def generation_of(self, domain, sealed):
        return next((generation for generation in self.generations(domain) if generation & 0xFF == sealed[15]), None)


def records(path):
    """Those of a segment: (domain, tag of the key of the fields, that of the context or None, bytes)."""
    data, at = path.read_bytes(), 0
    while data[at:at + 4] == b"DRO1":
        size, count = struct.unpack_from("<II", data, at + 32)
        frames = struct.unpack_from("<H", data, at + 6)[0]
        place = at + 64
        for _ in range(count):
            length = struct.unpack_from("<I", data, place)[0] & 0xFFFFF
            record = data[place + 8:place + 8 + length]
            domain, fields, context = struct.unpack_from("<I", record, 12)[0], *struct.unpack_from("<II", record, 40)
            yield domain, record[HEADER + 15], record[HEADER + fields + 15] if context else None, record
            place += 8 + (length + 7) // 8 * 8
        end = at + 64 + size + 8 + 48 * frames
        at = (end + 4095) // 4096 * 4096


def segments(data):
    return sorted(data.rglob("segment-*"))


def all_records(data):
    for path in segments(data):
        yield from records(path)


def found_in_files(data, needles):
    """Files of the directory in which one of the needles is."""
    return [(path.name, name) for path in data.rglob("*") if path.is_file() for name, needle in needles.items() if needle in path.read_bytes()]
