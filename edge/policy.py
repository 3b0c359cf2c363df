"""The policy that operators tune: thresholds, belief, tiers, strike ladder and failure modes.

A policy is one whole, validated and versioned document. Its defaults are defined in this file only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from edge.belief_policy import BeliefPolicy
from edge.domain import PERMANENT_MS, Action, Publish, Severity, SignalSource
from edge.errors import InvalidInput, LimitExceeded
from edge.queue_policy import QueuePolicy

MAX_POLICY_BYTES = 64 * 1024
MAX_OVERRIDES = 32
"""Most patterns in each of ``apps`` and ``tenants``."""
TENANT_ATTRIBUTE: Final = "tenant"
"""The attribute of a publish that names its tenant."""
DAY_MS = 86_400_000
MAX_REOPEN_MS: Final = 3_600_000

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Mode(StrEnum):
    """What the gate acts on. It decides and records all of it in every mode."""

    ENFORCE = "enforce"
    """Known footage, and what the detector says."""
    KNOWN_FOOTAGE = "known_footage"
    """Known footage. What the detector says is only recorded."""
    SHADOW = "shadow"
    """Nothing."""

    def acts_on(self, source: SignalSource) -> bool:
        """Whether the gate acts on what this source says."""
        if self is Mode.KNOWN_FOOTAGE:
            return source is not SignalSource.DETECT
        return self is Mode.ENFORCE


_ACTS: Final = {
    Mode.ENFORCE: "the gate acts on known footage and on what the detector says",
    Mode.KNOWN_FOOTAGE: "the gate acts on known footage; what the detector says is only recorded (shadow)",
    Mode.SHADOW: "the gate acts on nothing; all that it finds is only recorded (shadow)",
}


def explain_mode(mode: Mode) -> str:
    """What a mode means, in words for people."""
    return f"mode {mode}: {_ACTS[mode]}"


class FailureMode(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class UnreviewedOutcome(StrEnum):
    """What happens to a block and its strike if nobody reviews it in time."""

    LAPSE = "lapse"
    STAND = "stand"


class SecondLevel(StrEnum):
    """Who decides what a person has escalated."""

    ANYONE = "anyone"
    ANOTHER = "another"
    ADMIN = "admin"


class StrikeScope(StrEnum):
    """Which strikes count together, and where their block holds: in every app, or only in one."""

    ALL = "all"
    APP = "app"


class NameCase(StrEnum):
    """Whether names of broadcasters that differ only in case are different accounts."""

    PRESERVED = "preserved"
    MAPPED = "mapped"


class _PolicyPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_OUTDATED: Final = ("flag_samples", "cut_samples", "cut_span_ms")


class CategoryPolicy(_PolicyPart):
    """Thresholds of one category, and how the scores of windows are gathered before they count.

    `raise_at` and `release_at` are held against single scores. `flag_at` and `cut_at` are held against the
    belief that is gathered from a motion model's windows, and against the scores of other models.
    """

    _outdated: tuple[str, ...] = PrivateAttr(())

    enabled: bool = Field(
        True, description="Whether it is judged. Where no category of a model is, the model costs nothing."
    )
    alone: Action = Field(
        Action.CUT,
        description="The strongest action that it may ask for alone: cut, flag or pass. Rules count it as a "
        "witness all the same.",
    )
    raise_at: Probability = Field(0.2, description="Score from which a stream is sampled densely.")
    flag_at: Probability = Field(0.5, description="Score from which a person should look.")
    cut_at: Probability = Field(0.85, description="Score from which the stream is cut.")
    release_at: Probability = Field(
        0.15,
        description="Score and belief below which a raised or flagged stream is calm again (hysteresis).",
    )
    belief: BeliefPolicy = Field(
        BeliefPolicy(), description="How the scores of a motion model are gathered over seconds."
    )
    false_flags_per_hour: float | None = Field(
        None,
        gt=0.0,
        le=100_000.0,
        allow_inf_nan=False,
        description="Most false flags an hour of calm footage, by `belief.false_alarms`. Where that asks for "
        "more than `flag_at`, it counts instead.",
    )
    severity: Severity = Field(
        Severity.NORMAL, description="severe: a violation is blocked permanently, even the first."
    )
    urgent: bool = Field(
        False, description="Whether what it asks for is urgent: a person should look at once."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.release_at <= self.raise_at <= self.flag_at <= self.cut_at:
            raise ValueError("thresholds must be ordered: release_at <= raise_at <= flag_at <= cut_at")
        return self

    @model_validator(mode="after")
    def _rate_is_measured(self) -> Self:
        if self.false_flags_per_hour is not None and self.belief.false_alarms is None:
            raise ValueError("false_flags_per_hour needs belief.false_alarms, which the model's pack gives")
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _stored_before_belief(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Stored policies of earlier versions count samples in a row over a threshold instead."""
        if not isinstance(values, dict):
            return handler(values)
        policy = handler({key: value for key, value in values.items() if key not in _OUTDATED})
        policy._outdated = tuple(name for name in _OUTDATED if name in values)
        return policy

    @property
    def flag_limit(self) -> float:
        """The belief, or the score of another model, from which a person should look."""
        if self.false_flags_per_hour is None or self.belief.false_alarms is None:
            return self.flag_at
        return max(self.flag_at, self.belief.false_alarms.limit(self.false_flags_per_hour))

    @property
    def outdated(self) -> tuple[str, ...]:
        """Fields of earlier versions that were given, and that nothing follows any more."""
        return self._outdated


