"""A small writer of MMDB files (format 2.0), so that tests bring their own: one record for each IPv4 network."""

import ipaddress
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_RECORD_BITS = 32


def write(path: Path, records: Mapping[str, Mapping[str, Any]]) -> Path:
    data, offsets = b"", {}
    for network, record in records.items():
        offsets[network] = len(data)
        data += _encoded(record)
    nodes: list[list[int | None]] = [[None, None]]
    places: list[tuple[int, int, int]] = []
    for network in records:
        parsed = ipaddress.ip_network(network)
        bits = f"{int(parsed.network_address):032b}"[: parsed.prefixlen]
        node = 0
        for bit in bits[:-1]:
            following = nodes[node][int(bit)]
            if following is None:
                nodes.append([None, None])
                following = nodes[node][int(bit)] = len(nodes) - 1
            node = following
        places.append((node, int(bits[-1]), offsets[network]))
    count = len(nodes)
    for node, side, offset in places:
        nodes[node][side] = count + 16 + offset
    tree = b"".join(struct.pack(">II", *(count if side is None else side for side in node)) for node in nodes)
    metadata = {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1_700_000_000,
        "database_type": "Test",
        "description": {"en": "test"},
        "ip_version": 4,
        "languages": ["en"],
        "node_count": count,
        "record_size": _RECORD_BITS,
    }
    path.write_bytes(tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + _encoded(metadata))
    return path


def _encoded(value: Any) -> bytes:
    if isinstance(value, Mapping):
        return _head(7, len(value)) + b"".join(_encoded(key) + _encoded(item) for key, item in value.items())
    if isinstance(value, list):
        return _head(11, len(value)) + b"".join(_encoded(item) for item in value)
    if isinstance(value, str):
        return _head(2, len(value.encode())) + value.encode()
    if isinstance(value, float):
        return _head(3, 8) + struct.pack(">d", value)
    assert isinstance(value, int)
    body = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _head(6, len(body)) + body


def _head(kind: int, size: int) -> bytes:
    rest = b""
    if size >= 29:
        assert size < 285
        size, rest = 29, bytes([size - 29])
    return bytes([kind << 5 | size]) + rest if kind < 8 else bytes([size, kind - 7]) + rest
