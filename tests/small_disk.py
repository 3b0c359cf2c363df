"""A disk of a few megabytes of its own, which a test can fill."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import require

_BLOCK = b"\1" * 4096
_SHARED_MEMORY = Path("/dev/shm")
_MOST_MEGABYTES = 256


@contextmanager
def small_disk(folder: Path, kind: str, megabytes: int) -> Iterator[Path]:
    """A file system of ``kind`` (``tmpfs`` or ``ext4``), or a tmpfs where this one cannot be mounted.

    Without the right to mount it is the shared memory of a container, which is small and a tmpfs.
    """
    mounted = folder / "disk"
    mounted.mkdir()
    if not (kind == "ext4" and _mounts_ext4(folder / "disk.img", mounted, megabytes)):
        size = f"size={megabytes}m"
        if not _runs("mount", "-t", "tmpfs", "-o", size, "none", str(mounted)):
            with _rest_of_shared_memory(megabytes) as rest:
                yield rest
            return
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)


def _mounts_ext4(image: Path, mounted: Path, megabytes: int) -> bool:
    image.touch()
    os.truncate(image, megabytes << 20)
    made = _runs("mkfs.ext4", "-q", "-m", "0", str(image))
    return made and _runs("mount", "-o", "loop", str(image), str(mounted))


def _runs(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def _rest_of_shared_memory(megabytes: int) -> Iterator[Path]:
    total, _, free = shutil.disk_usage(_SHARED_MEMORY)
    small = total <= _MOST_MEGABYTES << 20 and free >= megabytes << 20
    require(small, "the right to mount, or a small /dev/shm")
    place = _SHARED_MEMORY / f"edge-gate-{secrets.token_hex(4)}"
    place.mkdir()
    try:
        with (place / "taken").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - (megabytes << 20)))
        yield place
    finally:
        shutil.rmtree(place)


def fill(disk: Path) -> Path:
    """Writes until the disk takes no byte more. Returns the file that fills it."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for block in (_BLOCK * 256, _BLOCK, b"\1"):
            try:
                while file.write(block) == len(block):
                    pass
            except OSError:
                continue
    return ballast
