"""The clip of an incident as browsers play it: with ranges, of one fixed media type, sandboxed."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from starlette.responses import FileResponse, Response

from edge.api.operator_calls import ident
from edge.console.visit import Visit
from edge.contract.gen import operator_pb2
from edge.errors import NotFound

_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "cache-control": "private, no-store",
    "content-disposition": "inline",
    "accept-ranges": "bytes",
}
_RANGE: Final = re.compile(r"bytes=(\d{1,15})-(\d{0,15})", re.ASCII)
_MOST_BYTES: Final = 1 << 20
"""Of one answer to a range. A player that has enough leaves a longer one unread, and the server ends what is
not read."""


async def clip(visit: Visit) -> Response:
    """The MP4. Ranges are served, so that a player can seek."""
    incident_id = ident("incident_id", visit.request.path_params["incident"])
    case = await visit.call(
        visit.operator.GetIncident, operator_pb2.GetIncidentRequest(incident_id=incident_id)
    )
    path = await asyncio.to_thread(_inside, visit.gate.settings.evidence, case.incident.evidence_path)
    if path is None:
        raise NotFound("clip of incident", incident_id)
    asked = _RANGE.fullmatch(visit.request.headers.get("range", ""))
    if asked is None:
        return FileResponse(path, headers=_HEADERS, media_type="video/mp4")
    begin = int(asked[1])
    part, size = await asyncio.to_thread(_read, path, begin, int(asked[2] or begin + _MOST_BYTES))
    if not part:
        return Response(status_code=416, headers={**_HEADERS, "content-range": f"bytes */{size}"})
    span = f"bytes {begin}-{begin + len(part) - 1}/{size}"
    return Response(part, 206, {**_HEADERS, "content-range": span}, "video/mp4")


def _read(path: Path, begin: int, last: int) -> tuple[bytes, int]:
    """Bytes ``begin`` to ``last`` of a file, at most ``_MOST_BYTES`` of them, and its size."""
    with path.open("rb") as file:
        file.seek(begin)
        part = file.read(max(0, min(last - begin + 1, _MOST_BYTES)))
        return part, file.seek(0, 2)


def _inside(folder: Path, path: str) -> Path | None:
    """The clip, if it is a file of this gate's evidence."""
    if not path:
        return None
    found = Path(path).resolve()
    return found if found.is_file() and found.is_relative_to(folder.resolve()) else None
