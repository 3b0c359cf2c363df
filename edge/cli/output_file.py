"""The file that a command writes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from edge.durable_files import appearing
from edge.errors import ConfigError


@contextlib.contextmanager
def appearing_file(option: str, path: Path) -> Iterator[TextIO]:
    """Opens a file that appears whole and owner-readable, or not at all. Raises ConfigError.

    What is no valid text, such as parts of a file's name, becomes ``?``.
    """
    try:
        with appearing(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
            yield text
            text.detach()
    except OSError as error:
        raise ConfigError(f"{option} {path}: {error.strerror or error}") from None
