"""Crises: declare, confirm and end them, give footage to them, and see what they led to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote, unquote

from pydantic import TypeAdapter
from starlette.responses import HTMLResponse, Response

from edge.api.auth import Role
from edge.api.operator_crises import MAX_DATA_BYTES
from edge.console.visit import Visit
from edge.contract.gen import operator_pb2
from edge.errors import InvalidInput
from edge.report.crisis import CrisisReport
from edge.report.crisis_html import highlights, period, render, sections
from edge.report.languages import LANGUAGES, translation

FILE_NAME: Final = "x-console-file"
"""Header with the URL-encoded name of a file that is given."""
_HOURS: Final = (1, 3, 6, 12, 24, 72)
_HOUR_MS: Final = 3_600_000
_REPORT: Final = TypeAdapter(CrisisReport)


async def crises(visit: Visit) -> Response:
    """Every crisis, and the form that declares one."""
    found = await visit.call(visit.operator.ListCrises, operator_pb2.ListCrisesRequest())
    return visit.show(
        "crises.html",
        found=found.crises,
        hours=_HOURS,
        two_people=visit.gate.policy.crisis.two_people,
        admin=visit.may(Role.ADMIN),
    )


async def crisis(visit: Visit) -> Response:
    """One crisis: what people can do in it, its figures and its log."""
    found, report = await _found(visit)
    t = translation(_language(visit))
    return visit.show(
        "crisis.html",
        crisis=found.crisis,
        open=found.crisis.state != operator_pb2.CRISIS_STATE_ENDED,
        proposed=found.crisis.state == operator_pb2.CRISIS_STATE_PROPOSED,
        period=period(report, t),
        highlights=highlights(report, t),
        sections=[section for section in sections(report, t) if section.rows],
        most_mb=visit.gate.settings.limits.max_crisis_file_mb,
        admin=visit.may(Role.ADMIN),
    )


async def as_html(visit: Visit) -> Response:
    _, report = await _found(visit)
    headers = {
        **_attachment(report.name, "html"),
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    }
    return HTMLResponse(render(report, _language(visit)), headers=headers)


async def as_json(visit: Visit) -> Response:
    name = visit.request.path_params["crisis"]
    found = await visit.call(visit.operator.GetCrisis, operator_pb2.GetCrisisRequest(name=name))
    return Response(
        found.report_json, media_type="application/json", headers=_attachment(found.crisis.name, "json")
    )


async def declare(visit: Visit) -> Response:
    form = visit.form
    if form.get("hours", "") not in map(str, _HOURS):
        raise InvalidInput("hours", f"is none of {', '.join(map(str, _HOURS))}")
    request = operator_pb2.DeclareCrisisRequest(
        name=form.get("name", "").strip(),
        duration_ms=int(form["hours"]) * _HOUR_MS,
        reason=visit.reason("crisis"),
        patch_json=form.get("patch", "").strip(),
        apps=form.get("apps", "").split(),
        share=form.get("share") == "1",
    )
    made = await visit.call(visit.operator.DeclareCrisis, request)
    proposed = made.state == operator_pb2.CRISIS_STATE_PROPOSED
    return visit.done("done.crisis_proposed" if proposed else "done.crisis", f"/crises/{quote(made.name)}")


async def confirm(visit: Visit) -> Response:
    name = visit.request.path_params["crisis"]
    request = operator_pb2.ConfirmCrisisRequest(name=name, reason=visit.reason("crisis"))
    await visit.call(visit.operator.ConfirmCrisis, request)
    return visit.done("done.crisis", f"/crises/{quote(name)}")


async def end(visit: Visit) -> Response:
    name = visit.request.path_params["crisis"]
    request = operator_pb2.EndCrisisRequest(name=name, reason=visit.reason("crisis_end"))
    await visit.call(visit.operator.EndCrisis, request)
    return visit.done("done.crisis_ended", f"/crises/{quote(name)}")


async def add_url(visit: Visit) -> Response:
    name = visit.request.path_params["crisis"]
    first = operator_pb2.AddToCrisisRequest(
        name=name, url=visit.form.get("url", "").strip(), note=visit.form.get("note", "").strip()
    )
    await visit.call(visit.operator.AddToCrisis, _alone(first))
    return visit.done("done.crisis_footage", f"/crises/{quote(name)}")


async def add_file(visit: Visit) -> Response:
    """Takes a file as the body of the request, piece by piece."""
    name = visit.request.path_params["crisis"]
    file_name = unquote(visit.request.headers.get(FILE_NAME, ""))
    await visit.call(visit.operator.AddToCrisis, _pieces(visit, name, file_name))
    return visit.done("done.crisis_footage", f"/crises/{quote(name)}")


async def _alone(first: operator_pb2.AddToCrisisRequest) -> AsyncIterator[operator_pb2.AddToCrisisRequest]:
    yield first


async def _pieces(visit: Visit, name: str, file_name: str) -> AsyncIterator[operator_pb2.AddToCrisisRequest]:
    yield operator_pb2.AddToCrisisRequest(name=name, file_name=file_name)
    async for chunk in visit.request.stream():
        for at in range(0, len(chunk), MAX_DATA_BYTES):
            yield operator_pb2.AddToCrisisRequest(data=chunk[at : at + MAX_DATA_BYTES])


async def _found(visit: Visit) -> tuple[operator_pb2.GetCrisisResponse, CrisisReport]:
    name = visit.request.path_params["crisis"]
    found = await visit.call(visit.operator.GetCrisis, operator_pb2.GetCrisisRequest(name=name))
    return found, _REPORT.validate_json(found.report_json)


def _language(visit: Visit) -> str:
    return visit.words.language if visit.words.language in LANGUAGES else LANGUAGES[0]


def _attachment(name: str, ending: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="crisis-{name}.{ending}"'}
