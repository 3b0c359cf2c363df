"""The file format of bank segments: named arrays, versioned, checksummed, memory-mapped.

Layout: 8 bytes of magic, u32 version, u32 header length (both little endian), SHA-256 of the header, the
header as JSON, then the arrays at multiples of 64 bytes. The header holds the dtype, shape, offset and
SHA-256 of each array. So the header's digest identifies the whole file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from edge.durable_files import appearing
from edge.errors import BankError
from edge.match.bank.privacy import give_to_owner_of
from edge.settings_file import open_regular

MAGIC = b"EGBANK\r\n"
VERSION = 1
MAX_HEADER_BYTES = 1 << 20
_ALIGN = 64
_PREFIX = struct.Struct("<8sII32s")
_BLOCK = 1 << 24
_WRONG_HEADER = (KeyError, TypeError, ValueError, OverflowError, RecursionError)
"""What a header raises that is JSON and no header. Its numbers may be infinite."""
_DTYPES = {"|u1": np.uint8, "<u4": np.uint32, "<u8": np.uint64}

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """An opened file. The arrays are read-only views of one shared mapping."""

    meta: Mapping[str, Any]
    arrays: Mapping[str, Array]
    digest: str
    """SHA-256 of the header, hexadecimal."""
    size_bytes: int
    inode: int


def write_arrays(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """Writes a file atomically, flushed to disk before the rename. Returns the digest."""
    sections: list[dict[str, Any]] = []
    offset = 0
    flat = {name: np.ascontiguousarray(a, dtype=a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    for name, array in flat.items():
        offset = _aligned(offset)
        section = {"name": name, "dtype": array.dtype.str, "shape": list(array.shape), "offset": offset}
        sections.append({**section, "sha256": hashlib.sha256(array.data).hexdigest()})
        offset += array.nbytes
    header = json.dumps(
        {"meta": dict(meta), "sections": sections, "bytes": offset}, separators=(",", ":"), sort_keys=True
    ).encode()
    digest = hashlib.sha256(header)
    base = _aligned(_PREFIX.size + len(header))

    def fill(out: BinaryIO) -> None:
        out.write(_PREFIX.pack(MAGIC, VERSION, len(header), digest.digest()))
        out.write(header)
        for section, array in zip(sections, flat.values(), strict=True):
            out.write(b"\0" * (base + section["offset"] - out.tell()))
            out.write(array.data)

    replace_file(path, fill)
    return digest.hexdigest()


def read_arrays(path: Path, *, verify: bool = True) -> ArrayFile:
    """Maps a file and checks it.

    ``verify`` checks every byte against its checksum. Without it only the header and the length are
    checked. Raises BankError when the file is missing, foreign, torn, damaged or of another version.
    """
    try:
        with open_regular(path) as file:
            base, total, document, digest = _read_header(path, file)
            inode = os.fstat(file.fileno()).st_ino
            try:
                mapped = np.memmap(file, dtype=np.uint8, mode="r", offset=0, shape=(base + total,))
                sections, meta = document["sections"], document["meta"]
                if not isinstance(meta, dict):
                    raise TypeError("meta is no object")
                arrays = {s["name"]: _section(path, mapped, base, total, s, verify) for s in sections}
            except _WRONG_HEADER as error:
                raise BankError(f"{path}: header does not keep the format: {error!r}") from None
    except OSError as error:
        raise BankError(f"{path}: {error.strerror or error}") from None
    return ArrayFile(meta, arrays, digest, base + total, inode)


def verify_file(path: Path, *, every_byte: bool) -> str:
    """Returns the digest of a file whose header and length are right.

    ``every_byte`` also checks the arrays against their checksums. It only reads. A mapping would end the
    process if somebody shortened the file meanwhile. Raises BankError as ``read_arrays`` does.
    """
    try:
        with open_regular(path) as file:
            base, _, document, digest = _read_header(path, file)
            for section in document["sections"] if every_byte else ():
                file.seek(base + int(section["offset"]))
                left = math.prod(section["shape"]) * np.dtype(_DTYPES[section["dtype"]]).itemsize
                content = hashlib.sha256()
                while left > 0 and (block := file.read(min(left, _BLOCK))):
                    content.update(block)
                    left -= len(block)
                if content.hexdigest() != section["sha256"]:
                    raise BankError(f"{path}: section {section['name']} is damaged (checksum differs)")
    except OSError as error:
        raise BankError(f"{path}: {error.strerror or error}") from None
    except _WRONG_HEADER as error:
        raise BankError(f"{path}: header does not keep the format: {error!r}") from None
    return digest


def _read_header(path: Path, file: BinaryIO) -> tuple[int, int, Any, str]:
    """Returns where the arrays begin, their length in bytes, the header and its digest."""
    prefix = file.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size or prefix[:8] != MAGIC:
        raise BankError(f"{path}: not a bank segment (magic bytes differ)")
    _, version, length, digest = _PREFIX.unpack(prefix)
    if version != VERSION:
        raise BankError(f"{path}: format version {version}; this edge-gate reads version {VERSION}")
    if length > MAX_HEADER_BYTES:
        raise BankError(f"{path}: header of {length} bytes is over the limit of {MAX_HEADER_BYTES}")
    header = file.read(length)
    if len(header) < length or hashlib.sha256(header).digest() != digest:
        raise BankError(f"{path}: torn or damaged header")
    size, base = os.fstat(file.fileno()).st_size, _aligned(_PREFIX.size + length)
    try:
        document = json.loads(header)
        total = int(document["bytes"])
    except _WRONG_HEADER as error:
        raise BankError(f"{path}: header does not keep the format: {error!r}") from None
    if size != base + total:
        raise BankError(f"{path}: torn: {size} bytes instead of {base + total}")
    return base, total, document, digest.hex()


def _section(path: Path, mapped: Array, base: int, total: int, section: Any, verify: bool) -> Array:
    name, offset, shape = str(section["name"]), int(section["offset"]), [int(n) for n in section["shape"]]
    dtype = np.dtype(_DTYPES[section["dtype"]])
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if min([offset, *shape], default=0) < 0 or offset % _ALIGN or offset + count * dtype.itemsize > total:
        raise BankError(f"{path}: section {name} lies outside the file")
    raw = mapped[base + offset : base + offset + count * dtype.itemsize]
    if verify:
        digest = hashlib.sha256()
        for start in range(0, len(raw), _BLOCK):
            digest.update(raw[start : start + _BLOCK].data)
        if digest.hexdigest() != section["sha256"]:
            raise BankError(f"{path}: section {name} is damaged (checksum differs)")
    # A plain ndarray is faster: every operation on a memmap subclass calls __array_finalize__.
    return np.asarray(raw).view(np.ndarray).view(dtype).reshape(shape)


def replace_file(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Replaces the content of ``path`` atomically. A reader sees the whole old file or the whole new one.

    ``fill`` gets a binary file to write to. Nothing is left behind when it raises or is interrupted. Only the
    owner can read the file.
    """
    with appearing(path) as out:
        give_to_owner_of(path.parent, out.fileno())
        fill(out)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN
