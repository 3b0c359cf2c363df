"""The policy that operators tune, as one whole, validated and versioned document.

Its defaults are defined in this folder only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any, Final, Self

from pydantic import Field, ValidationError, model_validator

from edge.domain import Publish
from edge.errors import InvalidInput, LimitExceeded
from edge.policy.category import CategoryPolicy
from edge.policy.crisis import CrisisPolicy
from edge.policy.evidence import EvidencePolicy
from edge.policy.exchange import DEFAULT_EXCHANGES, ExchangeRule
from edge.policy.failure import FailurePolicy
from edge.policy.guards import GuardPolicy
from edge.policy.ladder import LadderPolicy
from edge.policy.match import MatchPolicy
from edge.policy.mode import Mode
from edge.policy.names import NamesPolicy
from edge.policy.overrides import (
    MAX_OVERRIDES,
    TENANT_ATTRIBUTE,
    Patch,
    Pattern,
    best_pattern,
    merge_patch,
    wrong_override,
)
from edge.policy.part import PolicyPart
from edge.policy.queue import QueuePolicy
from edge.policy.review import ReviewPolicy
from edge.policy.rules import WitnessRule, attack_rules
from edge.policy.sampling import DecodingPolicy, LookPolicy, TierPolicy
from edge.policy.sharing import SharingPolicy

MAX_POLICY_BYTES = 64 * 1024

_OF_THE_WHOLE: Final = (
    *("version", "exchanges", "sharing", "guards", "names", "crisis"),
    *("apps", "tenants"),
)


class Policy(PolicyPart):
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
    guards: GuardPolicy = GuardPolicy()
    tiers: TierPolicy = TierPolicy()
    looks: LookPolicy = LookPolicy()
    ladder: LadderPolicy = LadderPolicy()
    review: ReviewPolicy = ReviewPolicy()
    crisis: CrisisPolicy = CrisisPolicy()
    queue: QueuePolicy = QueuePolicy()
    failure: FailurePolicy = FailurePolicy()
    decoding: DecodingPolicy = DecodingPolicy()
    evidence: EvidencePolicy = EvidencePolicy()
    exchanges: tuple[ExchangeRule, ...] = Field(
        DEFAULT_EXCHANGES,
        max_length=64,
        description="What the word of hash exchanges on their footage means here: the first rule that fits "
        "decides. What none fits asks for a person.",
    )
    sharing: SharingPolicy = SharingPolicy()
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
        return best_pattern(self.apps, app), best_pattern(self.tenants, tenant)

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
                    raise wrong_override(f"{path}.{name}", "belongs to the whole policy and cannot differ")
            values = merge_patch(values, patches[pattern])
        if not path:
            return self.model_copy(update={"apps": {}, "tenants": {}})
        try:
            return Policy.model_validate(values)
        except ValidationError as error:
            where, problem = _first(error)
            raise wrong_override(".".join((path, *where)), problem) from None


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


def _first(error: ValidationError) -> tuple[tuple[str, ...], str]:
    """Path and message of the first error."""
    first = error.errors(include_url=False)[0]
    where = tuple(str(part) for part in first["loc"])
    if first["type"] == "override":
        where = (*where, first["ctx"]["path"])
    return where, first["msg"].removeprefix("Value error, ")
