"""The queue: what waits for people, most urgent first, as much of it as somebody wants to see."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.responses import RedirectResponse, Response

from edge.api import bounds
from edge.console.console import YEAR_S, Console
from edge.console.visit import ROOT, Visit
from edge.contract.gen import gate_pb2, operator_pb2

SEEN: Final = "x-console-seen"
"""Header of what a page shows already. Without news the answer is 204."""
QUEUE_COOKIE: Final = "edge-console-queue"
FACETS: Final = ("state", "severity", "category", "app", "tenant", "language")
_FILTER: Final = (*FACETS, "only")
_SHOWN: Final = 50
_MOST_QUERY: Final = 1024


class QueuePage:
    """The page, the next job, and the part of the queue that a person begins with."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def queue(self, visit: Visit) -> Response:
        query = visit.request.url.query
        if not query and not visit.part and (saved := _saved(visit)):
            return RedirectResponse(f"{ROOT}/queue?{saved}", 303)
        chosen = {name: visit.request.query_params.get(name, "") for name in _FILTER}
        asked = operator_pb2.ListWaitingRequest(filter=filter_of(chosen), limit=_SHOWN)
        found = await visit.call(visit.operator.ListWaiting, asked)
        seen = _digest(found, visit.words.language)
        if visit.part and visit.request.headers.get(SEEN) == seen:
            return Response(status_code=204)
        visit.session.queue = urlencode({name: value for name, value in chosen.items() if value})
        counts: dict[str, dict[str, int]] = {facet: {} for facet in FACETS}
        for one in found.counts:
            counts[one.facet][one.value] = one.incidents
        response = visit.show(
            "queue_rows.html" if visit.part else "queue.html",
            jobs=found.waiting,
            more=max(0, found.matching - len(found.waiting)),
            waiting=found.total,
            matching=found.matching,
            chosen=chosen,
            counts=counts,
            query=query,
            saved=_saved(visit),
            seen=seen,
            action_of=action_of,
        )
        response.headers[SEEN] = seen
        return response

    async def take_next(self, visit: Visit) -> Response:
        """Claims the most urgent incident of what the page shows, and opens it."""
        chosen = dict(parse_qsl(visit.session.queue))
        incident = await visit.call(
            visit.operator.ClaimNext, operator_pb2.ClaimNextRequest(filter=filter_of(chosen))
        )
        return visit.done("done.claim", f"/incidents/{incident.id}")

    async def save(self, visit: Visit) -> Response:
        """Keeps what the page shows as what this person begins with, or forgets it."""
        kept = "" if visit.form.get("forget") == "1" else visit.session.queue
        response = visit.done("queue.saved" if kept else "queue.forgotten", f"/queue?{kept or 'only='}")
        value = f"{_owner(visit)}.{kept}"
        self._console.set_cookie(response, QUEUE_COOKIE, value, YEAR_S if kept else 0)
        return response


def filter_of(chosen: dict[str, str]) -> operator_pb2.QueueFilter:
    """The filter of these fields. Whoever is asked bounds them."""
    return operator_pb2.QueueFilter(**{name: chosen.get(name, "") for name in _FILTER})


def action_of(incident: operator_pb2.Incident) -> str:
    """``flag`` or ``cut``, also where shadow mode withheld it."""
    verdict = incident.verdict
    action = verdict.shadow_action if incident.shadow else verdict.action
    return "cut" if action == gate_pb2.ACTION_CUT else "flag"


def _saved(visit: Visit) -> str:
    """What this person has chosen to begin with in this browser; empty for all of it."""
    owner, _, query = visit.request.cookies.get(QUEUE_COOKIE, "")[:_MOST_QUERY].partition(".")
    if owner != _owner(visit):
        return ""
    try:
        kept = [(name, value) for name, value in parse_qsl(query) if name in _FILTER]
        return urlencode([(name, bounds.text(name, value, 512)) for name, value in kept])
    except ValueError:
        return ""


def _owner(visit: Visit) -> str:
    """Several people may share a browser."""
    return hashlib.sha256(visit.person.name.encode()).hexdigest()[:16]


def _digest(found: operator_pb2.ListWaitingResponse, language: str) -> str:
    """What a part of the queue shows, as a short text that changes with it."""
    digest = hashlib.sha256(f"{language} {found.total} {found.matching}".encode())
    for one in _steady(found.waiting):
        digest.update(one.SerializeToString(deterministic=True))
    return digest.hexdigest()[:32]


def _steady(
    waiting: Iterable[operator_pb2.WaitingIncident],
) -> Iterable[operator_pb2.WaitingIncident]:
    """Without the digits of the priority that no page shows."""
    for one in waiting:
        steady = operator_pb2.WaitingIncident()
        steady.CopyFrom(one)
        steady.priority = round(one.priority)
        yield steady
