"""One incident: what was seen, by what, what has become of it, and who the broadcaster is."""

from __future__ import annotations

from starlette.responses import Response

from edge.api.operator_calls import ident
from edge.console.evidence import account
from edge.console.timeline import timeline
from edge.console.visit import Visit
from edge.console.waiting import live_streams
from edge.contract.gen import operator_pb2

_HISTORY = 20
_WITNESSES = 100


async def incident(visit: Visit) -> Response:
    incident_id = ident("incident_id", visit.request.path_params["incident"])
    case = await visit.call(
        visit.operator.GetIncident, operator_pb2.GetIncidentRequest(incident_id=incident_id)
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
    streams = await live_streams(visit.operator, visit.session.token)
    stream = next((each for each in streams if each.stream_id == found.stream_id), None)
    jobs = await visit.waiting.jobs(visit.operator, visit.person, visit.session.token)
    others = [job.incident.id for job in jobs if job.incident.id != incident_id]
    said = await account(visit, found)
    alike = next((each.bank_incident_id for each in said.witnesses if each.bank_incident_id), "")
    return visit.show(
        "incident.html",
        case=case,
        incident=found,
        job=visit.waiting.job(
            found, live=stream is not None, strikes=sum(not each.pardoned for each in strikes.strikes)
        ),
        stream=stream,
        strikes=strikes.strikes,
        before=[each for each in before.incidents if each.id != incident_id],
        next_id=others[0] if others else "",
        drawing=timeline(found, said),
        witnesses=said.witnesses[:_WITNESSES],
        alike=alike,
        spent=visit.spent,
        mine=found.claimed_by == visit.person.name
        and found.claimed_until_wall_ms > visit.gate.clock.wall_ms(),
    )
