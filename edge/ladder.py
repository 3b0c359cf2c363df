"""The strike ladder: how long a violation blocks live access, and which confirmation a block needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from edge.domain import (
    INCIDENT_BANK,
    PERMANENT_MS,
    Action,
    BankSeverity,
    Incident,
    Severity,
    SignalSource,
    Strike,
    Verdict,
)
from edge.policy import LadderPolicy, Policy, ReviewPolicy, StrikeScope, UnreviewedOutcome
from edge.reasons import VerdictReason

CLOCKS_APART_MS = 1_000
"""How far the clocks of two gates may be apart, and how late a gate may hear of another gate's block. No step
of a ladder is shorter, so a stream that was admitted after a block is never taken for one before it."""


class Sanction(BaseModel):
    """The rules for one violation: the parts of the policy that apply, and its severity."""

    model_config = ConfigDict(frozen=True)

    ladder: LadderPolicy = LadderPolicy()
    review: ReviewPolicy = ReviewPolicy()
    severity: Severity = Severity.NORMAL


@dataclass(frozen=True, slots=True)
class Term:
    """How long a block holds, and until when it waits for review. Wall time in milliseconds."""

    until_ms: int
    full_until_ms: int
    provisional: bool = False
    review_by_ms: int | None = None
    """Set if provisional: the end of the wait. The block may end then too (``until_ms``)."""
    strike_review_by_ms: int | None = None
    """Set if the strike disappears at this time, unless a person confirms it."""


def sanction_of(policy: Policy, incident: Incident) -> Sanction:
    """The sanction for an incident. ``policy`` is the whole policy; overrides for app and tenant are applied
    here."""
    policy = policy.for_publish(incident.publish)
    return Sanction(
        ladder=policy.ladder, review=policy.review, severity=severity_of(incident.verdict, policy)
    )


def severity_of(verdict: Verdict, policy: Policy) -> Severity:
    """Severe if the category's policy says so, or the bank whose footage decided."""
    category = policy.categories.get(verdict.category)
    if any(rule.name == verdict.rule and rule.severity is Severity.SEVERE for rule in policy.rules):
        return Severity.SEVERE
    if category is not None and category.severity is Severity.SEVERE:
        return Severity.SEVERE
    deciding = verdict.signals[0] if verdict.signals else None
    matched = deciding is not None and deciding.source is SignalSource.MATCH and by_match(verdict)
    if matched and deciding is not None and deciding.severity is BankSeverity.CRITICAL:
        return Severity.SEVERE
    return Severity.NORMAL


def by_match(verdict: Verdict) -> bool:
    """Whether known footage led to the verdict. Otherwise only the detector did."""
    return verdict.reason is VerdictReason.MATCH


def by_vouched_footage(verdict: Verdict) -> bool:
    """Whether footage that people put into a bank led to the verdict.

    What the gate banked by itself of a confirmed incident weighs as the detector does: its block is
    provisional until a person has stood for this showing of it.
    """
    matches = [s for s in verdict.signals if s.source is SignalSource.MATCH and s.at_most is Action.CUT]
    own = bool(matches) and all(signal.bank == INCIDENT_BANK for signal in matches)
    return by_match(verdict) and not own


def stands(strike: Strike, wall_ms: int) -> bool:
    """Whether a strike is in force: neither pardoned nor lapsed for lack of a review."""
    lapsed = strike.review_by_ms is not None and wall_ms >= strike.review_by_ms
    return strike.pardoned_ms is None and not lapsed


def counts(strike: Strike, ladder: LadderPolicy, wall_ms: int) -> bool:
    """Whether a strike counts at a time: it stands, and is no older than ``ladder.lapse_ms``.

    A strike dated after ``wall_ms`` counts, because a clock that was set back must not forgive.
    """
    return stands(strike, wall_ms) and wall_ms - strike.created_ms <= ladder.lapse_ms


