"""The part of the policy that says what the word of an exchange about its hashes means here."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, Literal

from pydantic import Field

from edge.domain import Action, BankSeverity
from edge.policy.overrides import Pattern
from edge.policy.part import PolicyPart


class ExchangeOpinion(StrEnum):
    """What the members of an exchange say of a hash, all together."""

    POSITIVE = "positive"
    """It is of content that the exchange is for."""
    NEGATIVE = "negative"
    """It is a false positive, or test data."""
    DISPUTED = "disputed"
    """Some say the one and some the other."""
    INVESTIGATE = "investigate"
    """Nobody has verified it yet."""


class ExchangeRule(PolicyPart):
    """One line of the table: which hashes it is for, and what a match with them means."""

    exchange: Pattern = Field("*", description="Names of exchanges, as a shell glob.")
    opinion: Literal["any"] | ExchangeOpinion = Field(
        "any", description="What the exchange says: positive, negative, disputed, investigate or any."
    )
    tags: tuple[Pattern, ...] = Field(
        (), max_length=32, description="One of its tags fits one of these shell globs. Empty: any tags."
    )
    purpose: Literal["violating", "investigate", "benign", "none"] = Field(
        description="The bank that takes it: violating, investigate or benign. none: it is not banked."
    )
    severity: BankSeverity | None = Field(
        None,
        description="low, medium, high or critical. null: the severity that the exchange was added with.",
    )
    action: Action = Field(
        Action.CUT,
        description="The strongest action of a match: cut, flag, or pass, which only counts it. Footage to "
        "investigate never cuts.",
    )

    def fits(self, exchange: str, opinion: ExchangeOpinion, tags: Collection[str]) -> bool:
        """Whether it is for a hash of this exchange with this opinion and these tags."""
        return (
            self.opinion in ("any", opinion)
            and fnmatchcase(exchange, self.exchange)
            and (not self.tags or any(fnmatchcase(tag, glob) for tag in tags for glob in self.tags))
        )


DEFAULT_EXCHANGES: Final = (
    ExchangeRule(opinion=ExchangeOpinion.POSITIVE, purpose="violating"),
    ExchangeRule(opinion=ExchangeOpinion.NEGATIVE, purpose="none"),
    ExchangeRule(purpose="investigate"),
)
"""A hash that nobody has verified, or that is disputed, asks for a person. A false positive is left out."""


def rule_for(
    table: Iterable[ExchangeRule], exchange: str, opinion: ExchangeOpinion, tags: Collection[str]
) -> ExchangeRule:
    """The first rule that fits. Without one, a match asks for a person."""
    fitting = (rule for rule in table if rule.fits(exchange, opinion, tags))
    return next(fitting, ExchangeRule(purpose="investigate"))
