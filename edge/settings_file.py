"""Reads files that an operator names: settings, policies, tokens, keys and texts.

A name may point at anything. A pipe would hang the reader, and a device would never end.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Final

from edge.errors import ConfigError

MAX_KEY_BYTES: Final = 1 << 20
"""Largest file of TLS keys or certificates."""
_OTHERS: Final = 0o077


def open_regular(path: Path) -> BufferedReader:
    """Opens a regular file to read. Never waits. Raises OSError, also for what is no regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_settings_file(path: Path, max_bytes: int, *, private: bool = False) -> bytes:
    """Reads a regular file whole. Raises ConfigError that names it.

    With ``private`` nobody but its owner may have access to it.
    """
    try:
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            if private and status.st_mode & _OTHERS:
                raise ConfigError(f"{path}: others can read it; run `chmod 600 {path}`")
            content = file.read(max_bytes + 1)
            size = max(status.st_size, len(content))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except ValueError:  # a name with a NUL character
        raise ConfigError(f"{str(path)!r}: is no file name") from None
    if size > max_bytes:
        raise ConfigError(f"{path}: {size} bytes is over the limit of {max_bytes} bytes")
    return content


def read_settings_text(path: Path, max_bytes: int, *, private: bool = False) -> str:
    """Reads UTF-8 text, as ``read_settings_file`` does."""
    return settings_text(path, read_settings_file(path, max_bytes, private=private))


def settings_text(path: Path, content: bytes) -> str:
    """Returns the content of a file as UTF-8 text. Raises ConfigError that names the file."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from None
