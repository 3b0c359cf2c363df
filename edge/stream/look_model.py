"""What looks cost, and how soon they find what is hidden between keyframes. Pure.

The model is that of ``look_budget``: one look in each stretch of skipped media, at a time drawn evenly, and a
publisher who knows everything but the draws and hides from the samples at keyframes. The costs were measured
with a talking head at 720p, 30 fps and 3.5 Mbit/s; only their ratios count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.policy import Policy
from edge.stream.look_budget import Risk, interval_ms
from edge.stream.sampling import LOOK_GOP_MS

KEYFRAME_MS: Final = 14.0
FRAME_MS: Final = 2.0
"""CPU for decoding a frame that is no keyframe."""
JUDGE_MS: Final = 11.0
"""CPU for a sample: scaling, detector, hash, lookups, decision."""
SEND_MS: Final = 0.25
"""CPU for passing an access unit to its worker."""
REST_MS: Final = 9.0
"""CPU a second for all else: calls, reports, and short alerts after jumps of the bitrate."""
_FPS: Final = 30


@dataclass(frozen=True, slots=True)
class TimeToCut:
    """When footage is cut that is on screen for a share of the time, from the first time it is shown."""

    share: float
    p50_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Explained:
    """What looks do at one risk."""

    risk: Risk
    every_s: float | None
    """Time between two looks. None: there are none."""
    cost: float
    """CPU of a calm stream beyond that without looks, as a share of it."""
    found: tuple[TimeToCut, ...]
    """Nothing where there are no looks: then footage between keyframes is not found."""


def explain_looks(
    policy: Policy, shares: tuple[float, ...] = (0.5, 0.25), gop_ms: int = LOOK_GOP_MS
) -> tuple[Explained, ...]:
    """Returns what the policy's looks cost and find in a stream with GOPs of ``gop_ms``, by risk."""
    return tuple(_explained(policy, risk, shares, gop_ms) for risk in Risk)


def _explained(policy: Policy, risk: Risk, shares: tuple[float, ...], gop_ms: int) -> Explained:
    burst_ms = min(policy.tiers.burst_ms, gop_ms)
    skipped = 1 - burst_ms / gop_ms
    stretch_ms = interval_ms(policy.looks, risk) * min(max(gop_ms / LOOK_GOP_MS, 0.5), 1.0)
    if not stretch_ms or skipped <= 0 or gop_ms > policy.tiers.blind_limit_ms:
        return Explained(risk, None, 0.0, ())
    every_s = stretch_ms / skipped / 1000
    burst_frames = burst_ms * _FPS / 1000
    gop_cost = KEYFRAME_MS + burst_frames * FRAME_MS + JUDGE_MS + (1 + burst_frames) * SEND_MS
    look_cost = (gop_ms - burst_ms) / 2 * _FPS / 1000 * (FRAME_MS + SEND_MS) + JUDGE_MS
    found = tuple(
        TimeToCut(
            share, *(_found_s(policy, share, share / skipped, every_s, late) for late in (0.5, 0.05, 0.01))
        )
        for share in shares
    )
    return Explained(risk, every_s, look_cost / every_s / (gop_cost / gop_ms * 1000 + REST_MS), found)


def _found_s(policy: Policy, share: float, hit: float, every_s: float, late: float) -> float:
    """Returns the time after which a share ``late`` of such streams is not cut yet. ``hit``: share of the
    skipped media on screen."""
    escaped, looks = 1.0, 0
    hit = min(hit, 1.0)
    while escaped * (1 - hit) > late:
        escaped *= 1 - hit
        looks += 1
    settled_s = (policy.match.k - 1) * policy.tiers.alert_interval_ms / share / 1000
    return (looks + (1 - late / escaped) / hit) * every_s + settled_s
