"""Fingerprints a file in a contained process of its own, from the parent's side."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from edge.containment import contained_environment, mode_of_environment
from edge.errors import BrokenMedia, InvalidInput, LimitExceeded
from edge.match.entry import Footage
from edge.match.evasion.variants import VariantSet
from edge.match.fingerprint import MAX_HASHES, MIN_QUALITY, STILL_BITS, Damage, Progress
from edge.match.footage_message import PROGRESS, footage_of_bytes

_MAX_BYTES = 64 * MAX_HASHES

log = logging.getLogger(__name__)


def fingerprint_contained(
    path: Path,
    *,
    entry_id: str | None = None,
    label: str = "",
    note: str = "",
    added_ms: int = 0,
    variants: VariantSet = VariantSet.WIDE,
    audio: bool | None = None,
    stretch_ms: tuple[int, int] | None = None,
    min_quality: int = MIN_QUALITY,
    still_bits: int = STILL_BITS,
    as_coded: bool = False,
    progress: Progress | None = None,
    damage: Damage | None = None,
) -> Footage:
    """``fingerprint`` in a process that can read this file alone. Its arguments and errors are the same.

    ``EDGE_CONTAINMENT`` says what happens where the kernel lacks a measure. Raises BrokenMedia also when the
    file crashes its decoder, and ConfigError where the process must be contained and cannot be.
    """
    if not path.is_file():
        problem = "is not a regular file" if path.exists() else "no such file"
        raise InvalidInput("path", f"{problem}: {path}")
    reading, writing = os.pipe()
    request = {
        "parent": os.getpid(),
        "path": str(path),
        "progress": writing,
        "containment": mode_of_environment(),
        "entry_id": entry_id,
        "label": label,
        "note": note,
        "added_ms": added_ms,
        "variants": variants,
        "audio": audio,
        "stretch_ms": stretch_ms,
        "min_quality": min_quality,
        "still_bits": still_bits,
        "as_coded": as_coded,
    }
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge.match.fingerprint_process", json.dumps(request)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=(writing,),
            env=contained_environment(),
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    follower = threading.Thread(target=_follow, args=(reading, progress), daemon=True)
    follower.start()
    with process:
        try:
            assert process.stdout is not None
            raw = _bounded(process.stdout)
        except BaseException:
            process.kill()
            raise
    follower.join()
    if process.returncode != 0:
        raise BrokenMedia(f"{path}: the decoder crashed on this file (exit code {process.returncode})")
    footage, damaged, missing = footage_of_bytes(raw)
    if damage is not None:
        damage.packets += damaged
    if missing:
        problems = "; ".join(f"{measure}: {why}" for measure, why in missing.items())
        log.warning("the fingerprinting process is not fully contained: %s", problems)
    return footage


def _bounded(out: IO[bytes]) -> bytes:
    raw = out.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise LimitExceeded("footage", _MAX_BYTES, len(raw), "bytes")
    return raw


def _follow(reading: int, progress: Progress | None) -> None:
    """Passes progress on until the process ends."""
    with open(reading, "rb") as pipe:
        while len(raw := pipe.read(PROGRESS.size)) == PROGRESS.size:
            if progress is not None:
                progress(*PROGRESS.unpack(raw))