class Condition(_PolicyPart):
    """What one witness of a rule must be."""

    category: str = Field(min_length=1, max_length=64, description="A category of `categories`.")
    at_least: Probability = Field(description="Its least score.")


class When(_PolicyPart):
    """Which witnesses a rule needs: one of ``any``, or all of ``all``."""

    any: tuple[Condition, ...] = Field((), max_length=8, description="One of these is enough.")
    all: tuple[Condition, ...] = Field((), max_length=8, description="Each of these is needed.")

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return self.all or self.any

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.any) is bool(self.all):
            raise ValueError("exactly one of any and all must name conditions")
        names = [condition.category for condition in self.conditions]
        if len(set(names)) != len(names):
            raise ValueError("a category is named twice")
        return self


class WitnessRule(_PolicyPart):
    """Witnesses of several categories near each other on one stream, and what follows from them."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$", description="Its name in verdicts and incidents.")
    when: When = Field(description="The witnesses that it needs.")
    within_ms: int = Field(
        10_000, ge=0, le=60_000, description="Most media time between its witnesses, milliseconds."
    )
    not_in: tuple[Literal["games"], ...] = Field(
        (), max_length=1, description="games: not where `games` is set."
    )
    hold_ms: int = Field(
        0,
        ge=0,
        le=60_000,
        description="Only with `all` and `cut`: how long media is held back once some of its witnesses are "
        "there, because the others may still come, milliseconds of media time. 0: not at all.",
    )
    then: Literal[Action.FLAG, Action.CUT] = Field(description="Action that it asks for: flag or cut.")
    severity: Severity = Field(
        Severity.NORMAL, description="severe: a cut by it blocks permanently, even the first."
    )
    urgent: bool = Field(
        False, description="Whether what it asks for is urgent: a person should look at once."
    )

    @model_validator(mode="after")
    def _holds_for_others(self) -> Self:
        if self.hold_ms and (self.then is not Action.CUT or len(self.when.all) < 2):
            raise ValueError("hold_ms is for rules that need several witnesses (all) and then cut")
        if self.hold_ms > self.within_ms:
            raise ValueError("hold_ms is longer than within_ms, after which no other witness counts")
        return self


def rates_of(part: CategoryPolicy) -> dict[str, float | None]:
    """How often an hour calm footage passes a category's limits. None where that is not measured."""
    curve = part.belief.false_alarms
    return {
        name: None if curve is None or limit >= 1.0 else float(f"{curve.an_hour(limit):.2g}")
        for name, limit in (("flags_an_hour", part.flag_limit), ("cuts_an_hour", part.cut_at))
    }


def explain_category(name: str, part: CategoryPolicy) -> str:
    """What a category does alone, in words for people."""
    if not part.enabled:
        return f"category {name}: not judged"
    rates = rates_of(part)
    flag_rate, cut_rate = (
        "" if rate is None else f" ({rate:g} an hour of calm footage like the measured)"
        for rate in (rates["flags_an_hour"], rates["cuts_an_hour"])
    )
    flags = f"flag from {round(part.flag_limit, 4):g}{flag_rate}"
    does = {
        Action.PASS: "never acts alone, a witness for rules",
        Action.FLAG: f"{flags}, never cuts alone",
        Action.CUT: f"{flags}, cut from {part.cut_at:g}{cut_rate}, {part.severity}",
    }[part.alone]
    return f"category {name}: {does}{', urgent' if part.urgent else ''}"