def block_until(earlier: Iterable[Strike], strike: Strike, ladder: LadderPolicy) -> int:
    """Wall time in milliseconds at which the block for ``strike`` ends.

    ``earlier`` holds the broadcaster's other strikes, in any order. The n-th occasion that counts takes the
    n-th step, and further ones take the last step. The block is permanent (PERMANENT_MS) if this strike or
    one that counts is severe. The result never exceeds PERMANENT_MS.
    """
    weighing = [
        other
        for other in earlier
        if counts(other, ladder, strike.created_ms) and _track(other, ladder) == _track(strike, ladder)
    ]
    if any(each.severity is Severity.SEVERE for each in (strike, *weighing)):
        return PERMANENT_MS
    occasions = sum(part_of is None for _, part_of in by_occasion((*weighing, strike), ladder))
    step_ms = ladder.steps_ms[min(occasions, len(ladder.steps_ms)) - 1]
    return min(strike.created_ms + step_ms, PERMANENT_MS)


def by_occasion(strikes: Iterable[Strike], ladder: LadderPolicy) -> list[tuple[Strike, Strike | None]]:
    """Pairs each strike of a broadcaster with the strike that counts for the same occasion, or None for a
    strike that counts itself.

    A violation lasts from the admission of its stream to the decision. The first to end counts; each that
    began before that end is of the same occasion. So the number of occasions is the largest number of
    violations of which each one's stream was admitted after the decision before it. It does not depend on
    the order of ``strikes``, and one violation more never lowers it. All ``strikes`` must stand.
    """
    pairs: list[tuple[Strike, Strike | None]] = []
    counting: dict[tuple[str, str], list[Strike]] = {}
    for strike in sorted(strikes, key=lambda each: (_end_ms(each), each.id)):
        before = counting.setdefault(_track(strike, ladder), [])
        part_of = _same_occasion(strike, before)
        if part_of is None:
            before.append(strike)
        pairs.append((strike, part_of))
    return pairs


def _same_occasion(strike: Strike, counting: Sequence[Strike]) -> Strike | None:
    """The newest strike that counts before whose end this strike's stream was admitted.

    ``counting`` is in the order of ends.
    """
    if strike.admitted_ms is None:
        return None
    begin_ms = min(strike.admitted_ms, strike.created_ms)
    for other in reversed(counting):
        if begin_ms > _end_ms(other) + CLOCKS_APART_MS:
            return None
        if strike.gate != other.gate or begin_ms <= _end_ms(other):
            return other
    return None


def _end_ms(strike: Strike) -> int:
    """When the violation was over. After its decision only if the clock was set back before the decision."""
    return max(strike.created_ms, strike.admitted_ms or 0)


def _track(strike: Strike, ladder: LadderPolicy) -> tuple[str, str]:
    """What strikes must share to count together."""
    return (
        strike.category if ladder.per_category else "",
        "" if ladder.scope is StrikeScope.ALL else strike.app,
    )


def term_of(
    full_until_ms: int,
    created_ms: int,
    review: ReviewPolicy,
    *,
    matched: bool,
    confirmed: int,
    severe: bool = False,
) -> Term:
    """The term of a block with full length up to ``full_until_ms``.

    ``matched`` means that known footage that people vouch for, or a person, led to it. Otherwise the
    detector did, or footage that the gate banked by itself.
    ``confirmed`` is the number of people who confirmed it, and ``severe`` the violation's severity.
    """
    interim_ms = min(full_until_ms, created_ms + review.interim_ms)
    permanent = review.two_person_permanent and full_until_ms >= PERMANENT_MS
    needs_two = permanent or (review.two_person_severe and severe)
    if confirmed >= 2 or (confirmed == 1 and not needs_two):
        return Term(full_until_ms, full_until_ms)
    if confirmed == 1:
        return Term(interim_ms, full_until_ms, True, interim_ms)
    due_ms = created_ms + review.provisional_ms
    if (review.match if matched else review.detector) is UnreviewedOutcome.LAPSE:
        end_ms = min(full_until_ms, due_ms)
        return Term(end_ms, full_until_ms, True, end_ms, due_ms)
    if needs_two:
        return Term(interim_ms, full_until_ms, True, interim_ms)
    if matched:
        return Term(full_until_ms, full_until_ms)
    return Term(full_until_ms, full_until_ms, True, min(due_ms, full_until_ms))
