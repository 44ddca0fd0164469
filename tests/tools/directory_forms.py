"""Value forms shared by the test data generators: GUID, SID, FILETIME, alternative ids, LDIF.

Written from the specifications and not from the Rust code, so that the data is an
independent statement of what the product has to produce. Standard library only.
"""

import base64
import hashlib
import struct
import uuid
from datetime import datetime, timedelta, timezone

SHA1_PREFIX = "X509:<SHA1-TP-PUBKEY>"

# Seconds between 1601-01-01 (FILETIME, [MS-DTYP] 2.3.3) and 1970-01-01.
FILETIME_EPOCH = 11_644_473_600

TRUST_TYPES = {"Workplace": "0", "AzureAd": "1", "ServerAd": "2"}


def digest(seed: str, label: str) -> bytes:
    """32 bytes that depend on nothing but their arguments, on any Python version."""
    return hashlib.sha256(f"{seed}/{label}".encode()).digest()


def guid(seed: str, label: str) -> str:
    """A version 4 GUID in lower case."""
    return str(uuid.UUID(bytes=digest(seed, label)[:16], version=4))


def guid_bytes(text: str) -> bytes:
    """The 16 octets AD stores: the first three fields little-endian."""
    return uuid.UUID(text).bytes_le


def sid_bytes(text: str) -> bytes:
    """The binary form of `S-1-...` ([MS-DTYP] 2.4.2.2)."""
    parts = [int(part) for part in text.split("-")[1:]]
    revision, authority, sub = parts[0], parts[1], parts[2:]
    return (
        bytes([revision, len(sub)])
        + authority.to_bytes(6, "big")
        + b"".join(struct.pack("<I", value) for value in sub)
    )


def parse_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def print_time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def filetime(text: str, days: int = 0) -> str:
    """The FILETIME of a Graph time stamp, `days` later."""
    when = parse_time(text) + timedelta(days=days)
    return str((int(when.timestamp()) + FILETIME_EPOCH) * 10_000_000)


def alternative_id(thumbprint: bytes, key_hash: bytes) -> str:
    """The value of `altSecurityIdentities`: SHA-1 of the certificate, SHA-256 of its key."""
    return SHA1_PREFIX + thumbprint.hex().upper() + base64.b64encode(key_hash).decode()


def alternative_key(text: str) -> str:
    """The same as Graph carries it in `alternativeSecurityIds[].key`."""
    return base64.b64encode(text.encode("utf-16-le")).decode()


def key_credential(dn: str, device_id: str, material: bytes, when: str) -> str:
    """A device transport key as DN-Binary ([MS-ADTS] 2.2.20, usage 2)."""

    def item(kind: int, value: bytes) -> bytes:
        return struct.pack("<HB", len(value), kind) + value

    stamp = struct.pack("<Q", int(filetime(when)))
    tail = (
        item(3, material)
        + item(4, b"\x02")
        + item(5, b"\x00")
        + item(6, guid_bytes(device_id))
        + item(7, b"\x01\x00")
        + item(8, stamp)
        + item(9, stamp)
    )
    blob = (
        struct.pack("<I", 0x200)
        + item(1, hashlib.sha256(material).digest())
        + item(2, hashlib.sha256(tail).digest())
        + tail
    )
    return f"B:{len(blob) * 2}:{blob.hex().upper()}:{dn}"


def rsa_material(seed: str, label: str) -> bytes:
    """A public key blob with magic `RSA1` and a 2048 bit modulus."""
    modulus = b"".join(digest(seed, f"{label}/modulus/{part}") for part in range(8))
    modulus = bytes([modulus[0] | 0x80]) + modulus[1:-1] + bytes([modulus[-1] | 1])
    return b"RSA1" + struct.pack("<IIIII", 2048, 3, 256, 0, 0) + b"\x01\x00\x01" + modulus


def security_descriptor(owner: str) -> bytes:
    """A self-relative descriptor: readable by authenticated users, full for the owner and SYSTEM."""

    def ace(mask: int, sid: str) -> bytes:
        body = struct.pack("<I", mask) + sid_bytes(sid)
        return struct.pack("<BBH", 0, 0, 4 + len(body)) + body

    aces = [ace(0x20094, "S-1-5-11"), ace(0xF01FF, owner), ace(0xF01FF, "S-1-5-18")]
    body = b"".join(aces)
    acl = struct.pack("<BBHHH", 4, 0, 8 + len(body), len(aces), 0) + body
    who = sid_bytes(owner)
    return struct.pack("<BBHIIII", 1, 0, 0x8004, 20, 20 + len(who), 0, 20 + 2 * len(who)) + 2 * who + acl


def ldif_line(name: str, value: bytes, encode: bool = False, fold: bool = True) -> str:
    """One attribute line of RFC 2849, in base64 where the value is not a SAFE-STRING."""
    safe = (
        not encode
        and all(0 < octet < 128 and octet not in (10, 13) for octet in value)
        and value[:1] not in (b" ", b":", b"<")
        and value[-1:] != b" "
    )
    line = f"{name}: {value.decode()}" if safe else f"{name}:: {base64.b64encode(value).decode()}"
    if not fold or len(line) <= 76:
        return line + "\n"
    pieces = [line[:76]] + [line[at : at + 75] for at in range(76, len(line), 75)]
    return "\n ".join(pieces) + "\n"
