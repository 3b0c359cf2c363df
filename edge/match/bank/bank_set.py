"""The banks of a directory as they were at one moment. They are read whole and then never change."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from edge.errors import BankError, GateError
from edge.match.audio.chromaprint import Items
from edge.match.bank.bank import Bank
from edge.match.bank.guards import GUARDS_FILE, EntryStanding, Facts, Guards, read_guards, standing
from edge.match.bank.manifest import SUFFIX, bank_files
from edge.match.bank.segment import Reference, Segment
from edge.match.entry import AudioCandidate, Candidate, Entry, EntryKind, Variant
from edge.match.index.hamming import Codes
from edge.match.pdq.hasher import PdqHash

MAX_CANDIDATES = 64
"""Most references of one code, and most candidates of one frame."""
MAX_LOOKED_AT = 512
"""Most codes within the radius whose entries are read, nearest first."""

Stamp = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and mtime of each manifest. It differs after a bank has changed."""


class OpenBank:
    """A bank that is ready for queries, with the entries that its manifest switches off."""

    def __init__(self, bank: Bank, guards: Guards | None = None) -> None:
        """``guards`` None: its entries may do what the bank is for."""
        self.bank = bank
        self.guards = guards
        self._now_ms = 0
        disabled = frozenset(bank.manifest.disabled)
        self._off = tuple(removed | disabled for removed in bank.removed)
        self._quarantined = frozenset(bank.manifest.quarantined)

    def usable(self, wall_ms: int) -> bool:
        """Whether it may be searched at a time. The probation of its entries is counted by the last one."""
        self._now_ms = wall_ms
        info = self.bank.info
        return info.enabled and (info.expires_ms is None or wall_ms < info.expires_ms)

    def candidates(
        self, code: Codes, change: str, radius: int, live: PdqHash
    ) -> tuple[list[Candidate], bool]:
        """Returns the candidates within ``radius`` of one code (4,), and whether a bound was hit. ``live`` is
        the hash of the live view that the code is of."""
        found: list[Candidate] = []
        cut_short = False
        for segment, off in zip(self.bank.segments, self._off, strict=True):
            hits = segment.search(code, radius)
            cut_short = cut_short or hits.truncated or len(hits.positions) > MAX_LOOKED_AT
            nearest = hits.positions[:MAX_LOOKED_AT].tolist(), hits.distances[:MAX_LOOKED_AT].tolist()
            for position, bits in zip(*nearest, strict=True):
                references = list(islice(self._references(segment, off, position), MAX_CANDIDATES + 1))
                cut_short = cut_short or len(references) > MAX_CANDIDATES
                found += [
                    self._candidate(segment, r, bits, change, live) for r in references[:MAX_CANDIDATES]
                ]
        return found, cut_short

    def candidates_at(self, number: int, position: int, bits: int, live: PdqHash) -> list[Candidate]:
        """Returns the candidates of the code at a place of a segment, which is ``bits`` from a live view."""
        segment = self.bank.segments[number]
        references = self._references(segment, self._off[number], position)
        return [self._candidate(segment, r, bits, "", live) for r in islice(references, MAX_CANDIDATES)]

    def standing_of(self, entry: Entry, segment: Segment) -> EntryStanding:
        """Returns what an entry may ask for."""
        info, quarantined = self.bank.info, entry.id in self._quarantined
        if self.guards is None:
            return standing(Facts(info.opinion, quarantined))
        facts = self.guards.facts(
            self.bank.name, info, entry, segment.digest, self._now_ms, quarantined=quarantined
        )
        return standing(facts)

    def _references(self, segment: Segment, off: frozenset[str], position: int) -> Iterator[Reference]:
        return (r for r in segment.references(position) if self._in_use(r.entry.id, off))

    def query_audio(self, live: Items, new: int) -> tuple[list[AudioCandidate], bool]:
        """Returns the known audio that ends with one of the newest ``new`` live items, and whether a bound
        was hit."""
        found: list[AudioCandidate] = []
        cut_short = False
        for segment, off in zip(self.bank.segments, self._off, strict=True):
            if segment.audio is None:
                continue
            hits, bound = segment.audio.search(live, new)
            cut_short = cut_short or bound
            for number, at_ms, hit in hits:
                entry = segment.entry(number)
                if self._in_use(entry.id, off):
                    found.append(
                        AudioCandidate(
                            entry=entry.id,
                            bank=self.bank.name,
                            label=entry.label or self.bank.info.label,
                            end=hit.end,
                            timestamp_ms=at_ms,
                            items=hit.items,
                            error=hit.error,
                            slope=hit.slope,
                            purpose=self.standing_of(entry, segment).of(self.bank.info.opinion),
                            severity=self.bank.info.severity,
                            quarantined=entry.id in self._quarantined,
                        )
                    )
        return found, cut_short

    def _in_use(self, entry_id: str, off: frozenset[str]) -> bool:
        ratio = self.bank.info.enabled_ratio
        return entry_id not in off and (ratio >= 1.0 or sampling_fraction(entry_id) < ratio)

    def _candidate(
        self, segment: Segment, reference: Reference, bits: int, change: str, live: PdqHash
    ) -> Candidate:
        info, entry, run = self.bank.info, reference.entry, reference.run
        return Candidate(
            entry=entry.id,
            bank=self.bank.name,
            label=entry.label or info.label,
            distance=bits,
            timestamp_ms=run.start_ms if entry.kind is EntryKind.VIDEO else None,
            span_ms=run.span_ms,
            variant=f"{run.variant.word}+{change}" if change else run.variant.word,
            purpose=self.standing_of(entry, segment).of(info.opinion),
            severity=info.severity,
            quality=live.quality,
            quarantined=entry.id in self._quarantined,
            view=live.bits,
        )


