"""The policy that operators tune: thresholds, persistence, tiers, strike ladder and failure modes.

A policy is one whole, validated and versioned document. Its defaults are defined in this file only.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from edge.domain import PERMANENT_MS, Action, Publish, Severity
from edge.errors import InvalidInput, LimitExceeded

MAX_POLICY_BYTES = 64 * 1024
MAX_OVERRIDES = 32
"""Most patterns in each of ``apps`` and ``tenants``."""
TENANT_ATTRIBUTE: Final = "tenant"
"""The attribute of a publish that names its tenant."""
DAY_MS = 86_400_000

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Mode(StrEnum):
    """``enforce`` acts. ``shadow`` decides and records, but never acts."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class FailureMode(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class UnreviewedOutcome(StrEnum):
    """What happens to a block and its strike if nobody reviews it in time."""

    LAPSE = "lapse"
    STAND = "stand"


class StrikeScope(StrEnum):
    """Which strikes count together, and where their block holds: in every app, or only in one."""

    ALL = "all"
    APP = "app"


class _PolicyPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CategoryPolicy(_PolicyPart):
    """Thresholds on the calibrated window score of one category, with persistence and hysteresis."""

    raise_at: Probability = Field(0.2, description="Score from which a stream is sampled densely.")
    flag_at: Probability = Field(0.5, description="Score from which a person should look.")
    cut_at: Probability = Field(0.85, description="Score from which the stream is cut.")
    release_at: Probability = Field(
        0.15, description="Score below which a raised or flagged stream is calm again (hysteresis)."
    )
    flag_samples: int = Field(2, ge=1, le=100, description="Samples in a row at or over flag_at before FLAG.")
    cut_samples: int = Field(3, ge=1, le=100, description="Samples in a row at or over cut_at before CUT.")
    cut_span_ms: int = Field(
        400, ge=0, le=60_000, description="Media time those samples must span before CUT, milliseconds."
    )
    severity: Severity = Field(
        Severity.NORMAL, description="severe: a violation is blocked permanently, whatever came before."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.release_at <= self.raise_at <= self.flag_at <= self.cut_at:
            raise ValueError("thresholds must be ordered: release_at <= raise_at <= flag_at <= cut_at")
        return self


class MatchPolicy(_PolicyPart):
    """When a perceptual-hash match counts, and which action it asks for."""

    enabled: bool = Field(True, description="Whether streams are looked up in the banks.")
    radius: int = Field(31, ge=0, le=31, description="Hamming distance in bits, of 256.")
    min_quality: int = Field(50, ge=0, le=100, description="PDQ quality below which a frame is not matched.")
    k: int = Field(3, ge=1, le=64, description="Samples on the same entry …")
    n: int = Field(5, ge=1, le=64, description="… of the last n before the match counts.")
    action: Action = Field(Action.CUT, description="What a counted match asks for.")
    sound_action: Action = Field(
        Action.FLAG,
        description="What a match by sound alone asks for: the same music is played by many. pass: sound is "
        "not looked at.",
    )

    @model_validator(mode="after")
    def _k_of_n(self) -> Self:
        if self.k > self.n:
            raise ValueError("k must not be over n")
        return self


class TierPolicy(_PolicyPart):
    """How densely a stream is sampled in the calm and the alert tier."""

    burst_ms: int = Field(
        200, ge=50, le=2000, description="Calm: media decoded from each keyframe on, milliseconds."
    )
    alert_interval_ms: int = Field(200, ge=20, le=2000, description="Alert: media time between samples.")
    alert_hold_ms: int = Field(
        6000,
        ge=0,
        le=600_000,
        description="After scores that call for a FLAG, or near known footage, alert is held for this much "
        "media time.",
    )
    blind_limit_ms: int = Field(
        2500, ge=100, le=60_000, description="A GOP longer than this is sampled inside, too."
    )
    probe_ms: int = Field(
        350,
        ge=50,
        le=60_000,
        description="A raised sample is followed by alert for this much media time: a closer look, "
        "that goes on while its samples are raised, too.",
    )
    start_alert_ms: int = Field(
        3000,
        ge=0,
        le=600_000,
        description="A new stream starts in alert for this much media time, if the worker has the time.",
    )
    struck_alert_ms: int = Field(
        60_000,
        ge=0,
        le=3_600_000,
        description="A stream of a broadcaster whose strikes count starts in alert for this much media time, "
        "whatever the worker has to do; 0: like any other.",
    )
    bitrate_jump: float = Field(
        2.5,
        ge=0.0,
        le=100.0,
        description="Calm: look densely when units become this many times larger than they were, or one is "
        "that much larger than any of late; 0: never.",
    )


Link = Annotated[str, Field(pattern=r"^(stream_key|address|attribute:[^=]{1,64})$")]


class LadderPolicy(_PolicyPart):
    """How long live access is blocked, by the number of strikes that count."""

    steps_ms: tuple[Annotated[int, Field(ge=1_000, le=PERMANENT_MS)], ...] = Field(
        (30 * DAY_MS, 180 * DAY_MS, PERMANENT_MS),
        min_length=1,
        max_length=16,
        description="Block per strike; the last step stands for every further one. "
        f"{PERMANENT_MS} is permanent.",
    )
    lapse_ms: int = Field(365 * DAY_MS, ge=1_000, description="A strike older than this no longer counts.")
    scope: StrikeScope = Field(
        StrikeScope.ALL,
        description="app: strikes count, and blocks hold, in the app of the violation alone, for tenants "
        "that share nothing.",
    )
    per_category: bool = Field(False, description="Count only strikes of the same category.")
    link: tuple[Link, ...] = Field(
        ("stream_key",),
        max_length=16,
        description="What is blocked together with the broadcaster: stream_key, address, attribute:NAME.",
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
        UnreviewedOutcome.LAPSE, description="Then, when it rests on the detector alone: lapse or stand."
    )
    match: UnreviewedOutcome = Field(
        UnreviewedOutcome.STAND, description="Then, when it rests on known footage: lapse or stand."
    )
    two_person_permanent: bool = Field(
        False, description="A permanent block needs the word of two people; until then it ends."
    )
    interim_ms: int = Field(
        90 * DAY_MS,
        ge=1_000,
        le=3650 * DAY_MS,
        description="How long a block that is to be permanent holds on the word of one.",
    )
    claim_ms: int = Field(
        30 * 60_000, ge=1_000, le=7 * DAY_MS, description="A claimed incident is free again after this."
    )
    appeal_ms: int = Field(
        180 * DAY_MS,
        ge=1_000,
        le=3650 * DAY_MS,
        description="Appeals are taken this long after a block began.",
    )
    appeals: int = Field(
        2, ge=0, le=16, description="Appeals against one block or incident, one after another."
    )


class FailurePolicy(_PolicyPart):
    """What happens when a part of the gate is away. Every use is counted."""

    on_ledger_down: FailureMode = Field(
        FailureMode.ALLOW, description="Admission while the ledger cannot be read."
    )
    on_gate_degraded: FailureMode = Field(
        FailureMode.ALLOW, description="Running streams that the gate cannot watch."
    )
    on_capacity: FailureMode = Field(
        FailureMode.DENY, description="New streams while every worker is at its limit."
    )
    on_blind: Action = Field(
        Action.PASS, description="A stream whose blind time passes tiers.blind_limit_ms: pass, flag or cut."
    )


class EvidencePolicy(_PolicyPart):
    ring_ms: int = Field(12_000, ge=1_000, le=120_000, description="Compressed media kept for evidence.")
    ring_bytes: int = Field(
        32 * 1024 * 1024, ge=1024 * 1024, le=1024 * 1024 * 1024, description="The same in bytes, at most."
    )


Pattern = Annotated[str, Field(min_length=1, max_length=128)]
"""A name, or a case-sensitive shell glob with ``*``, ``?`` and ``[seq]``."""
Patch = dict[str, JsonValue]
"""An override of the policy in the form of the policy: a JSON Merge Patch (RFC 7396).

Named fields replace, the others stay, and null restores the default.
"""
_OF_THE_WHOLE: Final = ("version", "apps", "tenants")


class Policy(_PolicyPart):
    """The whole policy, as stored. ``for_app`` gives the policy of one stream, which goes to its worker."""

    version: int = Field(1, ge=1, description="Number of this version; the gate sets it.")
    mode: Mode = Field(Mode.ENFORCE, description="shadow decides and records, and never acts; enforce acts.")
    budget_ms: int = Field(250, ge=20, le=10_000, description="Arrival of a sample to its verdict.")
    categories: dict[Annotated[str, Field(min_length=1, max_length=64)], CategoryPolicy] = Field(
        default_factory=lambda: {"fight": CategoryPolicy()},
        max_length=32,
        description="What the detector is judged by, for each category of the model. Default: `fight`.",
    )
    match: MatchPolicy = MatchPolicy()
    tiers: TierPolicy = TierPolicy()
    ladder: LadderPolicy = LadderPolicy()
    review: ReviewPolicy = ReviewPolicy()
    failure: FailurePolicy = FailurePolicy()
    evidence: EvidencePolicy = EvidencePolicy()
    apps: dict[Pattern, Patch] = Field(
        default_factory=dict,
        max_length=MAX_OVERRIDES,
        description="What differs for an application, by its name or a glob of names. The name itself goes "
        "before globs, and a glob with more letters before one with fewer.",
    )
    tenants: dict[Pattern, Patch] = Field(
        default_factory=dict,
        max_length=MAX_OVERRIDES,
        description=f"The same by the attribute `{TENANT_ATTRIBUTE}` of the publish; laid over `apps`.",
    )

    @model_validator(mode="after")
    def _overrides_are_whole(self) -> Self:
        for app in (None, *self.apps):
            for tenant in (None, *self.tenants):
                self._resolved(app, tenant)
        return self

    def for_app(self, app: str, tenant: str = "") -> Policy:
        """The policy for a stream of ``app`` whose publish has the attribute ``tenant``.

        The overrides are applied, and the result has none left.
        """
        if not self.apps and not self.tenants:
            return self
        return self._resolved(_best(self.apps, app), _best(self.tenants, tenant))

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