def explain_rule(rule: WitnessRule) -> str:
    """What a rule does, in words for people."""
    joint = " and " if rule.when.all else " or "
    needs = joint.join(f"{one.category} from {one.at_least:g}" for one in rule.when.conditions)
    near = f" within {rule.within_ms / 1000:g} s" if len(rule.when.all) > 1 else ""
    games = ", but not in games" if rule.not_in else ""
    urgent = ", urgent" if rule.urgent else ""
    holds = f", holds media back for {rule.hold_ms / 1000:g} s after the first" if rule.hold_ms else ""
    return f"rule {rule.name}: {needs}{near}: {rule.then}, {rule.severity}{urgent}{holds}{games}"


_SECOND_WITNESS_MS: Final = 5_000
"""The goal for both witnesses of an attack. Servers hold media back for longer than this."""


def attack_rules(
    gunfire: tuple[float, float], firearm: tuple[float, float], scream: float
) -> tuple[WitnessRule, ...]:
    """The default rules. ``gunfire`` and ``firearm`` have a usual and a lower threshold."""

    def all_of(**at_least: float) -> When:
        return When(all=tuple(Condition(category=name, at_least=score) for name, score in at_least.items()))

    return (
        WitnessRule(
            name="gunfire-and-firearm",
            when=all_of(gunfire=gunfire[0], firearm=firearm[0]),
            not_in=("games",),
            hold_ms=_SECOND_WITNESS_MS,
            then=Action.CUT,
            severity=Severity.SEVERE,
            urgent=True,
        ),
        WitnessRule(
            name="gunfire-scream-and-firearm",
            when=all_of(gunfire=gunfire[1], scream=scream, firearm=firearm[1]),
            not_in=("games",),
            then=Action.CUT,
            severity=Severity.SEVERE,
            urgent=True,
        ),
    )


class MatchPolicy(_PolicyPart):
    """When a perceptual-hash match counts, and which action it asks for."""

    enabled: bool = Field(True, description="Whether streams are matched against the banks.")
    radius: int = Field(31, ge=0, le=31, description="Largest Hamming distance of a match, bits of 256.")
    min_quality: int = Field(50, ge=0, le=100, description="PDQ quality below which a frame is not matched.")
    k: int = Field(3, ge=1, le=64, description="Samples that must hit the same entry …")
    span_ms: int = Field(
        20_000,
        ge=500,
        le=60_000,
        description="… within this media time before the match counts, whatever the samples between show.",
    )
    action: Action = Field(Action.CUT, description="Action for a counted match.")
    sound_action: Action = Field(
        Action.FLAG,
        description="Action for a match by audio alone, because many streams play the same music. pass: "
        "audio is not matched.",
    )

    @model_validator(mode="before")
    @classmethod
    def _stored_before_span(cls, values: Any) -> Any:
        """Stored policies of earlier versions have ``n``, the last samples that vote, in place of a span."""
        return {k: v for k, v in values.items() if k != "n"} if isinstance(values, dict) else values


class TierPolicy(_PolicyPart):
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


class LookPolicy(_PolicyPart):
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


Link = Annotated[str, Field(pattern=r"^(stream_key|address|attribute:[^=]{1,64})$")]


class LadderPolicy(_PolicyPart):
    """How long live access is blocked, by the number of strikes that count."""

    steps_ms: tuple[Annotated[int, Field(ge=1_000, le=PERMANENT_MS)], ...] = Field(
        (30 * DAY_MS, 180 * DAY_MS, PERMANENT_MS),
        min_length=1,
        max_length=16,
        description="Length of the block per strike; the last step applies to every further strike. "
        f"{PERMANENT_MS} is permanent.",
    )
    lapse_ms: int = Field(365 * DAY_MS, ge=1_000, description="A strike older than this no longer counts.")
    scope: StrikeScope = Field(
        StrikeScope.ALL,
        description="app: strikes count, and blocks hold, only in the app of the violation. For tenants that "
        "share nothing.",
    )
    per_category: bool = Field(False, description="Count only strikes of the same category.")
    link: tuple[Link, ...] = Field(
        ("stream_key",),
        max_length=16,
        description="Identities blocked together with the broadcaster: stream_key, address, attribute:NAME.",
    )

    @model_validator(mode="before")
    @classmethod
    def _stored_before_link(cls, values: Any) -> Any:
        """Stored policies of earlier versions have ``block_address`` in place of ``link``."""
        if isinstance(values, dict) and "block_address" in values:
            values = dict(values)
            if values.pop("block_address") is True:
                values["link"] = tuple(dict.fromkeys((*values.get("link", ("stream_key",)), "address")))
        return values


