"""The part of the policy about names of broadcasters."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from edge.policy.part import PolicyPart


class NameCase(StrEnum):
    """Whether names of broadcasters that differ only in case are different accounts."""

    PRESERVED = "preserved"
    MAPPED = "mapped"


class NamesPolicy(PolicyPart):
    """When two names are the same broadcaster (RFC 8265)."""

    case: NameCase = Field(
        NameCase.PRESERVED,
        description="preserved: Anna and anna are two accounts (UsernameCasePreserved). "
        "mapped: they are one (UsernameCaseMapped).",
    )
