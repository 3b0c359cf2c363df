"""How the gate is: what a person must act on first, then load and what was shed."""

from __future__ import annotations

from starlette.responses import Response

from edge.console.visit import Visit
from edge.contract.gen import operator_pb2
from edge.errors import CallRefused, LedgerUnavailable

_LOOKED_AT = 200


async def health(visit: Visit) -> Response:
    gate = visit.gate
    streams = await visit.live_streams()
    asked = operator_pb2.ListIncidentsRequest(limit=_LOOKED_AT)
    try:
        recent = await visit.call(visit.operator.ListIncidents, asked)
        by_state = await gate.executor.call(gate.ledger.waiting_by_state)
    except (CallRefused, LedgerUnavailable):
        if not gate.executor.down:
            raise
        # That the ledger is away is what the page has to say.
        recent, by_state = operator_pb2.ListIncidentsResponse(), {}
    unconfirmed = [
        each for each in recent.incidents if each.cut_unconfirmed_wall_ms and not each.cut_confirmed_wall_ms
    ]
    up, wanted = gate.pool.places
    return visit.show(
        "health_rows.html" if visit.part else "health.html",
        unready=tuple(gate.unready()),
        problems=tuple(gate.health()),
        ledger_down=gate.executor.down,
        unconfirmed=unconfirmed,
        workers=gate.pool.loads(),
        up=up,
        wanted=wanted,
        streams=len(streams),
        unwatched=sum(not stream.watched for stream in streams),
        shed=sum(stream.shed for stream in streams),
        samples=sum(stream.samples for stream in streams),
        waiting=sum(each.incidents for each in by_state.values()),
        oldest_ms=min((each.oldest_ms for each in by_state.values() if each.oldest_ms), default=0),
        by_state={state.value: each for state, each in by_state.items() if each.incidents},
        policy_version=gate.policy.version,
        mode=gate.policy.mode.value,
        model=gate.pool.model_digest,
    )
