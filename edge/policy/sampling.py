"""The parts of the policy that say how densely streams are sampled, and what that may cost."""

from __future__ import annotations

from pydantic import Field

from edge.domain import Action
from edge.policy.part import DAY_MS, PolicyPart


class TierPolicy(PolicyPart):
    """How densely a stream is sampled in the calm and the alert tier."""

    burst_ms: int = Field(
        200, ge=50, le=2000, description="Calm tier: media decoded after each keyframe, milliseconds."
    )
    alert_interval_ms: int = Field(200, ge=20, le=2000, description="Alert tier: media time between samples.")
    alert_hold_ms: int = Field(
        6000,
        ge=0,
        le=600_000,
        description="How long the alert tier lasts after scores at FLAG level or near known footage, in "
        "media time.",
    )
    blind_limit_ms: int = Field(
        2500, ge=100, le=60_000, description="A GOP longer than this is also sampled inside."
    )
    probe_ms: int = Field(
        350,
        ge=50,
        le=60_000,
        description="How long the alert tier lasts after a raised sample, in media time. Further raised "
        "samples extend it.",
    )
    start_alert_ms: int = Field(
        3000,
        ge=0,
        le=600_000,
        description="How long a new stream starts in the alert tier, in media time, if the worker has "
        "capacity.",
    )
    struck_alert_ms: int = Field(
        60_000,
        ge=0,
        le=3_600_000,
        description="How long a stream of a broadcaster with counting strikes starts in the alert tier, in "
        "media time, whatever the worker's load; 0: like any other stream.",
    )
    bitrate_jump: float = Field(
        2.5,
        ge=0.0,
        le=100.0,
        description="Calm tier: sample densely when access units grow by this factor, or one exceeds all "
        "recent ones by it; 0: never.",
    )


class LookPolicy(PolicyPart):
    """How often the gate looks into the GOPs of a calm stream, at random times between its keyframes.

    A look decodes from the keyframe on. `edge-gate policy explain` shows what it costs and how soon it finds.
    """

    low_ms: int = Field(
        9_000,
        ge=0,
        le=600_000,
        description="Skipped media for which there is one look in a stream of low risk with GOPs of two "
        "seconds; in shorter GOPs, where a look costs less, down to half as much; 0: none.",
    )
    raised_ms: int = Field(
        5_000,
        ge=0,
        le=600_000,
        description="The same at raised risk: the stream is younger than new_ms, its broadcaster has "
        "counting strikes, it has many viewers, or its bitrate hides what it shows.",
    )
    high_ms: int = Field(
        2_000,
        ge=0,
        le=600_000,
        description="The same at high risk: the broadcaster is new, known footage was near, or there is a "
        "crisis.",
    )
    new_ms: int = Field(
        300_000,
        ge=0,
        le=86_400_000,
        description="Media for which a stream is young, and for which a broadcaster whom this gate has not "
        "watched is new.",
    )
    trusted_ms: int = Field(
        7_200_000,
        ge=0,
        le=DAY_MS,
        description="Clean media from which a bitrate that hides what it shows no longer raises the risk.",
    )
    viewers: int = Field(
        1_000,
        ge=0,
        le=1_000_000_000,
        description="Viewers from which the risk is raised, if the server says how many there are; 0: never.",
    )
    crisis: bool = Field(
        False, description="Every stream is of high risk. For the time of an attack that is shown live."
    )


class DecodingPolicy(PolicyPart):
    """What watching one stream may cost. Its publisher chooses the cost: frame size, frame rate, codec."""

    share: float = Field(
        0.5,
        ge=0.01,
        le=1.0,
        description="Share of a core that watching one stream may take. A stream over it is sampled less, "
        "and goes to the worker for heavy streams (`workers.heavy`).",
    )
    window_ms: int = Field(
        3000, ge=500, le=600_000, description="Time over which that share is a mean, milliseconds."
    )
    limit_ms: int = Field(
        10_000,
        ge=1000,
        le=600_000,
        description="How long next to nothing of such a stream can be judged before `action` applies, "
        "milliseconds.",
    )
    action: Action = Field(
        Action.CUT,
        description="Action then: pass, flag, or cut without a strike.",
    )
