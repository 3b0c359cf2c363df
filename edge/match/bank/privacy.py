"""Keeps banks to their owner: who can read the fingerprints knows what passes."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_OTHERS = 0o077
_OURS = (
    *(".bank", ".seg", ".notes", ".import", ".lock", ".part"),
    *(".exchange", ".mirror", ".mirror-wal", ".mirror-shm"),
)


def make_private(folder: Path) -> None:
    """Makes every bank file of a folder readable to its owner alone, and so the folder itself.

    The folder keeps its mode where it holds anything but banks, because others may need that. Files of
    another owner stay as they are; ``exposed`` names them.
    """
    only_banks = True
    for path in _files(folder):
        if path.name.endswith(_OURS):
            with contextlib.suppress(OSError):
                path.chmod(0o600)
        else:
            only_banks = False
    if only_banks:
        with contextlib.suppress(OSError):
            folder.chmod(0o700)


def exposed(folder: Path) -> list[Path]:
    """What people other than the owner can read or change: bank files, and the folder that holds them."""
    found = [path for path in _files(folder) if path.name.endswith(_OURS)]
    return [path for path in (folder, *found) if _mode(path) & _OTHERS]


def give_to_owner_of(folder: Path, descriptor: int) -> None:
    """Gives a new file to the owner of its folder, so that a gate can read what root has written for it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _files(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        yield from (Path(each.path) for each in found)


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0
