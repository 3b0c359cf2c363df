"""Temporal voting: turns candidates of single frames into a match that counts. Pure.

One frame within the radius proves little. A live stream has no end, so a share of the whole query is no
measure either. A match counts when k samples within a span of media time show the same entry. Samples between
them that show something else do not matter: a publisher who shows footage in pieces would only have to show
enough of them. The samples of a known video must also be in its order: bank time is a linear function of live
time, with a slope between a half and two. Media time comes in with the samples.

A frame that stands still votes once for a video, however long it stands. A slide, a test card or a wall
that a known video shows, too, is no showing of that video. A known image needs no motion.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.domain import Action, Signal, SignalSource
from edge.errors import InvalidInput
from edge.match.entry import Candidate
from edge.match.pdq.hasher import distance

MIN_SLOPE = 0.5
MAX_SLOPE = 2.0
ANY_SLOPE = 16.0
"""The largest slope where live time is a guess. The smallest is its reciprocal."""
TOLERANCE_MS = 300
"""Most time by which a hit may lie off the line. Footage looks alike for a while, and edits join cuts."""
SPAN_MS = 20_000
"""Media time within which samples vote together, by default."""
MAX_K = 64
MAX_VOTES = 64
"""Most samples with candidates that vote. Older ones are forgotten."""
SAME_VIEW_BITS = 12
"""Two live views at most this many bits apart are the same, whatever moves around them: a slide beside a
speaker. People who move before a fixed camera move a view by more within a few samples."""
NEAR_MS = 1_000
"""Media time after a sample with candidates during which known footage counts as near."""


@dataclass(frozen=True, slots=True)
class _Line:
    """Bank time as a linear function of live time, and the candidates on that line, oldest first."""

    slope: float
    offset_ms: float
    """Bank time minus slope × live time."""
    on: tuple[Candidate, ...]
    span_ms: int
    """Media time from the first of them to the newest."""


class MatchVote:
    """The vote of one stream."""

    def __init__(self, k: int = 3, span_ms: int = SPAN_MS, *, tolerance_ms: int = TOLERANCE_MS) -> None:
        if not 1 <= k <= MAX_K:
            raise InvalidInput("match.k", f"wants 1 <= k <= {MAX_K}, got k={k}")
        self._k = k
        self._span_ms = span_ms
        self._tolerance_ms = tolerance_ms
        self._voters: deque[tuple[int, tuple[Candidate, ...]]] = deque(maxlen=MAX_VOTES)
        """Samples that voted, oldest first."""
        self._newest_ms: int | None = None

    @property
    def near(self) -> bool:
        """Whether a sample of the last ``NEAR_MS`` voted. Such a stream is worth denser samples."""
        if self._newest_ms is None or not self._voters:
            return False
        return self._newest_ms - self._voters[-1][0] <= NEAR_MS

    def reset(self) -> None:
        """Forgets all samples, as after a gap or a new publish."""
        self._voters.clear()
        self._newest_ms = None

    def add_candidates(
        self, pts_ms: int, candidates: Sequence[Candidate], *, any_speed: bool = False
    ) -> tuple[Signal, ...]:
        """Takes the candidates of the newest sample. Returns the matches that count now, nearest first.

        ``any_speed`` says that media time is a guess, so that it may run at any speed against the footage's.

        Media time that goes back starts the vote anew. Only an entry in the newest sample can count. The
        signal's ``detail`` is text for people: ``bank=… hits=3 within_ms=… offset_ms=… slope=… distances=…
        variant=… severity=…``, plus ``at_most=flag`` where the entry may not cut.
        """
        if self._newest_ms is not None and pts_ms < self._newest_ms:
            self.reset()
        self._newest_ms = pts_ms
        while self._voters and pts_ms - self._voters[0][0] > self._span_ms:
            self._voters.popleft()
        candidates = self._moved(candidates)
        if candidates:
            self._voters.append((pts_ms, tuple(candidates)))
        signals = []
        for key in dict.fromkeys((c.bank, c.entry) for c in candidates):
            line = self._line(*key, any_speed=any_speed)
            if line is not None and len(line.on) >= self._k:
                signals.append(self._signal(pts_ms, line))
        return tuple(sorted(signals, key=lambda s: -s.score))

    def _moved(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Leaves out what shows a frame of a video that has voted already."""
        voted: dict[tuple[str, str], set[tuple[int | None, bytes]]] = {}
        for _, earlier in self._voters:
            for c in earlier:
                voted.setdefault((c.bank, c.entry), set()).add((c.picture, c.view))
        stands: dict[tuple[str, str, bytes], bool] = {}
        moved = []
        for c in candidates:
            key = c.bank, c.entry, c.view
            if key not in stands:
                stands[key] = any(_is_same(c, *known) for known in voted.get((c.bank, c.entry), ()))
            if c.timestamp_ms is None or not stands[key]:
                moved.append(c)
        return moved

    def _line(self, bank: str, entry: str, *, any_speed: bool) -> _Line | None:
        """Returns the line through the newest sample with the most samples on it."""
        hits = [
            (number, pts, c)
            for number, (pts, candidates) in enumerate(self._voters)
            for c in candidates
            if c.bank == bank and c.entry == entry
        ]
        if len({number for number, _, _ in hits}) < self._k:
            return None
        if any(c.timestamp_ms is None for _, _, c in hits):
            nearest = {number: c for number, _, c in sorted(hits, key=lambda h: -h[2].distance)}
            span_ms = hits[-1][1] - hits[0][1]
            return _Line(1.0, 0.0, tuple(nearest[number] for number in sorted(nearest)), span_ms)
        least, most = (1 / ANY_SLOPE, ANY_SLOPE) if any_speed else (MIN_SLOPE, MAX_SLOPE)
        return self._best_line(hits, least, most)

    def _best_line(self, hits: list[tuple[int, int, Candidate]], least: float, most: float) -> _Line:
        """Tries a line through every pair of a newest and an older hit. All hits vote on each line."""
        number = np.array([n for n, _, _ in hits])
        live = np.array([pts for _, pts, _ in hits], dtype=np.float64)
        first = np.array([c.timestamp_ms or 0 for _, _, c in hits], dtype=np.float64)
        last = first + np.array([c.span_ms for _, _, c in hits], dtype=np.float64)
        middle = (first + last) / 2
        newest = np.flatnonzero(number == number.max())
        back = live - live[newest[0]]
        older = back < 0
        slopes = [np.ones((len(newest), 1))]
        if older.any():
            slopes.append(np.clip((middle[older] - middle[newest, None]) / back[older], least, most))
        slope = np.hstack(slopes)
        expected = middle[newest, None, None] + slope[:, :, None] * back
        off = np.maximum(np.maximum(first - expected, expected - last), 0)
        on = off <= self._tolerance_ms
        votes = np.zeros(slope.shape, dtype=int)
        for n in np.unique(number):
            votes += on[:, :, number == n].any(axis=2)
        # The most samples win. Ties go to the line that fits well and is nearest to normal speed.
        strayed = np.where(on, off, 0).sum(axis=2) / (1 + on.sum(axis=2) * self._tolerance_ms)
        rank = votes - (strayed + np.abs(np.log2(slope))) / 2.1
        at, which = np.unravel_index(int(rank.argmax()), rank.shape)
        kept: dict[int, Candidate] = {}
        for i in np.flatnonzero(on[at, which]):
            c = hits[i][2]
            if number[i] not in kept or c.distance < kept[number[i]].distance:
                kept[number[i]] = c
        best = float(slope[at, which])
        offset = float(middle[newest[at]] - best * live[newest[0]])
        span_ms = round(float(-back[on[at, which]].min()))
        return _Line(best, offset, tuple(kept[n] for n in sorted(kept)), span_ms)

    def _signal(self, pts_ms: int, line: _Line) -> Signal:
        newest = line.on[-1]
        nearest = min(c.distance for c in line.on)
        detail = [f"bank={newest.bank}", f"hits={len(line.on)}", f"within_ms={line.span_ms}"]
        if newest.timestamp_ms is not None:
            detail += [f"offset_ms={line.offset_ms:.0f}", f"slope={line.slope:.2f}"]
        detail.append(f"distances={','.join(str(c.distance) for c in line.on)}")
        detail += [f"variant={newest.variant}", f"severity={newest.severity.value}"]
        at_most = newest.purpose.at_most(quarantined=newest.quarantined)
        if at_most is not Action.CUT:
            detail.append(f"at_most={at_most.value}")
        return Signal(
            source=SignalSource.MATCH,
            category=newest.label,
            pts_ms=pts_ms,
            score=1 - nearest / 256,
            distance=nearest,
            entry=newest.entry,
            detail=" ".join(detail),
            bank=newest.bank,
            severity=newest.severity,
            at_most=at_most,
            begin_pts_ms=pts_ms - line.span_ms,
            variant=newest.variant,
        )


def _is_same(candidate: Candidate, picture: int | None, view: bytes) -> bool:
    """Whether a candidate is of the same live frame, or of the same view in it."""
    if picture is not None and candidate.picture == picture:
        return True
    return bool(view and candidate.view) and distance(view, candidate.view) <= SAME_VIEW_BITS
