"""Banks of the evasion benchmark: reference videos, all other reference hashes, and random ones."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge.match import (
    Bank,
    Entry,
    EntryKind,
    Footage,
    HashListFormat,
    HashRun,
    Import,
    VariantSet,
    fingerprint,
)

KNOWN, OTHERS, RANDOM = "known", "reference", "random"
_FACTS = "facts.json"


@dataclass(frozen=True, slots=True)
class Facts:
    """Contents of the banks, and what fingerprinting the videos cost."""

    known_hashes: int
    hashes_per_second: float
    fingerprint_s_per_s: float
    reference_hashes: int
    random_hashes: int


def banks_of(
    folder: Path,
    reference: Path,
    videos: list[Path],
    variants: VariantSet,
    random: int,
    pool: Executor,
    say: Callable[[str], None],
) -> Facts:
    """Builds the banks in ``folder`` unless they exist. They appear complete or not at all."""
    if not (folder / _FACTS).is_file():
        say("building the banks")
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".banks-"))
        try:
            prints = [pool.submit(_fingerprint, path, variants) for path in videos]
            Bank.create(part / RANDOM).add_footage(_random(random))
            others = Bank.create(part / OTHERS)
            others.add_footage(_reference(reference))
            said = [future.result() for future in prints]
            known = [footage for footage, _ in said]
            Bank.create(part / KNOWN).add_footage(known)
            footage_s = sum(item.entry.duration_ms for item in known) / 1000
            hashes = sum(len(item.hashes) for item in known)
            facts = {
                "known_hashes": hashes,
                "hashes_per_second": round(hashes / footage_s, 1),
                "fingerprint_s_per_s": round(sum(took for _, took in said) / footage_s, 2),
                "reference_hashes": others.manifest.hashes,
                "random_hashes": random,
            }
            (part / _FACTS).write_text(json.dumps(facts))
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return Facts(**json.loads((folder / _FACTS).read_text()))


def _fingerprint(path: Path, variants: VariantSet) -> tuple[Footage, float]:
    started = time.process_time()
    footage = fingerprint(path, entry_id=path.stem, variants=variants)
    return footage, time.process_time() - started


def _reference(folder: Path) -> Iterable[Footage]:
    """Returns all reference hashes that are not the videos' own, whatever their quality."""
    for path in sorted((folder / "images").rglob("*.jpg")):
        yield fingerprint(path, entry_id=str(path.relative_to(folder)), min_quality=0)
    for path in sorted((folder / "vpdq-hashes").glob("*.txt")):
        yield from _read(Import(path, HashListFormat.VPDQ, min_quality=0))
    seen: set[str] = set()
    for path in sorted((folder / "search").glob("*.txt")):
        for item in _read(Import(path, HashListFormat.PDQ)):
            if item.entry.id not in seen:
                seen.add(item.entry.id)
                yield replace(item, entry=replace(item.entry, source=path.name))


def _read(changes: Import) -> Iterator[Footage]:
    for change in changes:
        assert isinstance(change, Footage)
        yield change


def _random(count: int) -> Iterable[Footage]:
    octets = np.random.default_rng(0).bytes(32 * count)
    for start in range(0, len(octets), 32):
        bits = octets[start : start + 32]
        yield Footage(Entry(bits.hex(), EntryKind.IMAGE), (HashRun(bits),))
