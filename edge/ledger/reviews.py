"""Reviews: a person decides about an incident, and blocks and strikes follow."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from edge.banking import overturned as banking_when_overturned
from edge.domain import (
    Appeal,
    AppealState,
    Block,
    CaseStanding,
    Comment,
    Incident,
    IncidentState,
    Severity,
    Strike,
)
from edge.errors import Conflict, InvalidInput, PermissionRefused
from edge.ladder import by_vouched_footage, severity_of, stands, term_of
from edge.ledger import records
from edge.ledger.appeal_rows import decide_appeals, open_appeals
from edge.ledger.audit import next_number
from edge.ledger.base import LedgerBase
from edge.ledger.change_listener import notify
from edge.ledger.claims import UNCLAIMED, check_free, first_look
from edge.ledger.comments import comments_on
from edge.ledger.incidents import read_incident, update_incident
from edge.ledger.reversal import blocks_of, undo, update_block
from edge.ledger.strike_rows import update_strike
from edge.ledger.tables import appeals, blocks, incidents, strikes
from edge.ledger.undoing import rows_before, what_changed
from edge.ledger.unknown_rows import readable
from edge.policy import Policy, SecondLevel


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """An incident with everything that rests on it."""

    incident: Incident
    strike: Strike | None
    blocks: tuple[Block, ...]
    appeals: tuple[Appeal, ...]
    comments: tuple[Comment, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class _Outcome:
    """What a decision changed, besides the incident."""

    state: IncidentState
    blocks: tuple[Block, ...] = ()
    strikes: tuple[Strike, ...] = ()
    appeals: tuple[str, ...] = ()
    detail: dict[str, Any] = dataclasses.field(default_factory=dict)


class Reviews(LedgerBase):
    def case(self, incident_id: str) -> Case:
        """Reads an incident with its strike, blocks, appeals and comments. Raises NotFound."""
        with self._database.read("read a case") as connection:
            incident = read_incident(connection, incident_id)
            strike, resting = _resting_on(connection, incident_id)
            about = appeals.c.incident_id == incident_id
            filed = connection.execute(sa.select(appeals).where(about).order_by(appeals.c.id))
            return Case(
                incident,
                strike,
                resting,
                tuple(readable(connection, filed, records.appeal_from_row)),
                comments_on(connection, incident_id),
            )

    def standings(self, incident_ids: Collection[str], wall_ms: int) -> dict[str, CaseStanding]:
        """How it stands with what these incidents led to: one entry for each."""
        provisional: set[str] = set()
        pardoned: set[str] = set()
        with self._database.read("read how incidents stand") as connection:
            given = connection.execute(sa.select(strikes).where(strikes.c.incident_id.in_(incident_ids)))
            for strike in readable(connection, given, records.strike_from_row):
                incident_id = strike.incident_id or ""
                if strike.pardoned:
                    pardoned.add(incident_id)
                elif strike.provisional and stands(strike, wall_ms):
                    provisional.add(incident_id)
            made = connection.execute(sa.select(blocks).where(blocks.c.incident_id.in_(incident_ids)))
            for block in readable(connection, made, records.block_from_row):
                if block.active_at(wall_ms) and block.provisional_at(wall_ms):
                    provisional.add(block.incident_id or "")
        return {each: CaseStanding(each in provisional, each in pardoned) for each in incident_ids}

    def review(
        self,
        incident_id: str,
        decision: IncidentState,
        reason: str,
        by: str,
        wall_ms: int,
        policy: Policy,
        *,
        senior: bool = True,
    ) -> tuple[Incident, tuple[Block, ...]]:
        """Decides an incident and the appeals against it.

        CONFIRMED gives a provisional block its full term from the ladder. If the policy wants two people for
        a permanent block, or for what is severe, the first confirmation sets CONFIRMED_ONCE and the block
        still ends. OVERTURNED lifts the incident's blocks and pardons its strike at once. ESCALATED changes
        only the state.

        ``policy`` is the whole policy. ``senior`` says whether the person may decide what is escalated, where
        only admins may. Returns the incident and every changed block. Raises NotFound, InvalidInput if it is
        decided already, Conflict while somebody else holds the claim, and PermissionRefused if the same
        person confirms twice, or if others have to decide what was escalated. With ``sharing.second_person``
        a second person may confirm what is confirmed.
        """
        with self._database.write_transaction("review") as connection:
            before = read_incident(connection, incident_id)
            if before.state is IncidentState.OVERTURNED:
                raise InvalidInput("incident_id", f"{incident_id} is overturned already")
            if before.state not in tuple(IncidentState):
                raise Conflict(f"incident_id: {incident_id} is {before.state}, which only a newer gate knows")
            check_free(before, by, wall_ms)
            _check_level(before, decision, by, policy, senior=senior)
            rows = rows_before(connection, incident_id)
            number = next_number(connection)
            if decision is IncidentState.CONFIRMED:
                outcome = _confirm(connection, before, reason, by, wall_ms, number, policy)
            elif decision is IncidentState.OVERTURNED:
                outcome = _overturn(connection, incident_id, reason, by, wall_ms, number, policy)
            elif decision is IncidentState.ESCALATED:
                outcome = _Outcome(IncidentState.ESCALATED)
            else:
                raise InvalidInput("decision", f"{decision} is none of confirmed, overturned, escalated")
            values: dict[str, object] = {
                **UNCLAIMED,
                "state": outcome.state.value,
                "reviewed_ms": max(wall_ms, before.created_ms),
                "reviewed_by": by,
                "review_reason": reason,
                **first_look(before, by, wall_ms),
            }
            if decision is IncidentState.CONFIRMED and before.review.first_confirmed_by is None:
                values |= {"first_confirmed_ms": max(wall_ms, before.created_ms), "first_confirmed_by": by}
            if outcome.state is IncidentState.OVERTURNED and before.banking is not None:
                banking = banking_when_overturned(before.banking)
                values["banking"] = banking and records.banking_to_json(banking)
            update_incident(connection, incident_id, values)
            detail = {
                **outcome.detail,
                "decision": decision.value,
                "state": outcome.state.value,
                "reason": reason,
                "appeals": list(outcome.appeals),
            }
            written: dict[sa.Table, list[str]] = {
                incidents: [incident_id],
                blocks: [block.id for block in outcome.blocks],
                strikes: [strike.id for strike in outcome.strikes],
                appeals: list(outcome.appeals),
            }
            undo_ms = policy.for_publish(before.publish).queue.undo_ms
            undoing: dict[str, object] = {
                "undo": what_changed(connection, rows, written) if undo_ms else None,
                "undo_until_ms": wall_ms + undo_ms if undo_ms else None,
            }
            update_incident(connection, incident_id, undoing)
            self._audit(connection, wall_ms, by, "review", incident_id, detail, written)
            if outcome.blocks:
                notify(connection)
            return read_incident(connection, incident_id), outcome.blocks


def _check_level(
    incident: Incident, decision: IncidentState, by: str, policy: Policy, *, senior: bool
) -> None:
    """Raises PermissionRefused where others have to decide what was escalated."""
    if incident.state is not IncidentState.ESCALATED or decision is IncidentState.ESCALATED:
        return
    level = policy.for_publish(incident.publish).review.second_level
    if level is SecondLevel.ANOTHER and by == incident.review.reviewed_by:
        raise PermissionRefused(
            f"incident_id: {by} has escalated {incident.id}: another person decides it (review.second_level)"
        )
    if level is SecondLevel.ADMIN and not senior:
        raise PermissionRefused(
            f"incident_id: {incident.id} is escalated: an admin decides it (review.second_level)"
        )


def _resting_on(connection: sa.Connection, incident_id: str) -> tuple[Strike | None, tuple[Block, ...]]:
    found = connection.execute(sa.select(strikes).where(strikes.c.incident_id == incident_id))
    strike = next(readable(connection, found, records.strike_from_row), None)
    if strike is None:
        return None, ()
    return strike, tuple(blocks_of(connection, strike))


def _confirm(
    connection: sa.Connection,
    incident: Incident,
    reason: str,
    by: str,
    wall_ms: int,
    number: int,
    policy: Policy,
) -> _Outcome:
    if incident.state is IncidentState.CONFIRMED:
        vouches = policy.sharing.second_person and _is_of_one(incident) and by != incident.review.reviewed_by
        if not vouches and not open_appeals(connection, incident_id=incident.id):
            who = incident.review.reviewed_by
            raise InvalidInput("incident_id", f"{incident.id} is confirmed already by {who}")
        denied = decide_appeals(connection, AppealState.DENIED, reason, by, wall_ms, incident_id=incident.id)
        return _Outcome(IncidentState.CONFIRMED, appeals=tuple(denied))
    first = incident.review.first_confirmed_by
    strike, resting = _resting_on(connection, incident.id)
    applies = policy.for_publish(incident.publish)
    review = applies.review
    severe = severity_of(incident.verdict, applies) is Severity.SEVERE
    two_for_severe = severe and review.two_person_severe
    if two_for_severe and first == by:
        raise PermissionRefused(
            f"incident_id: {by} has confirmed {incident.id} already; "
            "what is severe needs the word of another person"
        )
    changed = []
    for block in resting:
        if not block.provisional or not block.active_at(wall_ms) or block.strike_id is not None:
            continue
        if first == by:
            raise PermissionRefused(
                f"incident_id: {by} has confirmed {incident.id} already; "
                "a permanent block needs the word of another person"
            )
        full_ms = block.full_until_ms or block.until_ms
        term = term_of(
            full_ms,
            block.created_ms,
            review,
            matched=by_vouched_footage(incident.verdict),
            confirmed=1 if first is None else 2,
            severe=severe,
        )
        changed.append(
            dataclasses.replace(
                block,
                until_ms=term.until_ms,
                provisional=term.provisional,
                review_by_ms=term.review_by_ms,
            )
        )
    for block in changed:
        update_block(connection, block, number)
    kept: tuple[Strike, ...] = ()
    if strike is not None and strike.review_by_ms is not None and stands(strike, wall_ms):
        kept = (dataclasses.replace(strike, review_by_ms=None),)
        update_strike(connection, kept[0])
    detail = {"blocks": {block.id: block.until_ms for block in changed}}
    if any(block.provisional for block in changed) or (two_for_severe and first is None):
        return _Outcome(IncidentState.CONFIRMED_ONCE, tuple(changed), kept, detail=detail)
    denied = decide_appeals(connection, AppealState.DENIED, reason, by, wall_ms, incident_id=incident.id)
    return _Outcome(IncidentState.CONFIRMED, tuple(changed), kept, tuple(denied), detail)


def _is_of_one(incident: Incident) -> bool:
    """Whether only one person has confirmed it."""
    review = incident.review
    return review.first_confirmed_by in (None, review.reviewed_by)


def _overturn(
    connection: sa.Connection,
    incident_id: str,
    reason: str,
    by: str,
    wall_ms: int,
    number: int,
    policy: Policy,
) -> _Outcome:
    strike, resting = _resting_on(connection, incident_id)
    undone = undo(
        connection,
        [] if strike is None else [strike],
        resting,
        by=by,
        reason=f"overturned: {reason}"[:512],
        wall_ms=wall_ms,
        number=number,
        policy=policy,
    )
    granted = decide_appeals(connection, AppealState.GRANTED, reason, by, wall_ms, incident_id=incident_id)
    touched = (*undone.pardoned, *undone.marked)
    return _Outcome(IncidentState.OVERTURNED, undone.changed, touched, tuple(granted), undone.detail)
