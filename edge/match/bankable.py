"""Chooses which frames of a confirmed incident's clip become known footage. Pure.

Whoever shows a banked frame is cut. So a frame must be of the stretch that the verdict rests on, must move,
and must be nothing that was seen elsewhere and passed.

Of what was seen elsewhere a few frames are remembered, and the hash of moving footage has nothing in
common with the hash of a fifth of a second later. So a frame that was seen speaks for those beside it, as far
as nobody looked there. In a calm part of the clip every frame is known, and each speaks for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from edge.banking import LeftOutReason
from edge.match.entry import HashRun, Variant
from edge.match.fingerprint import MIN_QUALITY
from edge.match.index.hamming import MAX_RADIUS, Codes, codes_of, distances
from edge.match.recent_footage import MOST_UNSEEN_MS

SEEN_BITS = MAX_RADIUS + 9
"""A hash at most this many bits from a calm frame is left out. The next encoder moves the frame by some bits,
and it must be out of the radius still."""
BETWEEN_MS = 2000
"""Longest time between two moments that were seen which counts as seen, too."""
_UNCHANGED = (Variant.ORIGINAL, Variant.INSIDE)

Seen = Callable[[HashRun], bool]
"""Whether something like the hash was seen."""
SeenAround = Callable[[HashRun], tuple[int, int] | None]
"""For how long before and after the hash nobody looked at what showed something like it, in milliseconds.
None: nothing showed it."""


@dataclass(frozen=True, slots=True)
class ChosenFrames:
    """What of a clip becomes known footage."""

    hashes: tuple[HashRun, ...]
    frames: int
    left_out: Mapping[LeftOutReason, int]
    """Frames of the stretch that were left out, by the first reason that holds."""


def choose_frames(
    hashes: Sequence[HashRun],
    stretch_ms: tuple[int, int],
    calm_until_ms: int,
    *,
    still_ms: Sequence[int] = (),
    elsewhere: SeenAround,
    benign: Seen,
    in_stream: SeenAround = lambda run: None,
) -> ChosenFrames:
    """Chooses among the hashes of a whole clip, in order of time, each frame with its own.

    ``stretch_ms`` is the first and last moment that may be banked. What the clip shows before it, up to
    ``calm_until_ms``, was calm. At ``still_ms`` the frame stands still. The others say whether another
    stream of the last day, a benign bank or an earlier calm part of this stream showed something like a hash.
    A frame that another stream, or an earlier part of this one, showed is left out with the frames around it
    that may have been shown with it. A variant that was seen is left out alone.
    """
    begin_ms, end_ms = stretch_ms
    still = frozenset(still_ms)
    frames = [(at, tuple(runs)) for at, runs in groupby(hashes, key=lambda run: run.start_ms)]
    plain = {
        at: tuple(run for run in runs if run.variant in _UNCHANGED and run.quality >= MIN_QUALITY)
        for at, runs in frames
    }
    calm = codes_of(
        b"".join(
            run.bits
            for at, runs in frames
            for run in runs
            if at < begin_ms and at <= calm_until_ms and run.quality >= MIN_QUALITY
        )
    )
    # A frame that stands still has the same hash for as long as it is shown.
    moving = {
        at: runs
        for at, runs in plain.items()
        if at not in still and begin_ms - MOST_UNSEEN_MS <= at <= end_ms + MOST_UNSEEN_MS
    }
    before, others = _moments_around(moving, in_stream), _moments_around(moving, elsewhere)

    def reason_against(at: int) -> LeftOutReason | None:
        if not plain[at]:
            return LeftOutReason.LOW_QUALITY
        if at in still:
            return LeftOutReason.STILL
        if _holds(before, at) or any(_is_near(run, calm) for run in plain[at]):
            return LeftOutReason.SEEN_IN_STREAM
        if _holds(others, at):
            return LeftOutReason.SEEN_ELSEWHERE
        return LeftOutReason.BENIGN if any(map(benign, plain[at])) else None

    def is_new(run: HashRun) -> bool:
        seen = in_stream(run) is not None or elsewhere(run) is not None
        return not (seen or _is_near(run, calm) or benign(run))

    kept: list[HashRun] = []
    left_out: Counter[LeftOutReason] = Counter()
    banked = 0
    for at, runs in frames:
        if not begin_ms <= at <= end_ms:
            continue
        reason = reason_against(at)
        if reason is not None:
            left_out[reason] += 1
            continue
        banked += 1
        kept += plain[at]
        kept += [
            run
            for run in runs
            if run.variant not in _UNCHANGED and run.quality >= MIN_QUALITY and is_new(run)
        ]
    return ChosenFrames(tuple(kept), banked, dict(left_out))


def _moments_around(frames: Mapping[int, Sequence[HashRun]], seen: SeenAround) -> list[tuple[int, int]]:
    """Returns the moments, first and last, in which frames were seen or may have been.

    What lies between two of them is taken in, because a worse encoder makes some frames hard to know again.
    """
    around = [(at, one) for at, runs in frames.items() for one in map(seen, runs) if one is not None]
    joined: list[tuple[int, int]] = []
    alone = [(at, at) for at, one in around if not any(one)]
    for begin_ms, end_ms in sorted((at - one[0], at + one[1]) for at, one in around if any(one)):
        if joined and begin_ms - joined[-1][1] <= BETWEEN_MS:
            joined[-1] = joined[-1][0], max(joined[-1][1], end_ms)
        else:
            joined.append((begin_ms, end_ms))
    return joined + alone


def _holds(moments: Sequence[tuple[int, int]], at: int) -> bool:
    return any(begin_ms <= at <= end_ms for begin_ms, end_ms in moments)


def _is_near(run: HashRun, codes: Codes) -> bool:
    return bool(len(codes)) and bool((distances(codes, codes_of(run.bits)[0]) <= SEEN_BITS).any())