class ReviewPolicy(_PolicyPart):
    """Due process: what holds until a person has looked, and how people decide."""

    provisional_ms: int = Field(
        DAY_MS, ge=1_000, le=365 * DAY_MS, description="How long a block waits for a person's review."
    )
    detector: UnreviewedOutcome = Field(
        UnreviewedOutcome.LAPSE,
        description="What happens then to a block by the detector alone, or by footage that the gate itself "
        "banked of a confirmed incident: lapse or stand.",
    )
    match: UnreviewedOutcome = Field(
        UnreviewedOutcome.STAND, description="What happens then to a block by known footage: lapse or stand."
    )
    two_person_permanent: bool = Field(
        False, description="A permanent block needs two people; until the second confirms, it has an end."
    )
    two_person_severe: bool = Field(
        False,
        description="What is severe needs two people to confirm it; the first one's word is a proposal, and "
        "until the second confirms, its block has an end.",
    )
    second_level: SecondLevel = Field(
        SecondLevel.ANYONE,
        description="Who decides what is escalated. anyone: any reviewer. another: not the one who has "
        "escalated it. admin: an admin.",
    )
    interim_ms: int = Field(
        90 * DAY_MS,
        ge=1_000,
        le=3650 * DAY_MS,
        description="How long a block that needs two people holds after only one has confirmed it.",
    )
    claim_ms: int = Field(
        30 * 60_000, ge=1_000, le=7 * DAY_MS, description="How long a claim on an incident lasts."
    )
    reopen_ms: int = Field(
        5 * 60_000,
        ge=0,
        le=MAX_REOPEN_MS,
        description="A FLAG of the same kind on the same stream within this time after the last sign of a "
        "flagged activity belongs to its incident; 0: each FLAG is an incident. A review ends the incident.",
    )
    incident_ms: int = Field(
        30 * 60_000,
        ge=1_000,
        le=DAY_MS,
        description="How long an incident takes further FLAGs; the next one then opens another.",
    )
    appeal_ms: int = Field(
        180 * DAY_MS,
        ge=1_000,
        le=3650 * DAY_MS,
        description="How long after the start of a block appeals are accepted.",
    )
    appeals: int = Field(
        2, ge=0, le=16, description="Most appeals against one block or incident, one after another."
    )


class FailurePolicy(_PolicyPart):
    """What happens when a part of the gate is away. Every use is counted."""

    on_ledger_down: FailureMode = Field(
        FailureMode.ALLOW, description="Whether publishes are admitted while the ledger cannot be read."
    )
    on_gate_degraded: FailureMode = Field(
        FailureMode.ALLOW, description="Whether running streams go on that the gate cannot watch."
    )
    on_no_video: FailureMode = Field(
        FailureMode.DENY,
        description="Whether running streams go on that bring audio and no video. Where they do, only the "
        "audio model judges them.",
    )
    on_capacity: FailureMode = Field(
        FailureMode.DENY, description="Whether new streams are admitted while every worker is at its limit."
    )
    on_blind: Action = Field(
        Action.PASS,
        description="Action for a stream blind for longer than tiers.blind_limit_ms: pass, flag or cut.",
    )


class DecodingPolicy(_PolicyPart):
    """What watching one stream may cost. Its publisher chooses the cost: picture size, frame rate, codec."""

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


class EvidencePolicy(_PolicyPart):
    """What is kept of a stream's media: always the newest, and more once something is found."""

    ring_ms: int = Field(
        12_000, ge=1_000, le=120_000, description="Compressed media kept for evidence, milliseconds."
    )
    ring_bytes: int = Field(
        32 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024 * 1024 * 1024,
        description="Upper limit of that media in bytes.",
    )
    after_ms: int = Field(
        10_000,
        ge=0,
        le=120_000,
        description="How long a clip goes on after a FLAG, and after the newest sign that what was flagged "
        "goes on; 0: clips end at the verdict. A clip of a CUT goes on until the stream is closed.",
    )
    longest_ms: int = Field(
        120_000, ge=0, le=600_000, description="How long a clip goes on after its verdict at most."
    )
    clip_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024 * 1024 * 1024,
        description="Upper limit of a clip in bytes. All that are being recorded share "
        "`limits.recording_mb`.",
    )


