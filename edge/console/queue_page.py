"""The queue: what waits for people, most urgent first."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from edge.api import bounds
from edge.console.visit import Visit
from edge.console.waiting import Job

SEEN: Final = "x-console-seen"
"""Header of what a page shows already. Without news the answer is 204."""
_SHOWN: Final = 50


async def queue(visit: Visit) -> Response:
    asked = visit.request.query_params
    chosen = {
        "category": bounds.text("category", asked.get("category", ""), 64),
        "app": bounds.text("app", asked.get("app", ""), 128),
        "only": bounds.text("only", asked.get("only", ""), 16),
    }
    jobs = await visit.waiting.jobs(visit.operator, visit.person, visit.session.token)
    shown = [job for job in jobs if _wanted(job, chosen, visit.person.name)]
    seen = _digest(shown, visit.words.language)
    if visit.part and visit.request.headers.get(SEEN) == seen:
        return Response(status_code=204)
    response = visit.show(
        "queue_rows.html" if visit.part else "queue.html",
        jobs=shown[:_SHOWN],
        more=max(0, len(shown) - _SHOWN),
        waiting=len(jobs),
        chosen=chosen,
        query=visit.request.url.query,
        categories=sorted(visit.gate.policy.categories),
        seen=seen,
    )
    response.headers[SEEN] = seen
    return response


def _wanted(job: Job, chosen: Mapping[str, str], name: str) -> bool:
    incident = job.incident
    if chosen["category"] and incident.verdict.category != chosen["category"]:
        return False
    if chosen["app"] and incident.app != chosen["app"]:
        return False
    return {"live": job.live, "severe": job.severe, "mine": incident.claimed_by == name}.get(
        chosen["only"], True
    )


def _digest(jobs: list[Job], language: str) -> str:
    """What a list of jobs shows, as a short text that changes with it."""
    digest = hashlib.sha256(f"{language} {len(jobs)}".encode())
    for job in jobs[:_SHOWN]:
        digest.update(job.incident.SerializeToString(deterministic=True))
        digest.update(b"%d %d %d" % (job.live, job.strikes, job.priority))
    return digest.hexdigest()[:32]
