"""One incident: what was seen, by what, what has become of it, and who the broadcaster is."""

from __future__ import annotations

from starlette.responses import Response

from edge.api.operator_calls import ident
from edge.console.evidence import account
from edge.console.queue_page import action_of
from edge.console.timeline import timeline
from edge.console.visit import Visit
from edge.contract.gen import operator_pb2
from edge.ledger.comments import MAX_COMMENT_BYTES
from edge.supervise.review_queue import QueueFilter

_HISTORY = 20
_WITNESSES = 100


async def incident(visit: Visit) -> Response:
    incident_id = ident("incident_id", visit.request.path_params["incident"])
    case = await visit.call(
        visit.operator.GetIncident, operator_pb2.GetIncidentRequest(incident_id=incident_id, looking=True)
    )
    found = case.incident
    strikes = await visit.call(
        visit.operator.ListStrikes,
        operator_pb2.ListStrikesRequest(broadcaster=found.broadcaster, include_pardoned=True, limit=_HISTORY),
    )
    before = await visit.call(
        visit.operator.ListIncidents,
        operator_pb2.ListIncidentsRequest(broadcaster=found.broadcaster, limit=_HISTORY),
    )
    streams = await visit.live_streams()
    stream = next((each for each in streams if each.stream_id == found.stream_id), None)
    free = QueueFilter(only="free", name=visit.person.name)
    others = [each.waiting.id for each in (await visit.gate.queue.view(free, 2)).queued]
    said = await account(visit, found)
    alike = next((each.bank_incident_id for each in said.witnesses if each.bank_incident_id), "")
    return visit.show(
        "incident.html",
        case=case,
        incident=found,
        job=await visit.operator.ranked(incident_id),
        action=action_of(found),
        stream=stream,
        strikes=strikes.strikes,
        before=[each for each in before.incidents if each.id != incident_id],
        next_id=next((each for each in others if each != incident_id), ""),
        drawing=timeline(found, said),
        witnesses=said.witnesses[:_WITNESSES],
        alike=alike,
        spent=visit.spent,
        undoable=found.reviewed_by == visit.person.name
        and found.undo_until_wall_ms > visit.gate.clock.wall_ms(),
        most_comment=MAX_COMMENT_BYTES,
        mine=found.claimed_by == visit.person.name
        and found.claimed_until_wall_ms > visit.gate.clock.wall_ms(),
    )
