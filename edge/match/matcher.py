"""Searches every bank of a directory for the known footage that a frame may show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from edge.clock import Clock, SystemClock
from edge.errors import InvalidInput
from edge.match.audio.chromaprint import Items
from edge.match.bank.bank_set import MAX_CANDIDATES, BankSet, Stamp, stamp_of
from edge.match.entry import AudioCandidate, BankPurpose, Candidate, Variant, is_found
from edge.match.evasion.filmed_screen import Quad
from edge.match.evasion.letterbox import STRAY_OVERLAY, Rectangle, inside_border
from edge.match.evasion.picture_in_picture import panels
from edge.match.evasion.variants import cropped
from edge.match.fingerprint import MIN_QUALITY, is_self_mirrored
from edge.match.index.hamming import MAX_RADIUS, codes_of
from edge.match.pdq.hasher import LIMITED_RANGE, MIN_SIDE, PdqHash, PdqHasher

MAX_PER_ENTRY = 8
"""Most places of one entry that one frame returns. Footage repeats itself."""
MIN_WINDOWED = 64
"""Smallest side of a frame that is searched in parts."""
WINDOW_SIDE = 0.2
"""Share of the width that is cut off such a part."""


class Matcher:
    """Searches the banks of a directory. Each worker process has one. Not thread-safe."""

    def __init__(
        self,
        directory: Path | None,
        *,
        radius: int = MAX_RADIUS,
        min_quality: int = MIN_QUALITY,
        verify: bool = True,
        clock: Clock | None = None,
    ) -> None:
        """``verify`` False: somebody has checked the banks of this directory byte by byte."""
        if not 0 <= radius <= MAX_RADIUS:
            raise InvalidInput("match.radius", f"{radius} is not between 0 and {MAX_RADIUS}")
        self.radius = radius
        self.min_quality = min_quality
        self.banks = BankSet()
        """The banks that queries search. A reader in another thread prepares the next set, which is swapped
        in here."""
        self.cut_short: Counter[str] = Counter()
        """Number of searches that hit a bound, by bank. Such a search keeps the nearest hits only."""
        self.directory = directory
        self._verify = verify
        self._clock = clock or SystemClock()
        self._hasher = PdqHasher(contrast=LIMITED_RANGE)

    @classmethod
    def open(
        cls,
        directory: Path | None,
        *,
        radius: int = MAX_RADIUS,
        min_quality: int = MIN_QUALITY,
        strict: bool = True,
        verify: bool = True,
        clock: Clock | None = None,
    ) -> Self:
        """Opens all banks of a directory. With None or an empty directory nothing ever matches.

        Raises BankError when a bank is torn, foreign, damaged or of another version. Without ``strict``
        such a bank is left out and listed in ``banks.unreadable``.
        """
        matcher = cls(directory, radius=radius, min_quality=min_quality, verify=verify, clock=clock)
        matcher.banks = matcher.read_anew(stamp_of(directory), strict=strict)
        return matcher

    def read_anew(self, stamp: Stamp, *, strict: bool) -> BankSet:
        """Returns the banks of the directory as they are now, to be swapped in. Any thread may call it."""
        return self.banks.read_anew(self.directory, stamp, strict=strict, verify=self._verify)

    def reload(self) -> bool:
        """Loads the changes of the directory, all or none. Returns whether there were any.

        Costs one ``stat`` per bank when nothing changed. On BankError the banks in use stay in use, and the
        next call tries again.
        """
        stamp = stamp_of(self.directory)
        if stamp == self.banks.stamp:
            return False
        self.banks = self.read_anew(stamp, strict=True)
        return True

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of the banks in use. Empty without banks."""
        return self.banks.digest

    @property
    def hashes(self) -> int:
        """Number of hashes in all banks."""
        return self.banks.hashes

    def query(
        self, luma: npt.NDArray[np.uint8], *, may_rescan: Callable[[PdqHash], bool] | None = None
    ) -> tuple[Candidate, ...]:
        """Returns the known footage that a frame may show, nearest first, at most 64 candidates. Those that
        are only counted come last.

        ``luma`` is uint8 ``(h, w)``. The query looks up the frame, the frame inside its plain border, and
        both mirrored. When nothing is found, it calls ``may_rescan`` with the frame's hash. If that returns
        True, or there is no ``may_rescan``, it rescans the frame:

        - the frame inside a border that an overlay covers in part;
        - the frame without its left fifth and without its right fifth, if a bank has these variants. One of
          them is free of an overlay at the side;
        - frames in the frame.

        Views with a quality under ``min_quality`` are left out. So are parts that are their own mirror
        image: the fields of a board are no footage.
        """
        if not self.banks.kinds:
            return ()
        if min(luma.shape) < MIN_SIDE:
            return ()
        rows = self._hasher.rows(luma)
        frame = self._hasher.hash_rows(rows)
        found = self._look_up("", frame)
        border = inside_border(luma)
        if border is not None:
            found += self._look_up("inside", self._hasher.hash(border.of(luma)))
        unknown = not is_found(found)
        if unknown and (may_rescan is None or may_rescan(frame)) and min(luma.shape) >= MIN_WINDOWED:
            found += self._rescan(luma, rows, border)
        return _bounded(_without_benign(found))

    def _rescan(
        self, luma: npt.NDArray[np.uint8], rows: npt.NDArray[np.float32], border: Rectangle | None
    ) -> list[Candidate]:
        """Rescans an unknown frame, step by step. The first step that finds something ends the rescan.
        What is only counted ends nothing."""
        found: list[Candidate] = []
        width = luma.shape[1]
        wider = inside_border(luma, STRAY_OVERLAY)
        if wider is not None and wider != border:
            found = self._look_up("inside", self._hasher.hash(wider.of(luma)))
            if is_found(found):
                return found
        if self.banks.kinds.issuperset((Variant.LEFT_20, Variant.RIGHT_20)):
            cut = round(WINDOW_SIDE * width)
            found = self._look_up("left_20", self._hasher.hash_rows(rows[cut:]))
            found += self._look_up("right_20", self._hasher.hash_rows(rows[: width - cut]))
            if not is_found(found) and (border is not None or wider is not None):
                for how, window in _bordered_windows(luma, border):
                    found += self._look_up(how, self._hasher.hash(window))
            if is_found(found):
                return found
        for panel in panels(luma):
            picture = panel.of(luma)
            found += self._look_up("panel", self._hasher.hash(picture))
            if not is_found(found) and (bar := inside_border(picture)) is not None:
                found += self._look_up("panel+inside", self._hasher.hash(bar.of(picture)))
            if is_found(found):
                break
        return found

    def query_screens(self, luma: npt.NDArray[np.uint8], screens: Iterable[Quad]) -> tuple[Candidate, ...]:
        """Returns the known footage on the filmed screens of a frame, each flattened to a front view."""
        found: list[Candidate] = []
        for quad in screens if self.banks.kinds else ():
            found += self._look_up("screen", self._hasher.hash(quad.flat(luma)))
            if is_found(found):
                break
        return _bounded(_without_benign(found))

    def hash_of(self, luma: npt.NDArray[np.uint8]) -> PdqHash:
        """Hashes a frame's luma, uint8 ``(h, w)``."""
        return self._hasher.hash(luma)

    def query_hash(self, found: PdqHash) -> tuple[Candidate, ...]:
        """Returns the known footage for the hash of a frame. It cannot rescan the frame."""
        return _bounded(_without_benign(self._look_up("", found)))

    @property
    def has_audio(self) -> bool:
        """Whether any bank has audio."""
        return self.banks.has_audio

    def query_audio(self, live: Items, new: int) -> tuple[AudioCandidate, ...]:
        """Returns the known audio that ends with one of the newest ``new`` live items.

        ``live`` is uint32 ``(n,)``. Each entry returns its nearest stretch. The nearest entry comes first,
        and those that are only counted last. Benign entries are included.
        """
        found: list[AudioCandidate] = []
        now = self._clock.wall_ms()
        for opened in self.banks.banks:
            if opened.usable(now):
                try:
                    candidates, cut_short = opened.query_audio(live, new)
                except Exception as error:
                    self.search_failed(opened.bank.name, error)
                    continue
                found += candidates
                self.cut_short[opened.bank.name] += cut_short
        best: dict[tuple[str, str], AudioCandidate] = {}
        for c in found:
            known = best.get((c.bank, c.entry))
            if known is None or c.error < known.error:
                best[c.bank, c.entry] = c
        nearest = sorted(best.values(), key=lambda c: (c.purpose is BankPurpose.COUNT, c.error))
        return tuple(nearest[:MAX_CANDIDATES])

    def search_failed(self, bank: str, error: Exception) -> None:
        """Handles an error in the search of one bank. A worker goes on without the bank for this search."""
        raise error

    def _look_up(self, change: str, found: PdqHash) -> list[Candidate]:
        if found.quality < self.min_quality or (change and is_self_mirrored(found)):
            return []
        mirrored = f"{change}+mirror" if change else "mirror"
        queries = ((change, codes_of(found.bits)[0]), (mirrored, codes_of(found.mirrored)[0]))
        now = self._clock.wall_ms()
        found_in: list[Candidate] = []
        for opened in self.banks.banks:
            if opened.usable(now):
                for how, code in queries:
                    try:
                        candidates, cut_short = opened.candidates(code, how, self.radius, found)
                    except Exception as error:
                        self.search_failed(opened.bank.name, error)
                        continue
                    found_in += candidates
                    self.cut_short[opened.bank.name] += cut_short
        return found_in