Pattern = Annotated[str, Field(min_length=1, max_length=128)]
"""A name, or a case-sensitive shell glob with ``*``, ``?`` and ``[seq]``."""
Patch = dict[str, JsonValue]
"""An override of the policy in the form of the policy: a JSON Merge Patch (RFC 7396).

Named fields replace, the others stay, and null restores the default.
"""
_OF_THE_WHOLE: Final = ("version", "names", "apps", "tenants")


class NamesPolicy(_PolicyPart):
    """When two names are the same broadcaster (RFC 8265)."""

    case: NameCase = Field(
        NameCase.PRESERVED,
        description="preserved: Anna and anna are two accounts (UsernameCasePreserved). "
        "mapped: they are one (UsernameCaseMapped).",
    )


class Policy(_PolicyPart):
    """The whole policy, as stored. ``for_app`` gives the policy of one stream, which goes to its worker."""

    version: int = Field(1, ge=1, description="Number of this version; the gate sets it.")
    mode: Mode = Field(
        Mode.KNOWN_FOOTAGE,
        description="What the gate acts on. known_footage: on known footage alone; what the detector says is "
        "recorded for review (shadow). enforce: on both. shadow: on nothing.",
    )
    budget_ms: int = Field(
        250, ge=20, le=10_000, description="Latency budget from the arrival of a sample to its verdict."
    )
    categories: dict[Annotated[str, Field(min_length=1, max_length=64)], CategoryPolicy] = Field(
        default_factory=lambda: {"fight": CategoryPolicy()},
        max_length=32,
        description="Thresholds for each category of the model. Default: `fight`.",
    )
    rules: tuple[WitnessRule, ...] = Field(
        attack_rules((0.66, 0.4), (0.6, 0.4), 0.4),
        max_length=32,
        description="Rules that combine categories. A rule acts in the same modes as the detector.",
    )
    games: bool = Field(
        False,
        description="Whether the streams show games, which nobody can tell from real shots by audio. What is "
        "heard in them never cuts. For overrides in `apps` and `tenants`.",
    )
    match: MatchPolicy = MatchPolicy()
    tiers: TierPolicy = TierPolicy()
    looks: LookPolicy = LookPolicy()
    ladder: LadderPolicy = LadderPolicy()
    review: ReviewPolicy = ReviewPolicy()
    queue: QueuePolicy = QueuePolicy()
    failure: FailurePolicy = FailurePolicy()
    decoding: DecodingPolicy = DecodingPolicy()
    evidence: EvidencePolicy = EvidencePolicy()
    names: NamesPolicy = NamesPolicy()
    apps: dict[Pattern, Patch] = Field(
        default_factory=dict,
        max_length=MAX_OVERRIDES,
        description="Overrides for an application, by its name or a glob. An exact name wins over globs, and "
        "a glob with more letters over one with fewer.",
    )
    tenants: dict[Pattern, Patch] = Field(
        default_factory=dict,
        max_length=MAX_OVERRIDES,
        description=f"Overrides by the attribute `{TENANT_ATTRIBUTE}` of the publish, applied after `apps`.",
    )

    @model_validator(mode="after")
    def _rules_are_distinct(self) -> Self:
        names = [rule.name for rule in self.rules]
        if len(set(names)) != len(names):
            raise ValueError("rules: names repeat")
        return self

    @model_validator(mode="after")
    def _overrides_are_whole(self) -> Self:
        checked: set[tuple[str, str]] = set()
        for app, tenant, alike in self.pairs():
            if alike not in checked:
                self._resolved(app, tenant)
                checked.add(alike)
        return self

    def pairs(self) -> Iterator[tuple[str | None, str | None, tuple[str, str]]]:
        """Yields each pair of patterns of ``apps`` and ``tenants``, and a key. Pairs with the same key have
        the same overrides, so they resolve to the same policy. None means no override."""
        apps, tenants = (
            {None: "", **{pattern: repr(patch) for pattern, patch in patches.items()}}
            for patches in (self.apps, self.tenants)
        )
        for app, of_app in apps.items():
            for tenant, of_tenant in tenants.items():
                yield app, tenant, (of_app, of_tenant)

    @property
    def judged(self) -> frozenset[str]:
        """The categories that are enabled."""
        return frozenset(name for name, part in self.categories.items() if part.enabled)

    def switches_off(self, categories: Collection[str]) -> bool:
        """Whether it names all of these categories and enables none. One that it does not name is scored, and
        nothing is decided on it."""
        named = [self.categories.get(name) for name in categories]
        return all(part is not None and not part.enabled for part in named)

    def for_app(self, app: str, tenant: str = "") -> Policy:
        """The policy for a stream of ``app`` whose publish has the attribute ``tenant``.

        The overrides are applied, and the result has none left.
        """
        if not self.apps and not self.tenants:
            return self
        return self._resolved(*self.patterns_for(app, tenant))

    def patterns_for(self, app: str, tenant: str) -> tuple[str | None, str | None]:
        """The keys of ``apps`` and ``tenants`` that apply. None means no override."""
        return _best(self.apps, app), _best(self.tenants, tenant)

    @property
    def acting_rules(self) -> tuple[WitnessRule, ...]:
        """The rules that act on a stream with this policy."""
        return tuple(rule for rule in self.rules if not (self.games and "games" in rule.not_in))

    def is_urgent(self, category: str, rule: str) -> bool:
        """Whether a verdict of this category, or of this rule, is urgent. ``rule`` is empty without one."""
        if rule:
            return any(one.urgent for one in self.rules if one.name == rule)
        return category in self.categories and self.categories[category].urgent

    def for_patterns(self, app: str | None, tenant: str | None) -> Policy:
        """The policy under these keys of ``apps`` and ``tenants``. None means no override."""
        return self._resolved(app, tenant)

    def for_publish(self, publish: Publish) -> Policy:
        """The policy for the stream of a publish."""
        return self.for_app(publish.app, publish.attributes.get(TENANT_ATTRIBUTE, ""))

    def _resolved(self, app: str | None, tenant: str | None) -> Policy:
        values: dict[str, Any] = self.model_dump(exclude={"apps", "tenants"})
        path = ""
        for field, patches, pattern in (("apps", self.apps, app), ("tenants", self.tenants, tenant)):
            if pattern is None:
                continue
            path = f"{field}.{pattern}"
            for name in _OF_THE_WHOLE:
                if name in patches[pattern]:
                    raise _wrong(f"{path}.{name}", "belongs to the whole policy and cannot differ")
            values = merge_patch(values, patches[pattern])
        if not path:
            return self.model_copy(update={"apps": {}, "tenants": {}})
        try:
            return Policy.model_validate(values)
        except ValidationError as error:
            where, problem = _first(error)
            raise _wrong(".".join((path, *where)), problem) from None


