"""The journal's entries: every decision of the gate that must not be lost, one line each.

A line is ``crc32 SPACE json LF``. Earlier versions wrote only violations, without a ``kind``.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, with_config

from edge.domain import Incident, Publish
from edge.errors import UnknownRow
from edge.ladder import Sanction
from edge.ledger import records
from edge.ledger.tables import incidents
from edge.ledger.violations import Violation
from edge.policy import LadderPolicy, ReviewPolicy, UnreviewedOutcome


class _Kind(StrEnum):
    OPENED = "opened"
    MARKED = "marked"
    STREAM_CUT = "stream_cut"


@dataclasses.dataclass(frozen=True, slots=True)
class Violated:
    """A violation, with the sanction of the policy that it was counted under."""

    violation: Violation
    sanction: Sanction


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """An incident without a strike."""

    incident: Incident
    wall_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class Marked:
    """A later fact about an incident: its cut, its evidence. ``values`` maps column names to values."""

    incident_id: str
    wall_ms: int
    what: str
    values: Mapping[str, object]


@dataclasses.dataclass(frozen=True, slots=True)
class StreamCut:
    """A cut without a verdict."""

    stream_id: str
    publish: Publish
    reason: str
    block_id: str | None
    wall_ms: int


_STRICT: Final = with_config(ConfigDict(extra="forbid"))
"""A field that only a later version knows may change what the entry means."""
_MARKED: Final = TypeAdapter(_STRICT(Marked))
_STREAM_CUT: Final = TypeAdapter(_STRICT(StreamCut))
_WALL_MS: Final = TypeAdapter(int).validate_python

Entry = Violated | Opened | Marked | StreamCut


def encode(entry: Entry) -> bytes:
    """Encodes one entry as a line."""
    body = json.dumps(_values(entry), ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> Entry | None:
    """Decodes one line. Returns None for a torn or damaged line, or one that only a later version
    understands."""
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        return _entry(json.loads(body.decode("utf-8", "surrogatepass")))
    except (UnknownRow, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def _entry(values: dict[str, Any]) -> Entry | None:
    match values.pop("kind", None):
        case None:
            return _violated(values)
        case _Kind.OPENED:
            return Opened(records.incident_from_json(values["incident"]), _WALL_MS(values["wall_ms"]))
        case _Kind.MARKED:
            marked = _MARKED.validate_python(values)
            if any(not isinstance(value, str | int | float | None) for value in marked.values.values()):
                return None
            return marked if marked.values.keys() <= set(incidents.columns.keys()) else None
        case _Kind.STREAM_CUT:
            return _STREAM_CUT.validate_python(values)
    return None


def _values(entry: Entry) -> dict[str, Any]:
    match entry:
        case Violated(violation, sanction):
            return {
                "incident": records.incident_to_json(violation.incident),
                "strike": {
                    **dataclasses.asdict(violation.strike),
                    "severity": violation.strike.severity.value,
                },
                "blocks": [records.block_to_row(block) for block in violation.blocks],
                "durable_ms": violation.durable_ms,
                "sanction": sanction.model_dump(mode="json"),
            }
        case Opened(incident, wall_ms):
            return {"kind": _Kind.OPENED, "incident": records.incident_to_json(incident), "wall_ms": wall_ms}
        case Marked():
            return {"kind": _Kind.MARKED, **dataclasses.asdict(entry)}
        case StreamCut():
            return {"kind": _Kind.STREAM_CUT, **dataclasses.asdict(entry)}


def _violated(values: dict[str, Any]) -> Violated:
    violation = Violation(
        incident=records.incident_from_json(values["incident"]),
        strike=records.strike_from_json(values["strike"]),
        blocks=tuple(records.block_from_json(block) for block in values["blocks"]),
        durable_ms=_WALL_MS(values["durable_ms"]),
        durable_in="journal",
    )
    if "sanction" in values:
        return Violated(violation, Sanction.model_validate(values["sanction"]))
    # An earlier version knew only the ladder, and gave every block its full term.
    full = ReviewPolicy(detector=UnreviewedOutcome.STAND)
    return Violated(violation, Sanction(ladder=LadderPolicy.model_validate(values["ladder"]), review=full))
