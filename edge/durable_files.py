"""Writes files that are on disk, whole and private, or not there at all.

Every file that the gate keeps is written with these, so that neither a full disk, nor a crash, nor a power
loss leaves half of one. The exceptions append: the journal, and the journal of live streams.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

PARTIAL: Final = ".part"
"""Suffix of files that are being written. Their names begin with a dot."""
_KEEP_SIZE: Final = 1
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """Yields an empty file of mode 0600 beside ``path`` to fill. Its ``name`` is a path.

    When the block ends without an exception, the file is synced and takes the place of ``path``, and the
    folder is synced. Otherwise nothing changes. Raises OSError.
    """
    with _partial(path) as file:
        yield file
        _sync(file)
        os.replace(file.name, path)
        sync_folder(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Replaces the content of ``path``; it is on disk on return. Raises OSError."""
    with appearing(path) as file:
        file.write(content)


def create_file(path: Path, content: bytes) -> bool:
    """Makes ``path`` whole, or not at all. Returns False, and changes nothing, where it is there already.

    Raises OSError.
    """
    with _partial(path) as file:
        file.write(content)
        _sync(file)
        try:
            os.link(file.name, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A file system without links. Nobody else makes this file: one gate has a data folder.
            if path.exists() or path.is_symlink():
                return False
            os.replace(file.name, path)
    sync_folder(path.parent)
    return True


def link_file(source: Path, path: Path) -> None:
    """Makes ``path`` another name of a file, or a copy of it where the file system has no links.

    Nobody may change the file under either name. Raises OSError, also where ``path`` is there already.
    """
    try:
        os.link(source, path)
    except OSError as error:
        if error.errno not in (*_NO_LINKS, errno.EXDEV):
            raise
        with open(source, "rb") as file, appearing(path) as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
    sync_folder(path.parent)


def append_durably(path: Path, content: bytes) -> None:
    """Appends to a private file; it is on disk on return. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(content)
        _sync(file)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Makes the content of a file durable that another process has written. Raises OSError.

    The last part of ``path`` may be no link.
    """
    _sync_descriptor(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK))


def sync_folder(path: Path) -> None:
    """Makes created, renamed and removed names of a folder durable. Raises OSError."""
    _sync_descriptor(os.open(path, os.O_RDONLY | os.O_DIRECTORY))


def reserve(descriptor: int, until_bytes: int) -> None:
    """Takes disk space for a file up to this size. The size of the file stays as it is.

    Later writes up to there need no further space. Raises OSError, with EOPNOTSUPP where the file system
    cannot do that.
    """
    fallocate = _fallocate()
    if fallocate is None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    while fallocate(descriptor, _KEEP_SIZE, 0, until_bytes):
        if (code := ctypes.get_errno()) != errno.EINTR:
            raise OSError(code, os.strerror(code))


@functools.cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    libc = ctypes.CDLL(None, use_errno=True)
    function = getattr(libc, "fallocate64", None) or getattr(libc, "fallocate", None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    function.restype = ctypes.c_int
    call: Callable[[int, int, int, int], int] = function
    return call


@contextmanager
def _partial(path: Path) -> Iterator[BinaryIO]:
    partial = path.with_name(f".{path.name.lstrip('.')}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        with open(partial, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            yield file
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_descriptor(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
