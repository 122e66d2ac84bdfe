#!/usr/bin/env python3
"""Decrypts an archive of kluis, without kluis: KLUIS1 files and Kanbu's.

Needs Python 3.9 and the package cryptography (Debian: python3-cryptography). Written from the
manual page kluis-archive(5) alone, in its order and its words. The key is read from --key-file,
BACKUP_ENCRYPTION_KEY_FILE (one newline at the end does not count) or BACKUP_ENCRYPTION_KEY.

What comes out is the content: a gzip or zstd file, a dump, a tar. OUT appears when all of it was
checked, not before; with "-o -" each piece is written when it was checked: wait for the exit
code before you believe what came.

Exit codes: 0 done; 1 reading or writing failed; 2 wrong usage; 4 the archive is damaged, or
the key is not its key. Errors, on stderr, are "error: NAME: words", NAMEs those of the page."""
import hmac
import json
import os
import re
import shlex
import struct
import sys
from argparse import ArgumentParser, RawTextHelpFormatter
from datetime import datetime
from hashlib import pbkdf2_hmac, sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import SimpleNamespace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, aead, algorithms, modes

MAGIC = b"\x89KLUIS\r\n"
COPY, MAC = 4096, 4064  # bytes of a header copy, offset of its HMAC
CHUNK = 65536 + 16  # bytes of a full chunk, with its tag
RAW, PASSPHRASE, AGE = 1, 2, 3  # types of slots, and of the keys that open them
SLOT_BYTES = {RAW: range(68, 69), PASSPHRASE: range(80, 81), AGE: range(1025)}


class Refused(Exception):
    """Its arguments are one of the page's ERROR NAMES, or "usage", and words."""


def require(holds, name, words):
    if not holds:
        raise Refused(name, words)


def unseal(key, nonce, sealed, associated_data=None):
    """What AES-256-GCM had sealed, or None if the tag is wrong."""
    try:
        return aead.AESGCM(key).decrypt(nonce, sealed, associated_data)
    except InvalidTag:
        return None


def hmac_holds(copy, header_key):
    return hmac.compare_digest(hmac.digest(header_key, copy[:MAC], "sha256"), copy[MAC:])


def read_key(key_file, data_key_file):
    """THE KEY: the type of the slots that it can open, or None, and its bytes."""
    if data_key_file:
        return AGE, Path(data_key_file).read_bytes()
    text = os.environb.get(b"BACKUP_ENCRYPTION_KEY", b"")
    if key_file:
        text = re.sub(rb"\n\Z", b"", Path(key_file).read_bytes())
        require(text, "usage", f"{key_file} is empty")
    if not text or re.match(rb"(#.*\n|\s)*AGE-SECRET-KEY-1|age1", text):
        return None, b""
    if re.fullmatch(rb"[0-9a-fA-F]{64}", text):
        return RAW, bytes.fromhex(text.decode())
    require(text.decode(errors="ignore").encode() == text, "usage", "the key is not UTF-8")
    return PASSPHRASE, text


def read_slots(copy, at):
    """Steps 7 to 9 of "One copy": type and body of each slot; their number is at `at`."""
    count, at, slots = copy[at], at + 1, []
    require(1 <= count <= 8, "malformed-header", f"{count} slots")
    for _ in range(count):
        type_, length = struct.unpack_from(">BH", copy, at)
        start, at = at + 3, at + 3 + length
        require(at <= MAC, "malformed-header", "a slot runs over the end")
        require(type_ in SLOT_BYTES, "unknown-slot", f"a slot of type {type_}, of a newer kluis")
        require(length in SLOT_BYTES[type_], "malformed-header", f"a slot of {length} bytes")
        if type_ == PASSPHRASE:
            (iterations,) = struct.unpack_from(">I", copy, start + 16)
            require(100_000 <= iterations <= 10_000_000, "bad-iterations", f"{iterations}")
        slots.append((type_, copy[start:at]))
    require(not any(copy[at:MAC]), "malformed-header", "bytes behind the last slot")
    return slots


def open_slot(type_, body, secret, identity):
    """The data key, or None; `secret` is that of a key for slots of this type."""
    if type_ == AGE:
        return secret if len(secret) == 32 else None
    if type_ == RAW and body[:8] != hmac.digest(secret, b"kluis/1 key id", "sha256")[:8]:
        return None
    if type_ == PASSPHRASE:
        salt, iterations = struct.unpack_from(">16sI", body)
        secret = pbkdf2_hmac("sha256", secret, salt, iterations)
    bound_to = b"kluis/1 slot" + bytes([type_]) + identity
    return unseal(secret, body[-60:-48], body[-48:], bound_to)


def opener(type_, body, at, path):
    """What would open the slot whose body is at byte `at` of the file, for a no-key error."""
    if type_ != AGE:
        return f"raw key {body[:8].hex()}" if type_ == RAW else "a passphrase"
    named = re.search(rb"\n-> kluis-recipient (age1[0-9a-z]+)\n", body)
    recipient = named[1].decode() if named else "(not named)"
    age_file = f"tail -c +{at + 1} {shlex.quote(path)} | head -c {len(body)}"
    command = f"`{age_file} | age -d -i IDENTITY >DATA_KEY`, --data-key-file DATA_KEY"
    return f"age recipient {recipient}: {command}"


def open_copy(copy, number, key, path):
    """ "One copy": all of its steps, in their order."""
    require(copy[:8] == MAGIC, "not-kluis", "no magic")
    names = "unknown-version", "unknown-suite", "unknown-chunk-size", "malformed-header"
    for name, found, wanted in zip(names, copy[8:12], (1, 1, 16, number)):
        require(found == wanted, name, f"{found} where {wanted} belongs")
    generation, identity, meta_bytes = struct.unpack_from(">I48sH", copy, 12)
    require(meta_bytes <= 1024, "malformed-header", f"a meta of {meta_bytes} bytes")
    meta, slots = copy[66 : 66 + meta_bytes], read_slots(copy, 66 + meta_bytes)
    opened = (open_slot(*slot, key[1], identity) for slot in slots if slot[0] == key[0])
    data_key = next(filter(None, opened), None)
    wanted = (opener(*slot, number * COPY + copy.index(slot[1]), path) for slot in slots)
    require(data_key, "no-key", f"wanted is the key of one of its slots: {'; '.join(wanted)}")
    prk = hmac.digest(identity[16:], data_key, "sha256")  # identity: archive id | salt
    holding = SimpleNamespace(generation=generation, about=(identity, meta), slots=slots)
    holding.header_key = hmac.digest(prk, b"kluis/1 header\x01", "sha256")
    require(hmac_holds(copy, holding.header_key), "header-hmac", "the header's HMAC is wrong")
    context = sha256(copy[8:11] + identity + meta).digest()
    holding.payload_key = hmac.digest(prk, b"kluis/1 payload" + context + b"\x01", "sha256")
    return holding


def check_meta(meta):
    """The four members of "Meta", each once; others are ignored."""
    try:
        # Objects become tuples of pairs, so that a doubled member shows; int refuses NaN.
        pairs = json.loads(meta.decode(), object_pairs_hook=tuple, parse_constant=int)
        known = [pair for pair in pairs if pair[0] in ("kind", "name", "created", "codec")]
        found = dict(known)
        created = re.fullmatch(r"([0-9-]{10}T[0-9:]{8})(\.[0-9]{1,9})?Z", found["created"])
        datetime.strptime(created[1], "%Y-%m-%dT%H:%M:%S")
        holds = isinstance(pairs, tuple) and len(known) == len(found) == 4
        holds = holds and isinstance(found["name"], str) and found["kind"] in ("db", "source")
        holds = holds and found["codec"] in ("gzip", "zstd", "none")
    except (ValueError, TypeError, LookupError, RecursionError):
        holds = False
    require(holds, "malformed-header", "meta is not what it must be")


def open_header(head, key, path):
    """ "Both copies": the payload key."""
    copies, errors = [], []
    for number, copy in enumerate([head[:COPY], head[COPY:]]):
        try:
            copies.append(open_copy(copy, number, key, path))
        except Refused as error:
            errors.append(error)
            failed, failed_bytes = "AB"[number], copy
    names = [error.args[0] for error in errors]
    if len(errors) == 2:
        raise errors[1] if names[1] == "no-key" or names[0] == "not-kluis" else errors[0]
    counts = max(copies, key=lambda copy: copy.generation)
    if errors:
        name, why = names[0], "damaged"
        if name == "no-key" and hmac_holds(failed_bytes, counts.header_key):
            why = "for another key: a rotation was cut short"
        elif name == "no-key":  # damage hit its slots, or what they are bound to
            name = "header-hmac"
        words = f"copy {failed} of the header is {why}; the other one is used"
        print(f"warning: {name}: {words}", file=sys.stderr)
    else:
        a, b = copies
        require(a.about == b.about, "malformed-header", "the copies are of different archives")
        agree = a.generation != b.generation or a.slots == b.slots
        require(agree, "copies-conflict", "one generation, but different slots")
    check_meta(counts.about[1])
    return counts.payload_key


