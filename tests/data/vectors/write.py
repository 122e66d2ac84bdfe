#!/usr/bin/env python3
"""Writes the test vectors that a second implementation made of kluis's formats.

    /usr/bin/python3 tests/data/vectors/write.py

It was written from the manual page kluis-archive(5) alone and shares nothing with
kluis, nor with examples/decrypt.py. Nothing in it is random: a second run gives the
same bytes. Never encrypt anything real this way. The files are frozen: one may be
added, none may be changed.

index.json lists the vectors, one per line, good ones with the content's size and
SHA-256, malformed ones with the page's name of the error; entries of other writers
are left as they are. Where a header copy is damaged but the other is whole, `warning`
is that copy and its error. `keys` is what the reader has: texts of keys, or none.
`needs` is what not every reader can: to one that cannot, the vector is no-key.
"""
import hashlib
import hmac
import json
import os
import struct
import zlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = os.path.dirname(os.path.abspath(__file__))
FULL = 65536
MAGIC = b"\x89KLUIS\r\n"

RAW_KEY = bytes(range(32)).hex()
OTHER_KEY = bytes(range(32, 64)).hex()
PASSPHRASE = "correct horse battery staple"
# The age slot of the page's whole archive: it holds PAGE_DATA_KEY.
AGE_IDENTITY = "AGE-SECRET-KEY-1SZQC9QUYSKRG0ZYF329CERVW37GFRY5NJJ2ED9UCNXDFH8YAN60SS4NW9U"
PAGE_DATA_KEY = bytes(range(0x20, 0x40))
AGE_SLOT = bytes.fromhex(
    "6167652d656e6372797074696f6e2e6f72672f76310a2d3e2058323535313920"
    "633268463155364833676e577578464b70775173554b53674662325a41644767"
    "416d395a566c4d3646526b0a4f656a702f77706e6638542b427a43312b393371"
    "41556b6d78327a546e35334d4f79572b4a354e457361550a2d3e206b6c756973"
    "2d726563697069656e74206167653166796c67396c7235676539396a6635677a"
    "61337236677a6e636834637574787934787974666c687030386b786b71676432"
    "7677736b75737735630a0a2d2d2d20716557485661434f4c3978446c51523438"
    "6959676d67615734454a77466f55385a6e6a65774452327a4d590ab0b1b2b3b4"
    "b5b6b7b8b9babbbcbdbebfbc0154862b498747602abd6af9be1d2e8f6a6e33f5"
    "c3e98e5dcf360504989844eba92b7b3f881fc34113e9e319c44e39"
)

index = []


def fixed(label, length):
    """Bytes that look random, the same for a label in each run."""
    return hashlib.shake_256(b"kluis vectors: " + label.encode()).digest(length)


def hmac_sha256(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def pbkdf2(passphrase, salt, iterations):
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, iterations, 32)