def _bordered_windows(
    luma: npt.NDArray[np.uint8], border: Rectangle | None
) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    """Yields a frame with a border without its left or right side: first of the whole, then of the inside.

    A window of the whole loses the rest of the border. An overlay may have hidden that border before.
    """
    left, right = (WINDOW_SIDE, 0.0, 0.0, 0.0), (0.0, WINDOW_SIDE, 0.0, 0.0)
    for how, sides in (("left_20", left), ("right_20", right)):
        window = cropped(luma, *sides)
        rest = inside_border(window)
        if rest is not None:
            yield how, rest.of(window)
        if border is not None:
            yield f"inside+{how}", cropped(border.of(luma), *sides)


def _without_benign(candidates: list[Candidate]) -> list[Candidate]:
    """Drops benign candidates, and all candidates that are no nearer than the nearest benign one."""
    benign = min((c.distance for c in candidates if c.purpose is BankPurpose.BENIGN), default=257)
    return [c for c in candidates if c.purpose is not BankPurpose.BENIGN and c.distance < benign]


def _bounded(candidates: list[Candidate]) -> tuple[Candidate, ...]:
    """Returns the nearest candidates. Those that are only counted come last, and crowd out no others."""
    kept: list[Candidate] = []
    places: dict[tuple[str, str], int] = {}
    for candidate in sorted(candidates, key=lambda c: (c.purpose is BankPurpose.COUNT, c.distance)):
        key = (candidate.bank, candidate.entry)
        if places.setdefault(key, 0) < MAX_PER_ENTRY:
            places[key] += 1
            kept.append(candidate)
            if len(kept) == MAX_CANDIDATES:
                break
    return tuple(kept)
