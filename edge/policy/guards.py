"""The part of the policy that keeps wrong and hostile bank entries from cutting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from pydantic import Field

from edge.policy.overrides import Pattern
from edge.policy.part import DAY_MS, PolicyPart


class SourceRule(PolicyPart):
    """What the entries of a source may do. The first rule that fits counts."""

    source: Pattern = Field(
        description="Sources, as a shell glob: that of the entry, else of its bank, else its name."
    )
    probation_ms: int = Field(
        0, ge=0, le=365 * DAY_MS, description="Age under which an entry may only flag, milliseconds."
    )
    vouched: bool = Field(
        False,
        description="People vouch for it: its entries may cut whatever streams have shown, and it is never "
        "demoted. Benign banks still count.",
    )
    demoted: bool = Field(False, description="People demote it: its entries may only flag.")


OWN: Final = "confirmed incidents of this edge"
"""The source of the gate's own bank. People have confirmed it, and nothing that others showed is in it."""
DEFAULT_SOURCES: Final = (
    SourceRule(source=OWN, vouched=True),
    SourceRule(source="crisis *", vouched=True),
    SourceRule(source="exchange *", probation_ms=DAY_MS),
    SourceRule(source="shared by *", probation_ms=DAY_MS),
)


class GuardPolicy(PolicyPart):
    """What an entry must be before it may cut, and what takes that from it."""

    seen_streams: int = Field(
        10,
        ge=0,
        le=1_000_000,
        description="An entry that more streams of the last day have shown may only count. A stream without "
        "a clean record counts a tenth, a frame that led to a verdict not at all; 0: not checked.",
    )
    least_precision: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="A source is demoted when its precision by review is under this with 95 % certainty; "
        "0: never.",
    )
    source_streams: int = Field(
        300,
        ge=0,
        description="A source whose entries match more streams than this within ten minutes, weighed in the "
        "same way, is demoted for a day; 0: never.",
    )
    sources: tuple[SourceRule, ...] = Field(DEFAULT_SOURCES, max_length=64, description="Rules for sources.")

    def rule_of(self, source: str) -> SourceRule:
        """The rule of a source. Without one its entries may cut at once."""
        return next(
            (rule for rule in self.sources if fnmatchcase(source, rule.source)), SourceRule(source="*")
        )


def explain_guards(guards: GuardPolicy) -> Iterator[str]:
    """What the guards do, in words for people."""
    if guards.seen_streams:
        yield f"guards: what over {guards.seen_streams} streams of the last day have shown may only count"
    if guards.least_precision:
        yield f"guards: a source with a precision under {guards.least_precision:g} by review may only flag"
    for rule in guards.sources:
        facts: Sequence[str] = [
            *(["people vouch for it"] if rule.vouched else []),
            *(["it may only flag"] if rule.demoted else []),
            *([f"it only flags for {rule.probation_ms / 3_600_000:g} h"] if rule.probation_ms else []),
        ]
        yield f"source {rule.source}: {', '.join(facts) or 'it may cut at once'}"
