"""The transparency report of a period: in the page, as one HTML file and as JSON."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
from typing import Final

from starlette.responses import HTMLResponse, Response

from edge.console.visit import Visit
from edge.errors import InvalidInput
from edge.report.html import highlights, render
from edge.report.languages import LANGUAGES, translation
from edge.report.process import gathered
from edge.report.report import Report
from edge.report.words import NOTES, period, sections

_DAY_MS: Final = 86_400_000
_DAYS: Final = 30
_one_at_a_time = asyncio.Semaphore(1)


async def report(visit: Visit) -> Response:
    since, until = _period(visit)
    found = await _gathered(visit, since, until)
    t = translation(_language(visit))
    return visit.show(
        "report.html",
        since=since.isoformat(),
        until=until.isoformat(),
        period=period(found, t),
        highlights=highlights(found, t),
        sections=[section for section in sections(found, t) if section.rows],
        notes=tuple(map(t, NOTES)),
        made_ms=found.made_ms,
    )


async def as_html(visit: Visit) -> Response:
    since, until = _period(visit)
    found = await _gathered(visit, since, until)
    headers = {
        **_attachment(since, until, "html"),
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    }
    return HTMLResponse(render(found, _language(visit)), headers=headers)


async def as_json(visit: Visit) -> Response:
    since, until = _period(visit)
    found = await _gathered(visit, since, until)
    text = json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=2)
    return Response(text, media_type="application/json", headers=_attachment(since, until, "json"))


def _language(visit: Visit) -> str:
    return visit.words.language if visit.words.language in LANGUAGES else LANGUAGES[0]


def _period(visit: Visit) -> tuple[datetime.date, datetime.date]:
    """The first day and the last one, both included, in UTC. Raises InvalidInput."""
    asked = visit.request.query_params
    today = datetime.datetime.fromtimestamp(visit.gate.clock.wall_ms() / 1000, datetime.UTC).date()
    until = _day("until", asked.get("until", ""), today)
    since = _day("since", asked.get("since", ""), until - datetime.timedelta(days=_DAYS - 1))
    if since > until:
        raise InvalidInput("since", "must not be after until")
    return since, until


def _day(field: str, text: str, default: datetime.date) -> datetime.date:
    if not text:
        return default
    try:
        day = datetime.date.fromisoformat(text[:32])
    except ValueError:
        raise InvalidInput(field, "must be a day such as 2026-01-31") from None
    if not 1971 <= day.year <= 9998:
        raise InvalidInput(field, "must be a day such as 2026-01-31")
    return day


async def _gathered(visit: Visit, since: datetime.date, until: datetime.date) -> Report:
    async with _one_at_a_time:
        now = visit.gate.clock.wall_ms()
        begin = _start_ms(since)
        end = max(begin + 1, min(_start_ms(until) + _DAY_MS, now))
        return await gathered(visit.gate.settings.ledger, begin, end, now)


def _start_ms(day: datetime.date) -> int:
    return int(datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp() * 1000)


def _attachment(since: datetime.date, until: datetime.date, ending: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="report-{since}-{until}.{ending}"'}
