"""Blocks, strikes, appeals and the audit log: lists, and what people may do with each."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from edge.api import bounds
from edge.api.auth import Role
from edge.api.operator_calls import MAX_SUBJECT_CHARS, ident
from edge.console.live_page import LENGTHS_MS
from edge.console.visit import Visit
from edge.contract.gen import operator_pb2
from edge.domain import SubjectKind, is_stream_id
from edge.errors import InvalidInput, NotFound

_PAGE: Final = 50


async def incidents(visit: Visit) -> Response:
    """Every incident, decided ones too, newest first."""
    asked = visit.request.query_params
    state = asked.get("state", "")
    known = {
        name.removeprefix("INCIDENT_STATE_").lower(): number
        for name, number in operator_pb2.IncidentState.items()
    }
    if state and state not in known:
        raise InvalidInput("state", f"is none of {', '.join(known)}")
    found = await visit.call(
        visit.operator.ListIncidents,
        operator_pb2.ListIncidentsRequest(
            state=known[state or "unspecified"],
            broadcaster=bounds.text("broadcaster", asked.get("broadcaster", ""), MAX_SUBJECT_CHARS),
            before_id=bounds.text("before", asked.get("before", ""), 64),
            limit=_PAGE,
        ),
    )
    return visit.show(
        "incidents.html",
        incidents=found.incidents,
        states=[name for name in known if name != "unspecified"],
        state=state,
        broadcaster=asked.get("broadcaster", ""),
        before=_before([each.id for each in found.incidents]),
    )


async def blocks(visit: Visit) -> Response:
    asked = visit.request.query_params
    ended = asked.get("ended") == "1"
    found = await visit.call(
        visit.operator.ListBlocks,
        operator_pb2.ListBlocksRequest(
            include_ended=ended,
            subject=bounds.text("subject", asked.get("subject", ""), MAX_SUBJECT_CHARS),
            before_id=bounds.text("before", asked.get("before", ""), 64),
            limit=_PAGE,
        ),
    )
    return visit.show(
        "blocks.html",
        blocks=found.blocks,
        ended=ended,
        subject=asked.get("subject", ""),
        kinds=[kind.value for kind in SubjectKind],
        lengths=LENGTHS_MS,
        before=_before([each.id for each in found.blocks]),
    )


async def add_block(visit: Visit) -> Response:
    visit.need(Role.REVIEWER)
    given = visit.form.get("length", "")
    if given not in {str(length) for length in LENGTHS_MS}:
        raise InvalidInput("length", "is none of those that can be chosen")
    await visit.call(
        visit.operator.AddBlock,
        operator_pb2.AddBlockRequest(
            subject_kind=visit.form.get("kind", ""),
            subject=visit.form.get("subject", "").strip(),
            app=visit.form.get("app", "").strip(),
            duration_ms=int(given),
            reason=visit.reason("block"),
        ),
    )
    return visit.done("done.block", "/blocks")


async def change_block(visit: Visit) -> Response:
    """Lifts a block, or confirms it as the second person."""
    block_id = ident("block_id", visit.request.path_params["block"])
    done = visit.request.path_params["done"]
    if done == "lift":
        request = operator_pb2.LiftBlockRequest(block_id=block_id, reason=visit.reason("lift"))
        await visit.call(visit.operator.LiftBlock, request)
    elif done == "confirm":
        confirm = operator_pb2.ConfirmBlockRequest(block_id=block_id, reason=visit.reason("block"))
        await visit.call(visit.operator.ConfirmBlock, confirm)
    else:
        raise NotFound("action", done[:64])
    return visit.done(f"done.block_{done}", "/blocks")


async def strikes(visit: Visit) -> Response:
    asked = visit.request.query_params
    pardoned = asked.get("pardoned") == "1"
    found = await visit.call(
        visit.operator.ListStrikes,
        operator_pb2.ListStrikesRequest(
            broadcaster=bounds.text("broadcaster", asked.get("broadcaster", ""), 512),
            include_pardoned=pardoned,
            before_id=bounds.text("before", asked.get("before", ""), 64),
            limit=_PAGE,
        ),
    )
    return visit.show(
        "strikes.html",
        strikes=found.strikes,
        pardoned=pardoned,
        broadcaster=asked.get("broadcaster", ""),
        before=_before([each.id for each in found.strikes]),
    )


async def pardon(visit: Visit) -> Response:
    strike_id = ident("strike_id", visit.request.path_params["strike"])
    request = operator_pb2.PardonStrikeRequest(strike_id=strike_id, reason=visit.reason("pardon"))
    await visit.call(visit.operator.PardonStrike, request)
    return visit.done("done.pardon", "/strikes")


async def appeals(visit: Visit) -> Response:
    asked = visit.request.query_params
    every = asked.get("all") == "1"
    found = await visit.call(
        visit.operator.ListAppeals,
        operator_pb2.ListAppealsRequest(
            state=operator_pb2.APPEAL_STATE_UNSPECIFIED if every else operator_pb2.APPEAL_STATE_OPEN,
            before_id=bounds.text("before", asked.get("before", ""), 64),
            limit=_PAGE,
        ),
    )
    return visit.show(
        "appeals.html",
        appeals=found.appeals,
        every=every,
        before=_before([each.id for each in found.appeals]),
    )


async def decide_appeal(visit: Visit) -> Response:
    done = visit.request.path_params["done"]
    if done not in ("grant", "deny"):
        raise NotFound("decision", done[:64])
    request = operator_pb2.DecideAppealRequest(
        appeal_id=ident("appeal_id", visit.request.path_params["appeal"]),
        grant=done == "grant",
        reason=visit.reason(done),
    )
    await visit.call(visit.operator.DecideAppeal, request)
    return visit.done(f"done.{done}", "/appeals")


async def audit(visit: Visit) -> Response:
    """Who did what, newest first."""
    before = bounds.text("before", visit.request.query_params.get("before", ""), 20)
    if before and not (before.isascii() and before.isdigit()):
        raise InvalidInput("before", "must be the number of an entry")
    number = min(int(before), 2**62) if before else None
    entries = await visit.gate.executor.call(
        visit.gate.ledger.audit_entries, limit=_PAGE, before_number=number
    )
    return visit.show(
        "audit.html",
        entries=entries,
        subjects={entry.number: _shown_subject(visit, entry.subject) for entry in entries},
        before=str(entries[-1].number) if len(entries) == _PAGE else "",
    )


def _shown_subject(visit: Visit, subject: str) -> str:
    """A viewer gets the beginning of a stream's id here, too."""
    return visit.operator.shown_stream_id(visit.person, subject) if is_stream_id(subject) else subject


def _before(ids: list[str]) -> str:
    """Where the next page begins; empty on the last one."""
    return ids[-1] if len(ids) == _PAGE else ""