def chunks(file, payload_key):
    """ "Chunks": the content of each, once its tag held."""
    file.seek(2 * COPY)
    ahead = file.read(CHUNK)
    for i in range(2**32):
        chunk, ahead = ahead, file.read(CHUNK)
        last = not ahead
        require(len(chunk) >= 16, "end-damaged", "the archive was cut")
        content = unseal(payload_key, struct.pack(">7xIB", i, last), chunk)
        if content is None:
            other = unseal(payload_key, struct.pack(">7xIB", i, not last), chunk)
            names = ("truncated", "end-damaged") if last else ("trailing-data", "chunk-damaged")
            raise Refused(names[other is None], f"chunk {i}, at byte {2 * COPY + CHUNK * i}")
        require(content or not last or i == 0, "empty-last-chunk", f"chunk {i} is empty")
        require(last or i < 2**32 - 1, "too-long", "more than 2^32 chunks")
        yield content
        if last:
            return


def legacy(file, key_type, secret):
    """LEGACY: the first pass checks the tag, the second one decrypts, and checks it again."""
    require(key_type in (RAW, PASSPHRASE), "no-key", "neither a raw key nor a passphrase")
    length = file.seek(0, os.SEEK_END) - 32
    require(length >= 0, "legacy-truncated", "fewer than 32 bytes")
    require(length <= 2**36 - 32, "too-long", "more than 64 GiB")
    if key_type == PASSPHRASE:
        secret = pbkdf2_hmac("sha256", secret, b"kanbu-backup-encryption-salt-v1", 100_000)
    try:
        for is_checked in (False, True):
            file.seek(0)
            gcm = Cipher(algorithms.AES(secret), modes.GCM(file.read(16))).decryptor()
            for at in range(0, length, CHUNK):
                piece = gcm.update(file.read(min(CHUNK, length - at)))
                if is_checked:
                    yield piece
            gcm.finalize_with_tag(file.read(16))
            require(not file.read(1), "legacy-authentication", "bytes behind the tag")
    except (InvalidTag, ValueError):  # ValueError: no whole tag, as the file became shorter
        raise Refused("legacy-authentication", "damaged, cut, or another key's") from None


def write(pieces, out):
    if out == "-":
        with open(sys.stdout.fileno(), "wb", closefd=False) as stdout:
            return stdout.writelines(pieces)
    folder = os.path.dirname(out) or "."
    with NamedTemporaryFile("wb", prefix=".kluis-tmp-", dir=folder, delete=False) as file:
        try:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
            os.rename(file.name, out)
        except BaseException:
            os.unlink(file.name)
            raise


def decrypt(path, out, key, is_legacy):
    """ "Which format", and then all of it."""
    with open(path, "rb") as file:
        head = file.read(2 * COPY)
        if MAGIC in (head[:8], head[COPY : COPY + 8]):
            require(len(head) == 2 * COPY, "truncated-header", f"only {len(head)} bytes")
            return write(chunks(file, open_header(head, key, path)), out)
        require(is_legacy, "not-kluis", "not encrypted; --legacy if it is Kanbu's")
        write(legacy(file, *key), out)


def main():
    parser = ArgumentParser(description=__doc__, formatter_class=RawTextHelpFormatter)
    parser.add_argument("file", metavar="FILE", help="the archive")
    parser.add_argument("-o", metavar="OUT", help='default: FILE without .enc; "-": stdout')
    parser.add_argument("--key-file", default=os.environ.get("BACKUP_ENCRYPTION_KEY_FILE"))
    parser.add_argument("--data-key-file", help="32 bytes, out of an age slot")
    parser.add_argument("--legacy", action="store_true", help="it may be Kanbu's without .enc")
    arguments = parser.parse_args()
    path = arguments.file
    out = arguments.o or re.sub(r"\.enc\Z", "", path)
    try:
        require(out == "-" or not os.path.lexists(out), "usage", f"{out} exists; see -o")
        key = read_key(arguments.key_file, arguments.data_key_file)
        decrypt(path, out, key, arguments.legacy or path.endswith(".enc"))
    except Refused as error:
        print("error: " + ": ".join(error.args), file=sys.stderr)
        return 2 if error.args[0] == "usage" else 4
    except OSError as error:
        sys.exit(f"error: io: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
