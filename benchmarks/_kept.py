"""Kept results of a long benchmark, so that it can be run in chunks.

A result holds only for the code and inputs that it was measured with. Their digest is in the file's name,
so a change of either starts a new file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class Kept:
    """Results by name, one JSON line each. Ignores a line that a killed run left incomplete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._results: dict[str, Any] = {}
        if path.is_file():
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    name, result = json.loads(line)
                    self._results[name] = result
                else:
                    path.write_bytes(path.read_bytes()[: -len(line)])
        path.parent.mkdir(parents=True, exist_ok=True)

    def __contains__(self, name: str) -> bool:
        return name in self._results

    def __getitem__(self, name: str) -> Any:
        return self._results[name]

    def keep(self, name: str, result: Any) -> None:
        self._results[name] = result
        with self._path.open("a") as file:
            file.write(json.dumps([name, result]) + "\n")


def digest_of(paths: Iterable[Path], *settings: object) -> str:
    """Returns the digest of files' bytes and of printed settings, as 16 hexadecimal digits."""
    digest = hashlib.sha256(repr(settings).encode())
    for path in sorted(paths):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