def merge_patch(values: dict[str, Any], patch: Patch) -> dict[str, Any]:
    """Applies a JSON Merge Patch (RFC 7396) to an object: null removes, objects merge, other values
    replace."""
    merged = dict(values)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            inner = merged.get(name)
            merged[name] = merge_patch(inner if isinstance(inner, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def parse_policy(text: str | bytes) -> Policy:
    """Parses a policy from JSON.

    Raises InvalidInput with the path of the first wrong field (``policy.categories.fight.cut_at``,
    ``policy.apps.live.tiers.burst_ms``), and LimitExceeded if the text is over 64 KiB.
    """
    size = len(text.encode() if isinstance(text, str) else text)
    if size > MAX_POLICY_BYTES:
        raise LimitExceeded("policy", MAX_POLICY_BYTES, size, "bytes")
    try:
        return Policy.model_validate_json(text)
    except ValidationError as error:
        where, problem = _first(error)
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InvalidInput(".".join(("policy", *where)), f"{problem}{more}") from None


def _best(patches: Mapping[str, Patch], name: str) -> str | None:
    """The key of the patch that applies to ``name``, whatever the order of the keys."""
    if name in patches:
        return name
    fitting = [pattern for pattern in patches if fnmatchcase(name, pattern)]
    return min(fitting, key=lambda pattern: (-sum(c not in "*?[]" for c in pattern), pattern), default=None)


def _wrong(path: str, problem: str) -> PydanticCustomError:
    """An error of an override, with its path in the policy."""
    return PydanticCustomError("override", "{problem}", {"path": path, "problem": problem})


def _first(error: ValidationError) -> tuple[tuple[str, ...], str]:
    """Path and message of the first error."""
    first = error.errors(include_url=False)[0]
    where = tuple(str(part) for part in first["loc"])
    if first["type"] == "override":
        where = (*where, first["ctx"]["path"])
    return where, first["msg"].removeprefix("Value error, ")
