"""Chooses which frames of a confirmed incident's clip become known footage. Pure.

Whoever shows a banked frame is cut. So a frame must be of the stretch that the verdict rests on, must move,
and must be nothing that was seen elsewhere and passed.
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

SEEN_BITS = MAX_RADIUS + 9
"""A hash at most this many bits from a calm frame is left out. The next encoder moves the frame by some bits,
and it must be out of the radius still."""
_UNCHANGED = (Variant.ORIGINAL, Variant.INSIDE)

Seen = Callable[[HashRun], bool]
"""Whether something like the hash was seen."""


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
    elsewhere: Seen,
    benign: Seen,
    in_stream: Seen = lambda run: False,
) -> ChosenFrames:
    """Chooses among the hashes of a whole clip, in order of time, each frame with its own.

    ``stretch_ms`` is the first and last moment that may be banked. What the clip shows before it, up to
    ``calm_until_ms``, was calm. At ``still_ms`` the picture stands still. The others say whether another
    stream of the last day, a benign bank or an earlier calm part of this stream showed something like a hash.
    A variant that was seen is left out alone.
    """
    begin_ms, end_ms = stretch_ms
    still = frozenset(still_ms)
    frames = [(at, tuple(runs)) for at, runs in groupby(hashes, key=lambda run: run.start_ms)]
    calm = codes_of(
        b"".join(
            run.bits
            for at, runs in frames
            for run in runs
            if at < begin_ms and at <= calm_until_ms and run.quality >= MIN_QUALITY
        )
    )

    def reason_against(at: int, runs: Sequence[HashRun]) -> LeftOutReason | None:
        plain = [run for run in runs if run.variant in _UNCHANGED]
        if not plain:
            return LeftOutReason.LOW_QUALITY
        if at in still:
            return LeftOutReason.STILL
        if any(_is_near(run, calm) or in_stream(run) for run in plain):
            return LeftOutReason.SEEN_IN_STREAM
        if any(map(elsewhere, plain)):
            return LeftOutReason.SEEN_ELSEWHERE
        return LeftOutReason.BENIGN if any(map(benign, plain)) else None

    kept: list[HashRun] = []
    left_out: Counter[LeftOutReason] = Counter()
    banked = 0
    for at, all_runs in frames:
        if not begin_ms <= at <= end_ms:
            continue
        runs = [run for run in all_runs if run.quality >= MIN_QUALITY]
        reason = reason_against(at, runs)
        if reason is not None:
            left_out[reason] += 1
            continue
        banked += 1
        kept += [
            run
            for run in runs
            if run.variant in _UNCHANGED
            or not (_is_near(run, calm) or in_stream(run) or elsewhere(run) or benign(run))
        ]
    return ChosenFrames(tuple(kept), banked, dict(left_out))


def _is_near(run: HashRun, codes: Codes) -> bool:
    return bool(len(codes)) and bool((distances(codes, codes_of(run.bits)[0]) <= SEEN_BITS).any())