def text(size):
    """Rows of a dump, cut at `size` bytes."""
    rows = (f"{n}\trow {n} of a table\n" for n in range(size // 17 + 1))
    return "".join(rows).encode()[:size]


def flipped(data, at, bit=1):
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


def put(file, data, keys, *, content=None, error=None, case, warning=None, format_="KLUIS1",
        needs=None):
    """Writes one vector and its line of the index."""
    assert (content is None) != (error is None), file
    with open(os.path.join(HERE, file), "wb") as target:
        target.write(data)
    entry = {"file": file, "writer": "python", "format": format_, "keys": keys, "case": case}
    if content is None:
        entry["error"] = error
    else:
        entry["size"], entry["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    if needs:
        entry["needs"] = needs
    if warning:
        entry["warning"] = {"copy": warning[0], "error": warning[1]}
    index.append(entry)


# --- KLUIS1 ---------------------------------------------------------------------


def meta_json(codec="none", name="app"):
    return (
        f'{{"kind":"db","name":"{name}","created":"2026-01-18T10:30:00Z","codec":"{codec}"}}'
    ).encode()


class Archive:
    """The keys of one archive, and writers of its parts, right and wrong."""

    def __init__(self, label, meta=None, data_key=None, archive_id=None, salt=None):
        self.label = label
        self.meta = meta_json() if meta is None else meta
        self.data_key = data_key or fixed(label + " data key", 32)
        self.id = archive_id or fixed(label + " id", 16)
        self.salt = salt or fixed(label + " salt", 32)
        self.prk = hmac_sha256(self.salt, self.data_key)
        context = hashlib.sha256(b"\x01\x01\x10" + self.id + self.salt + self.meta).digest()
        self.header_key = hmac_sha256(self.prk, b"kluis/1 header\x01")
        self.payload_key = hmac_sha256(self.prk, b"kluis/1 payload" + context + b"\x01")

    def wrap(self, type_, wrapping_key, nonce):
        bound_to = b"kluis/1 slot" + bytes([type_]) + self.id + self.salt
        return nonce + AESGCM(wrapping_key).encrypt(nonce, self.data_key, bound_to)

    def raw(self, key=RAW_KEY, nonce=None):
        key = bytes.fromhex(key)
        nonce = nonce or fixed(self.label + key.hex(), 12)
        return slot(1, hmac_sha256(key, b"kluis/1 key id")[:8] + self.wrap(1, key, nonce))

    def passphrase(self, passphrase=PASSPHRASE, iterations=100_000, salt=None, nonce=None):
        salt = salt or fixed("salt of the storage", 16)
        nonce = nonce or fixed(self.label + passphrase, 12)
        key = pbkdf2(passphrase, salt, iterations)
        return slot(2, salt + struct.pack(">I", iterations) + self.wrap(2, key, nonce))

    def copy(self, number, slots, generation=1, *, count=None, meta=None, M=None, **places):
        """One copy, with a right HMAC. `places`: at_OFFSET = bytes put there before it."""
        meta = self.meta if meta is None else meta
        parts = [MAGIC, bytes([1, 1, 16, number]), struct.pack(">I", generation), self.id, self.salt]
        parts += [struct.pack(">H", len(meta) if M is None else M), meta]
        parts += [bytes([len(slots) if count is None else count]), *slots]
        body = b"".join(parts)[:4064].ljust(4064, b"\0")
        for place, value in places.items():
            at = int(place[len("at_") :])
            body = body[:at] + value + body[at + len(value) :]
        return body + hmac_sha256(self.header_key, body)

    def header(self, slots, generation=1, **changes):
        return b"".join(self.copy(number, slots, generation, **changes) for number in (0, 1))

    def chunk(self, content, i, last, associated=None):
        nonce = struct.pack(">7xIB", i, last)
        return AESGCM(self.payload_key).encrypt(nonce, content, associated)

    def payload(self, content):
        pieces = [content[at : at + FULL] for at in range(0, len(content), FULL)] or [b""]
        return b"".join(self.chunk(p, i, i + 1 == len(pieces)) for i, p in enumerate(pieces))


def slot(type_, body, length=None):
    return struct.pack(">BH", type_, len(body) if length is None else length) + body


def vectors_of_the_page():
    archive = Archive(
        "page", None, PAGE_DATA_KEY, bytes(range(0xA0, 0xB0)), bytes(range(0xC0, 0xE0))
    )
    slots = [
        archive.raw(nonce=bytes(range(0x10, 0x1C))),
        archive.passphrase(PASSPHRASE, 600_000, bytes(range(0x50, 0x60)), bytes(range(0x70, 0x7C))),
        slot(3, AGE_SLOT),
    ]
    data = archive.header(slots) + archive.payload(b"SELECT 1;\n")
    digest = "1405141aa0f8c6bab12521df8e24bb5fc7e087473457ade6420008babfa2a61d"
    assert hashlib.sha256(data).hexdigest() == digest
    for file, key in (("page-raw.enc", RAW_KEY), ("page-passphrase.enc", PASSPHRASE)):
        put(file, data, [key], content=b"SELECT 1;\n", case="the page's whole archive")
    put("page-age.enc", data, [AGE_IDENTITY], content=b"SELECT 1;\n", needs="age",
        case="the page's whole archive")
    put("bad-page-other-key.enc", data, [OTHER_KEY], error="no-key",
        case="the page's archive, another key")

    archive = Archive(
        "page", meta_json(name="big"), bytes(range(0x40, 0x60)), archive.id, archive.salt
    )
    content = b"a" * (FULL + 1)
    data = archive.header([archive.raw(nonce=bytes(range(0x90, 0x9C)))]) + archive.payload(content)
    digest = "7cc56fc0e2502ee0e754a67cb117d157ae6c291517cf77ce9ffdc6b3c8c8dca6"
    assert hashlib.sha256(data).hexdigest() == digest
    put("page-two-chunks.enc", data, [RAW_KEY], content=content, case="the page's two chunks")


def good_sizes():
    for size in (0, 1, FULL - 1, FULL, FULL + 1, 2 * FULL, 1048577):
        archive, content = Archive(f"raw {size}"), text(size)
        data = archive.header([archive.raw()]) + archive.payload(content)
        put(f"raw-{size}.enc", data, [RAW_KEY], content=content, case=f"{size} bytes")
    for size in (0, 1, FULL + 1):
        archive, content = Archive(f"passphrase {size}"), text(size)
        data = archive.header([archive.passphrase()]) + archive.payload(content)
        put(f"passphrase-{size}.enc", data, [PASSPHRASE], content=content, case=f"{size} bytes")
    # A gzip member of one stored block: what zlib makes differs between its versions.
    plain = text(2000)
    packed = bytes.fromhex("1f8b08000000000000ff01")
    packed += struct.pack("<HH", len(plain), len(plain) ^ 0xFFFF) + plain
    packed += struct.pack("<II", zlib.crc32(plain), len(plain))
    # A frame of one raw block: single segment, 2 bytes of size (less 256).
    plain = text(500)
    frame = bytes.fromhex("28b52ffd60") + struct.pack("<H", len(plain) - 256)
    frame += (1 | len(plain) << 3).to_bytes(3, "little") + plain
    for codec, content in (("gzip", packed), ("zstd", frame)):
        archive = Archive(codec, meta_json(codec))
        data = archive.header([archive.raw()]) + archive.payload(content)
        put(f"{codec}.enc", data, [RAW_KEY], content=content, case=f"codec {codec}")


def good_slots():
    content = text(100)

    def good(file, keys, archive, slots, case):
        data = archive.header(slots) + archive.payload(content)
        put(file, data, keys, content=content, case=case)

    a = Archive("slots")
    good("iterations-most-written.enc", [PASSPHRASE], a, [a.passphrase(iterations=600_000)],
         "600,000 iterations")
    two = [a.raw(), a.passphrase()]
    good("two-slots-raw.enc", [RAW_KEY], a, two, "two slots, the raw key")
    good("two-slots-passphrase.enc", [PASSPHRASE], a, two, "two slots, the passphrase")
    good("two-slots-both.enc", [PASSPHRASE, RAW_KEY], a, two, "two slots, both keys")
    good("two-raw-second.enc", [OTHER_KEY], a, [a.raw(), a.raw(OTHER_KEY)], "the second raw key")
    good("key-upper-case.enc", [RAW_KEY.upper()], a, [a.raw()], "a raw key in upper case")
    good("passphrase-utf8.enc", ["wachtwoord é 🔑 "], a, [a.passphrase("wachtwoord é 🔑 ")],
         "UTF-8 and a blank at its end")
    good("passphrase-63-digits.enc", [RAW_KEY[:63]], a, [a.passphrase(RAW_KEY[:63])],
         "63 hex digits are a passphrase")
    good("passphrase-hex-newline.enc", [RAW_KEY + "\n"], a, [a.passphrase(RAW_KEY + "\n")],
         "64 hex digits and a newline are a passphrase")
    broken = flipped(a.raw(), 3 + 68 - 1)
    good("first-slot-damaged.enc", [RAW_KEY], a, [broken, a.raw(nonce=fixed("second", 12))],
         "the first slot of the key has a wrong tag, the second opens")
    good("eight-slots.enc", [RAW_KEY], a, [slot(3, b"")] * 7 + [a.raw()],
         "eight slots, seven of them empty age slots")
    p = Archive("age beside", None, PAGE_DATA_KEY)
    good("age-beside-raw.enc", [RAW_KEY], p, [slot(3, AGE_SLOT), p.raw()], "an age slot before a raw")
    for generation in (0, 2**32 - 1):
        data = a.header([a.raw()], generation) + a.payload(content)
        put(f"generation-{generation}.enc", data, [RAW_KEY], content=content,
            case=f"generation {generation} in both copies")
    # 66 + 1024 + 1 + 71 + 2 * 1027 = 3216; the last slot ends at 4064.
    long_meta = Archive("long", meta_json()[:-1] + b',"x":"' + b"x" * (1024 - 74 - 7) + b'"}')
    assert len(long_meta.meta) == 1024
    filler = [slot(3, fixed(f"filler {n}", length)) for n, length in enumerate((1024, 1024, 845))]
    good("header-full.enc", [RAW_KEY], long_meta, [long_meta.raw()] + filler,
         "1024 bytes of meta, an unknown member, slots up to offset 4064")
    spaced = Archive("spaced meta", meta_json().replace(b",", b" ,\n\t").replace(b":\"", b" : \""))
    good("meta-white-space.enc", [RAW_KEY], spaced, [spaced.raw()], "white space in meta")
    m = Archive("other meta", b'{"codec":"none","later":{"kind":[1,null]},"created":'
                b'"2026-01-18T10:30:00.123456789Z","name":"a \\"b\\" \\u00e9","kind":"source"}')
    good("meta-other-order.enc", [RAW_KEY], m, [m.raw()],
         "another order, a fraction, escapes, an unknown member")


def good_copies():
    content = text(100)
    a = Archive("copies")
    new, old = [a.raw(OTHER_KEY)], [a.raw()]
    payload = a.payload(content)

    def good(file, keys, first, second, case, warning=None):
        data = first + second + payload
        put(file, data, keys, content=content, case=case, warning=warning)

    both = [a.raw(), a.passphrase()]
    good("newer-in-a.enc", [RAW_KEY], a.copy(0, old, 2), a.copy(1, both, 1), "A is newer")
    good("newer-in-b.enc", [RAW_KEY], a.copy(0, old, 1), a.copy(1, both, 2), "B is newer")
    good("rotated-in-b-old-key.enc", [RAW_KEY], a.copy(0, old, 1), a.copy(1, new, 2),
         "a rotation cut short, the old key", ("B", "no-key"))
    good("rotated-in-b-new-key.enc", [OTHER_KEY], a.copy(0, old, 1), a.copy(1, new, 2),
         "a rotation cut short, the new key", ("A", "no-key"))
    damaged = flipped(a.copy(1, new, 2), 4095)
    good("rotated-in-b-damaged.enc", [RAW_KEY], a.copy(0, old, 1), damaged,
         "B is for another key, and its HMAC is wrong", ("B", "header-hmac"))
    other = Archive("copies of another")
    good("foreign-b.enc", [RAW_KEY], a.copy(0, old, 1), other.copy(1, [other.raw(OTHER_KEY)]),
         "B is of another archive and for another key", ("B", "header-hmac"))
    whole = [a.copy(0, old), a.copy(1, old)]
    good("lost-a.enc", [RAW_KEY], bytes(4096), whole[1], "A is zeros", ("A", "not-kluis"))
    good("lost-b.enc", [RAW_KEY], whole[0], bytes(4096), "B is zeros", ("B", "not-kluis"))
    kinds = (
        ("magic", 0, "not-kluis"), ("version", 8, "unknown-version"),
        ("suite", 9, "unknown-suite"), ("chunk-size", 10, "unknown-chunk-size"),
        ("copy-byte", 11, "malformed-header"), ("generation", 15, "header-hmac"),
        ("id", 16, "header-hmac"), ("salt", 32, "header-hmac"), ("meta", 80, "header-hmac"),
        ("slot-type", 141, "malformed-header"), ("slot", 200, "header-hmac"),
        ("padding", 4000, "malformed-header"), ("hmac", 4095, "header-hmac"),
    )
    for number, letter in enumerate("ab"):
        for what, at, error in kinds:
            copies = list(whole)
            copies[number] = flipped(copies[number], at, 2 if what == "slot-type" else 1)
            if what == "slot-type":  # 3 instead of 1, and 68 bytes are a fine age slot
                error = "header-hmac"
            good(f"damaged-{letter}-{what}.enc", [RAW_KEY], *copies,
                 f"a bit of the {what} of copy {letter.upper()}", (letter.upper(), error))


# --- KLUIS1, malformed -------------------------------------------------------------


def bad_payloads():
    a = Archive("payload")
    header = a.header([a.raw()])
    other = Archive("other payload")
    one, two = text(FULL), text(2 * FULL)[FULL:]
    short = text(40)
    C = a.chunk
    first, last = C(one, 0, 0), C(short, 1, 1)
    single = C(short, 0, 1)

    def bad(file, error, case, *parts):
        data = header + b"".join(parts)
        put(f"bad-{file}.enc", data, [RAW_KEY], error=error, case=case)

    bad("no-final-chunk", "truncated", "the only chunk is not the last", C(short, 0, 0))
    bad("no-final-full-chunk", "truncated", "a full chunk that is not the last", first)
    bad("no-final-empty-chunk", "truncated", "an empty chunk, not the last", C(b"", 0, 0))
    bad("no-payload", "end-damaged", "nothing behind the header")
    bad("cut-in-first-tag", "end-damaged", "cut in the only chunk's 16 bytes", single[:10])
    bad("cut-in-last-chunk", "end-damaged", "cut in the last chunk", single[:-1])
    bad("cut-in-full-chunk", "end-damaged", "cut in a full chunk", first[:1000])
    bad("cut-15-behind-chunk", "end-damaged", "15 bytes of the last chunk left", first, last[:15])
    bad("two-final", "trailing-data", "two last chunks, the first full", C(one, 0, 1), last)
    bad("two-final-short", "end-damaged", "two last chunks, the first short", single, last)
    bad("trailing-behind-full", "trailing-data", "a byte behind a full last chunk",
        C(one, 0, 1), b"\0")
    bad("trailing-behind-short", "end-damaged", "a byte behind a short last chunk", single, b"\0")
    bad("trailing-much-behind-short", "chunk-damaged", "more than a chunk behind a short one",
        single, bytes(65552))
    bad("trailing-behind-empty", "end-damaged", "16 bytes behind an empty last chunk",
        C(b"", 0, 1), bytes(16))
    bad("trailing-second-archive", "end-damaged", "the archive twice", single, header, single)
    bad("short-in-the-middle", "end-damaged", "a short chunk before the last", C(short, 0, 0), last)
    bad("short-before-full", "chunk-damaged", "a short chunk before a full one",
        C(short, 0, 0), C(one, 1, 1))
    bad("swapped", "chunk-damaged", "chunks 0 and 1 swapped", C(two, 1, 0), first, C(short, 2, 1))
    bad("doubled", "chunk-damaged", "chunk 0 twice", first, first, last)
    bad("doubled-last", "end-damaged", "the last chunk twice", single, single)
    bad("dropped-first", "end-damaged", "chunk 0 of two is missing", last)
    bad("dropped-middle", "end-damaged", "chunk 1 of three is missing: the counter has a gap", first, C(short, 2, 1))
    bad("spliced-first", "chunk-damaged", "chunk 0 of another archive",
        other.chunk(one, 0, 0), last)
    bad("spliced-last", "end-damaged", "the last chunk of another archive",
        first, other.chunk(short, 1, 1))
    bad("spliced-payload", "end-damaged", "the payload of another archive", other.payload(short))
    bad("empty-final-after-data", "empty-last-chunk", "a full chunk, then an empty last one",
        first, C(b"", 1, 1))
    bad("empty-final-cut", "end-damaged", "the only, empty chunk's tag is cut", C(b"", 0, 1)[:-1])
    bad("empty-final-not-flagged", "truncated", "an empty chunk behind a full one, not the last",
        first, C(b"", 1, 0))
    bad("empty-final-damaged", "end-damaged", "the only, empty chunk's tag", flipped(C(b"", 0, 1), 3))
    bad("flag-flipped-first", "trailing-data", "the first chunk of two has the last flag, "
        "the last has not", C(one, 0, 1), C(short, 1, 0))
    bad("flag-2", "end-damaged", "the last flag is 02", C(short, 0, 2))
    bad("counter-from-1", "end-damaged", "chunks are counted from 1", C(short, 1, 1))
    little = AESGCM(a.payload_key).encrypt(struct.pack("<7xIB", 1, 1), short, None)
    bad("counter-little-endian", "end-damaged", "the counter is little-endian", first, little)
    bad("associated-data", "end-damaged", "associated data", C(short, 0, 1, b"kluis"))
    bad("full-chunk-ciphertext", "chunk-damaged", "a bit of a full chunk", flipped(first, 7), last)
    bad("last-chunk-ciphertext", "end-damaged", "a bit of the last chunk", flipped(single, 7))
    bad("last-chunk-tag", "end-damaged", "a bit of the last chunk's tag", flipped(single, 40))
    # The chunk of another archive that has the same data key, but another meta.
    meta = Archive("payload", meta_json(name="not it"))
    bad("context-other-meta", "end-damaged", "the payload's key is of another meta",
        meta.payload(short))


def bad_headers():
    a = Archive("header")
    payload = a.payload(b"SELECT 1;\n")

    def bad(file, error, case, header, keys=(RAW_KEY,), warning=None):
        assert len(header) == 8192, file
        put(f"bad-{file}", header + payload, list(keys), error=error, case=case, warning=warning)

    raw, whole = [a.raw()], a.header([a.raw()])
    for what, at, value, error in (
        ("version-0", 8, 0, "unknown-version"), ("version-2", 8, 2, "unknown-version"),
        ("suite-0", 9, 0, "unknown-suite"), ("suite-2", 9, 2, "unknown-suite"),
        ("chunk-size-15", 10, 15, "unknown-chunk-size"),
        ("chunk-size-17", 10, 17, "unknown-chunk-size"), ("copy-2", 11, 2, "malformed-header"),
    ):
        header = a.header(raw, **{f"at_{at}": bytes([value])})
        bad(f"{what}.enc", error, f"byte {at} of both copies is {value}, HMAC right", header)
    swapped = whole[4096:] + whole[:4096]
    bad("copies-swapped.enc", "malformed-header", "copy B before copy A", swapped)
    put("copy-a-twice.enc", whole[:4096] * 2 + payload, [RAW_KEY], content=b"SELECT 1;\n",
        case="copy A in both places", warning=("B", "malformed-header"))

    long = b"x" * 1025
    bad("meta-1025.enc", "malformed-header", "meta is 1025 bytes long", a.header(raw, meta=long))
    bad("meta-past-end.enc", "malformed-header", "65535 bytes of meta", a.header(raw, M=65535))
    bad("meta-past-copy.enc", "malformed-header", "4000 bytes of meta", a.header(raw, M=4000))
    bad("slots-0.enc", "malformed-header", "no slot", a.header([]))
    bad("slots-9.enc", "malformed-header", "nine slots", a.header(raw + [slot(3, b"")] * 8))
    bad("slots-255.enc", "malformed-header", "255 slots", a.header(raw, count=255))
    bad("slot-counted-not-there.enc", "unknown-slot", "two slots counted, zeros in the second's place",
        a.header(raw, count=2))
    bad("slot-there-not-counted.enc", "malformed-header", "one slot counted, two there",
        a.header(raw + [a.passphrase()], count=1))
    body = raw[0][3:]
    for what, wrong in (("short", body[:-1]), ("long", body + b"\0"), ("empty", b"")):
        bad(f"raw-slot-{what}.enc", "malformed-header", f"a raw slot of {len(wrong)} bytes",
            a.header([slot(1, wrong)]))
    body = a.passphrase()[3:]
    for what, wrong in (("short", body[:-1]), ("long", body + b"\0"), ("empty", b"")):
        bad(f"passphrase-slot-{what}.enc", "malformed-header", f"a passphrase slot of {len(wrong)}",
            a.header(raw + [slot(2, wrong)]))
    bad("age-slot-long.enc", "malformed-header", "an age slot of 1025 bytes",
        a.header(raw + [slot(3, bytes(1025))]))
    bad("slot-past-end.enc", "malformed-header", "a slot's length runs over offset 4064",
        a.header(raw + [slot(3, b"", 4000)]))
    bad("unknown-slot-past-end.enc", "malformed-header", "an unknown slot that runs over, too",
        a.header(raw + [slot(9, b"", 65535)]))
    # The raw slot ends at 66 + 74 + 1 + 71 = 212; 2 * 1027 behind it at 2266.
    filler = [slot(3, bytes(1024))] * 2
    for what, length, error in (
        ("ends-at", 4064 - 2266 - 3, "unknown-slot"), ("one-past", 4064 - 2266 - 2, "malformed-header")
    ):
        bad(f"unknown-slot-{what}-4064.enc", error, f"an unknown slot {what} offset 4064",
            a.header(raw + filler + [slot(4, bytes(length - 1), length)]))
    bad("slot-header-past-end.enc", "malformed-header", "1 byte is left for a slot's 3",
        a.header(raw + filler + [slot(3, bytes(1000)), slot(3, bytes(4064 - 2266 - 1003 - 3 - 1))],
                 count=6))
    bad("unknown-slot.enc", "unknown-slot", "a slot of type 4 beside a good one",
        a.header(raw + [slot(4, bytes(8))]))
    bad("slot-type-0.enc", "unknown-slot", "a slot of type 0", a.header(raw + [slot(0, b"")]))
    body = a.passphrase()[3:]
    for iterations in (0, 99_999, 10_000_001, 2**32 - 1):
        wrong = slot(2, body[:16] + struct.pack(">I", iterations) + body[20:])
        bad(f"iterations-{iterations}.enc", "bad-iterations", f"{iterations} iterations",
            a.header([wrong]), [PASSPHRASE])
        bad(f"iterations-{iterations}-beside-raw.enc", "bad-iterations",
            f"{iterations} iterations in a slot that is not needed", a.header(raw + [wrong]))
    for at in (212, 2000, 4063):
        bad(f"padding-{at}.enc", "malformed-header", f"byte {at} is not zero",
            a.header(raw, **{f"at_{at}": b"\1"}))

    damaged = [flipped(whole[:4096], 4064), flipped(whole[4096:], 4095)]
    bad("hmac-both.enc", "header-hmac", "the HMAC of both copies", b"".join(damaged))
    mac_of_a = whole[:4096] + whole[4096:][:4064] + whole[4064:4096]
    put("hmac-of-a-in-b.enc", mac_of_a + payload, [RAW_KEY], content=b"SELECT 1;\n",
        case="B has A's HMAC", warning=("B", "header-hmac"))
    b = Archive("foreign")
    version_2 = a.copy(0, raw, at_8=b"\2")
    bad("version-and-hmac.enc", "unknown-version", "A's version, B's HMAC", version_2 + damaged[1])
    bad("hmac-and-version.enc", "header-hmac", "A's HMAC, B's version",
        damaged[0] + a.copy(1, raw, at_8=b"\2"))
    bad("hmac-and-no-key.enc", "no-key", "A's HMAC, B for another key",
        damaged[0] + a.copy(1, [a.raw(OTHER_KEY)]))
    bad("no-key-and-hmac.enc", "no-key", "A for another key, B's HMAC",
        a.copy(0, [a.raw(OTHER_KEY)]) + damaged[1])
    bad("no-magic-a-no-key-b.enc", "no-key", "A is zeros, B for another key: not legacy",
        bytes(4096) + a.copy(1, [a.raw(OTHER_KEY)]))
    bad("no-magic-a-hmac-b.enc", "header-hmac", "A is zeros, B's HMAC: B's error, not legacy",
        bytes(4096) + damaged[1])
    bad("no-magic-a-hmac-b.bin", "header-hmac", "the same, without .enc", bytes(4096) + damaged[1])
    bad("hmac-a-no-magic-b.enc", "header-hmac", "A's HMAC, B is zeros", damaged[0] + bytes(4096))
    bad("no-magics.bin", "not-kluis", "the magic of both copies", bytes(8) + whole[8:4096] + bytes(4096))
    bad("no-magics.enc", "legacy-authentication", "the magic of both copies, legacy by its name",
        bytes(8) + whole[8:4096] + bytes(4096))
    bad("damaged-a-foreign-b.enc", "no-key", "A's HMAC, B of another archive and key",
        damaged[0] + b.copy(1, [b.raw(OTHER_KEY)]))
    bad("damaged-a-foreign-b-same-key.enc", "end-damaged",
        "A's HMAC, B of another archive of the same key", damaged[0] + b.copy(1, [b.raw()]),
        warning=("A", "header-hmac"))
    bad("copies-of-two-archives.enc", "malformed-header", "both hold, of different archives",
        whole[:4096] + b.copy(1, [b.raw()]))
    meta = Archive("header", meta_json(name="renamed"))
    bad("copies-of-two-metas.enc", "malformed-header", "both hold, with different metas",
        whole[:4096] + meta.copy(1, raw))
    bad("copies-of-two-metas-newer.enc", "malformed-header", "the same, the second newer",
        whole[:4096] + meta.copy(1, raw, 2))
    bad("copies-conflict.enc", "copies-conflict", "one generation, another number of slots",
        whole[:4096] + a.copy(1, raw + [a.passphrase()]))
    bad("copies-conflict-nonce.enc", "copies-conflict", "one generation, another nonce in a slot",
        whole[:4096] + a.copy(1, [a.raw(nonce=fixed("another nonce", 12))]))
    bad("copies-conflict-order.enc", "copies-conflict", "one generation, another order of slots",
        a.copy(0, [a.raw(), slot(3, b"")]) + a.copy(1, [slot(3, b""), a.raw()]))

    bad("wrong-key.enc", "no-key", "another raw key", whole, [OTHER_KEY])
    bad("no-key.enc", "no-key", "no key at all", whole, [])
    bad("wrong-passphrase.enc", "no-key", "another passphrase",
        a.header([a.passphrase()]), ["correct horse battery stapler"])
    bad("passphrase-trimmed.enc", "no-key", "the passphrase and a blank",
        a.header([a.passphrase()]), [PASSPHRASE + " "])
    bad("raw-key-as-passphrase.enc", "no-key", "a passphrase slot of 64 hex digits",
        a.header([a.passphrase(RAW_KEY)]))
    bad("raw-slot-only.enc", "no-key", "a passphrase, and a raw slot", whole, [PASSPHRASE])
    age = Archive("age only", None, PAGE_DATA_KEY)
    put("bad-age-only.enc", age.header([slot(3, AGE_SLOT)]) + age.payload(b"SELECT 1;\n"), [RAW_KEY],
        error="no-key", case="an age slot alone")
    bad("raw-transplanted.enc", "no-key", "a raw slot of another archive", a.header([b.raw()]))
    bad("passphrase-transplanted.enc", "no-key", "a passphrase slot of another archive",
        a.header([b.passphrase()]), [PASSPHRASE])
    same_place = Archive("another data key", archive_id=a.id, salt=a.salt)
    bad("slot-other-data-key.enc", "header-hmac", "the slot opens, to another data key",
        a.header([same_place.raw()]))
    bad("slot-other-data-key-first.enc", "header-hmac", "the same, and a right slot behind it",
        a.header([same_place.raw(), a.raw()]))
    put("slot-other-data-key-slow.enc",
        a.header([same_place.passphrase(), a.raw()]) + payload, [PASSPHRASE, RAW_KEY],
        content=b"SELECT 1;\n",
        case="a passphrase slot of another data key; the raw slot behind it is tried first")
    bad("key-id-other.enc", "no-key", "the slot names another key id",
        a.header([flipped(raw[0], 3)]))
    bad("slot-tag.enc", "no-key", "the slot's tag", a.header([flipped(raw[0], 70)]))


def bad_metas():
    text_, made = b'"kind":"db","name":"app",', b'"created":"2026-01-18T10:30:00Z",'
    codec = b'"codec":"none"'
    for what, meta in (
        ("empty", b""), ("not-json", b"kluis"), ("array", b"[" + codec + b"]"),
        ("array-of-values", b'["db","app","2026-01-18T10:30:00Z","none"]'),
        ("cut", b"{" + text_ + made + codec),
        ("two-values", b"{" + text_ + made + codec + b"}{}"),
        ("not-utf8", meta_json().replace(b"app", b"a\xffp")),
        ("nan", b"{" + text_ + made + codec + b',"x":NaN}'),
        ("no-kind", b'{"name":"app",' + made + codec + b"}"),
        ("no-name", b'{"kind":"db",' + made + codec + b"}"),
        ("no-created", b"{" + text_ + codec + b"}"),
        ("no-codec", b"{" + text_ + made[:-1] + b"}"),
        ("codec-twice", b"{" + text_ + made + codec + b"," + codec + b"}"),
        ("kind-unknown", meta_json().replace(b"db", b"fs")),
        ("codec-unknown", meta_json("lz4")),
        ("name-number", meta_json().replace(b'"app"', b"7")),
        ("created-no-zone", meta_json().replace(b"00Z", b"00")),
        ("created-offset", meta_json().replace(b"00Z", b"00+00:00")),
        ("created-month-13", meta_json().replace(b"-01-18", b"-13-18")),
        ("created-february-30", meta_json().replace(b"-01-18", b"-02-30")),
        ("created-lower-case", meta_json().replace(b"00Z", b"00z")),
        ("created-blank", meta_json().replace(b"T10", b" 10")),
        ("created-second-60", meta_json().replace(b"30:00Z", b"30:60Z")),
        ("created-no-seconds", meta_json().replace(b"30:00Z", b"30Z")),
        ("created-year-0", meta_json().replace(b"2026", b"0000")),
        ("created-hour-24", meta_json().replace(b"T10", b"T24")),
        ("created-10-digits", meta_json().replace(b"00Z", b"00.0123456789Z")),
    ):
        a = Archive("meta " + what, meta)
        put(f"bad-meta-{what}.enc", a.header([a.raw()]) + a.payload(b"SELECT 1;\n"), [RAW_KEY],
            error="malformed-header", case=f"meta, with a right HMAC: {what}")


def cut_files():
    a = Archive("cut")
    data = a.header([a.raw()]) + a.payload(b"SELECT 1;\n")
    for length in (8, 9, 100, 4096, 4100, 4104, 8191):
        put(f"bad-cut-at-{length}.enc", data[:length], [RAW_KEY], error="truncated-header",
            case=f"cut at {length}")
    put("bad-cut-at-0.enc", b"", [RAW_KEY], error="legacy-truncated", case="empty, legacy by its name",
        format_="kanbu")
    put("bad-cut-at-0.bin", b"", [RAW_KEY], error="not-kluis", case="empty")
    put("bad-cut-at-7.enc", data[:7], [RAW_KEY], error="legacy-truncated", case="cut in the magic",
        format_="kanbu")
    put("bad-cut-at-7.bin", data[:7], [RAW_KEY], error="not-kluis", case="cut in the magic")
    cut = bytes(4096) + data[4096:5000]
    for file in ("bad-cut-no-magic-a.bin", "bad-cut-no-magic-a.enc"):
        put(file, cut, [RAW_KEY], error="truncated-header", case="A is zeros, cut in B")
    cut = bytes(4096) + data[4096:4103]
    put("bad-cut-in-magic-b.bin", cut, [RAW_KEY], error="not-kluis", case="A is zeros, cut in B's magic")
    put("bad-cut-in-magic-b.enc", cut, [RAW_KEY], error="legacy-authentication",
        case="the same, legacy by its name", format_="kanbu")


# --- Legacy ---------------------------------------------------------------------------


def times(x, y):
    """A product in GCM's field; blocks are numbers whose highest bit is x^0."""
    product = 0
    for bit in range(127, -1, -1):
        if y >> bit & 1:
            product ^= x
        x = x >> 1 ^ (0xE1 << 120 if x & 1 else 0)
    return product


def iv_for(key, j0):
    """The 16-byte IV whose J0 = ((IV * H) ^ length) * H is the one wanted."""
    aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    h = int.from_bytes(aes.update(bytes(16)), "big")
    inverse, power = 1 << 127, h
    for _ in range(127):  # h^(2^128 - 2)
        power = times(power, power)
        inverse = times(inverse, power)
    iv = times(times(int.from_bytes(j0, "big"), inverse) ^ 128, inverse)
    return iv.to_bytes(16, "big")


def legacy_file(key, iv, content):
    return iv + AESGCM(key).encrypt(iv, content, None)


def legacy():
    raw = bytes.fromhex(RAW_KEY)
    derived = pbkdf2(PASSPHRASE, b"kanbu-backup-encryption-salt-v1", 100_000)
    page_iv = bytes(range(0x30, 0x40))

    def good(file, keys, key, iv, content, case):
        data = legacy_file(key, iv, content)
        put(f"legacy-{file}.enc", data, keys, content=content, case=case, format_="kanbu")
        return data

    def bad(file, error, case, data, keys=(RAW_KEY,)):
        put(f"bad-legacy-{file}.enc", data, list(keys), error=error, case=case, format_="kanbu")

    page = good("page-raw", [RAW_KEY], raw, page_iv, b"SELECT 2;\n", "the page's, raw key")
    assert page.hex().endswith("fdf1fa5a017226d14a2a72e88275bd82ba86146a0964316c1252")
    page = good("page-passphrase", [PASSPHRASE], derived, page_iv, b"SELECT 2;\n",
                "the page's, passphrase")
    assert page.hex().endswith("d67c414c117f5f1d4a6496d6398b3a858e001668c1d8af0ca885")
    iv = iv_for(raw, bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbffffffff"))
    assert iv.hex() == "e47c402f74537a147b0180956434f247"
    lines = b"The counter wraps behind J0.\nok\n"
    page = good("page-wraps", [RAW_KEY], raw, iv, lines, "the page's, its counter wraps at once")
    assert page.hex().endswith("06480a47")
    good("empty-plaintext", [RAW_KEY], raw, fixed("iv 0", 16), b"", "empty content")
    good("empty-passphrase", [PASSPHRASE], derived, fixed("iv 0p", 16), b"", "empty content")
    good("65537", [RAW_KEY], raw, fixed("iv 65537", 16), text(65537), "65537 bytes")
    good("passphrase-1000", [PASSPHRASE], derived, fixed("iv p", 16), text(1000), "1000 bytes")
    good("second-key", [OTHER_KEY, PASSPHRASE], derived, fixed("iv 2", 16), text(100),
         "the second of two keys")
    for start, length in ((2**32 - 5, 1000), (2**32 - 2, 40), (2**32 - 3, 32)):
        iv = iv_for(derived, fixed(f"j0 {start}", 12) + struct.pack(">I", start))
        file = f"wraps-{2**32 - start}"
        good(file, [PASSPHRASE], derived, iv, text(length), f"J0 ends in {start:08x}, {length} bytes")

    data = legacy_file(raw, fixed("iv bad", 16), text(100))
    bad("cut", "legacy-authentication", "a byte is missing at the end", data[:-1])
    bad("cut-tag", "legacy-authentication", "the tag is missing", data[:-16])
    bad("cut-32", "legacy-authentication", "cut at 32", data[:32])
    bad("cut-31", "legacy-truncated", "cut at 31", data[:31])
    bad("iv-only", "legacy-truncated", "the IV alone", data[:16])
    bad("one-byte", "legacy-truncated", "one byte", data[:1])
    bad("tag", "legacy-authentication", "a bit of the tag", flipped(data, len(data) - 1))
    bad("ciphertext", "legacy-authentication", "a bit of the ciphertext", flipped(data, 60))
    bad("iv", "legacy-authentication", "a bit of the IV", flipped(data, 3))
    bad("trailing", "legacy-authentication", "a byte behind the tag", data + b"\0")
    bad("wrong-key", "legacy-authentication", "another raw key", data, [OTHER_KEY])
    bad("wrong-keys", "legacy-authentication", "two other keys", data, [OTHER_KEY, PASSPHRASE])
    bad("wrong-passphrase", "legacy-authentication", "another passphrase", page, ["kanbu"])
    bad("no-key", "no-key", "no key at all", data, [])
    bad("no-key-cut", "no-key", "no key at all, and cut", data[:20], [])


def main():
    for write in (vectors_of_the_page, good_sizes, good_slots, good_copies,
                  bad_payloads, bad_headers, bad_metas, cut_files, legacy):
        write()
    files = [entry["file"] for entry in index]
    assert len(files) == len(set(files)), "a name twice"
    path = os.path.join(HERE, "index.json")
    others = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            others = [entry for entry in json.load(file) if entry["writer"] != "python"]
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in index + others)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"[\n{lines}\n]\n")
    good = sum("sha256" in entry for entry in index)
    print(f"{good} good ones, {len(index) - good} malformed ones")


if __name__ == "__main__":
    main()