@dataclass(frozen=True, slots=True)
class BankSet:
    """All banks of a directory."""

    banks: tuple[OpenBank, ...] = ()
    stamp: Stamp = ()
    digest: str = ""
    """SHA-256 over the digests of the banks. Empty without banks."""
    kinds: frozenset[Variant] = frozenset()
    """Variants that the banks contain."""
    unreadable: tuple[str, ...] = ()
    """Errors of banks that are left out or still in use in their old state. One text per bank, or one for
    the directory."""

    def bank(self, name: str) -> OpenBank | None:
        return next((opened for opened in self.banks if opened.bank.name == name), None)

    @property
    def hashes(self) -> int:
        return sum(opened.bank.manifest.hashes for opened in self.banks)

    @property
    def has_audio(self) -> bool:
        """Whether any entry has audio."""
        return any(s.audio is not None for opened in self.banks for s in opened.bank.segments)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(opened.bank.name for opened in self.banks)

    def read_anew(
        self, directory: Path | None, stamp: Stamp, *, strict: bool, verify: bool = True
    ) -> BankSet:
        """Reads the directory as it is now. Segments that are already open are not read again.

        ``stamp`` is taken before the read, so that the next call sees changes during it. New segments are
        read and checked byte by byte, about a second per GB, unless ``verify`` is False: then somebody has
        checked them, and only headers and lengths are checked.

        A bank that cannot be read must not affect the others. It stays in its old state, or is left out if
        it is new. All banks stay as they were when the directory cannot be read, or is gone while its banks
        are in use. ``strict`` raises BankError instead.
        """
        try:
            paths = self._paths(directory)
        except BankError as error:
            if strict:
                raise
            return replace(self, stamp=stamp, unreadable=(str(error),))
        known = [segment for opened in self.banks for segment in opened.bank.segments]
        before = {opened.bank.path.name: opened for opened in self.banks}
        guards = None if directory is None else read_guards(directory)
        opened: list[OpenBank] = []
        unreadable: list[str] = []
        for path in paths:
            try:
                opened.append(OpenBank(Bank.open(path, verify=verify, known=known), guards))
            except GateError as error:
                if strict:
                    raise
                stays = before.get(path.name)
                if stays is not None and not all(segment.is_whole() for segment in stays.bank.segments):
                    stays = None
                what = "left out" if stays is None else "in use as it was read last"
                unreadable.append(f"{error}; {path.name.removesuffix(SUFFIX)} is {what}")
                opened += [] if stays is None else [stays]
        return BankSet(
            tuple(opened),
            stamp,
            hashlib.sha256("".join(b.bank.digest for b in opened).encode()).hexdigest() if opened else "",
            frozenset(v for b in opened for segment in b.bank.segments for v in segment.variants),
            tuple(unreadable),
        )

    def _paths(self, directory: Path | None) -> list[Path]:
        paths = bank_files(directory) if directory is not None else []
        if self.banks and not paths and directory is not None and not directory.is_dir():
            raise BankError(f"{directory}: the folder of banks is gone")
        return paths


def stamp_of(directory: Path | None) -> Stamp:
    """Returns the stamp of a directory for one ``stat`` per bank. Never raises: an error is part of the
    stamp."""
    if directory is None:
        return ()
    stamps = []
    try:
        paths = bank_files(directory)
    except BankError as error:
        return ((str(error), 0, 0, 0),)
    for path in (*paths, directory / GUARDS_FILE):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            stamps.append((path.name, 0, 0, -(error.errno or 1)))
            continue
        stamps.append((path.name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(stamps)


def sampling_fraction(entry_id: str) -> float:
    """Returns a number in [0, 1) that depends only on the id."""
    return int.from_bytes(hashlib.blake2b(entry_id.encode(), digest_size=6).digest()) / 2**48
