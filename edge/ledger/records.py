"""Converts database rows and JSON to the domain's frozen types, and back.

What comes back has the types and bounds of the domain, whoever wrote the row. Raises UnknownRow for others.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from edge.banking import Banking, BankingState, LeftOutReason, NothingBanked
from edge.domain import (
    PERMANENT_MS,
    Action,
    Activity,
    Appeal,
    AppealState,
    BankSeverity,
    Block,
    Comment,
    Custody,
    Incident,
    IncidentState,
    ModelKind,
    Review,
    Severity,
    Signal,
    SignalSource,
    Strike,
    SubjectKind,
    Trace,
    Verdict,
)
from edge.errors import UnknownRow
from edge.reasons import UnconfirmedReason, VerdictReason

Kind = TypeVar("Kind")
_INCIDENT: Final = TypeAdapter(Incident)
_BLOCK: Final = TypeAdapter(Block)
_STRIKE: Final = TypeAdapter(Strike)
_APPEAL: Final = TypeAdapter(Appeal)
_COMMENT: Final = TypeAdapter(Comment)
_MOST: Final = 2**31 - 1
"""Of a number that is no time."""
_SEVERITIES: Final = {severity.value: severity for severity in Severity}
_ACTIONS = frozenset(action.value for action in Action)


def verdict_to_json(verdict: Verdict) -> str:
    """The full verdict with its trace, so a reader of the incident can replay it."""
    return json.dumps(dataclasses.asdict(verdict), ensure_ascii=False, sort_keys=True)


def verdict_from_json(text: str) -> Verdict:
    """Reads JSON of any version. Missing fields get defaults; unknown fields are dropped."""
    return verdict_from_values(json.loads(text))


def verdict_from_values(stored: dict[str, Any]) -> Verdict:
    """The same of parsed JSON."""
    values = _known(Verdict, stored)
    signals = tuple(_signal_from(signal) for signal in values.pop("signals"))
    trace = Trace(**_known(Trace, values["trace"])) if values.get("trace") else None
    reason = VerdictReason(values.get("reason", ""))
    return Verdict(
        **{
            **values,
            "action": Action(values["action"]),
            "reason": reason,
            "signals": signals,
            "trace": trace,
        }
    )


def _signal_from(stored: dict[str, Any]) -> Signal:
    values = _known(Signal, stored)
    typed = {name: values[name] for name in ("bank", "severity", "at_most") if name in values}
    if not typed:  # an earlier version wrote only words
        typed = dict(word.partition("=")[::2] for word in values.get("detail", "").split() if "=" in word)
    at_most = typed.get("at_most", Action.CUT.value)
    return Signal(
        **{
            **values,
            "source": SignalSource(values["source"]),
            "kind": ModelKind(values["kind"]) if values.get("kind") else None,
            "bank": typed.get("bank"),
            "severity": BankSeverity.of(typed.get("severity") or ""),
            # An unknown action of a newer gate must not permit a cut.
            "at_most": Action(at_most) if at_most in _ACTIONS else Action.FLAG,
        }
    )


def _known(kind: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Drops the fields that only a newer gate knows."""
    return {field.name: values[field.name] for field in dataclasses.fields(kind) if field.name in values}


def banking_to_json(banking: Banking) -> str:
    return json.dumps(dataclasses.asdict(banking), ensure_ascii=False, sort_keys=True)


def banking_from_json(text: str) -> Banking | None:
    """Reads JSON of any version. Returns None for a state that only a newer gate knows."""
    values = _known(Banking, json.loads(text))
    if values["state"] not in set(BankingState):
        return None
    known = set(LeftOutReason)
    left_out = values.get("left_out", {}).items()
    stretch_ms = values.get("stretch_ms")
    return Banking(
        **{
            **values,
            "state": BankingState(values["state"]),
            "reason": NothingBanked(values["reason"]) if values.get("reason") else None,
            "stretch_ms": None if stretch_ms is None else (stretch_ms[0], stretch_ms[1]),
            "left_out": {LeftOutReason(reason): frames for reason, frames in left_out if reason in known},
            "gates_not_asked": tuple(values.get("gates_not_asked", ())),
        }
    )


def incident_to_row(incident: Incident) -> dict[str, Any]:
    publish = incident.publish
    return {
        "id": incident.id,
        "stream_id": incident.stream_id,
        "server": publish.server,
        "connection": publish.connection,
        "app": publish.app,
        "name": publish.name,
        "broadcaster": publish.broadcaster,
        "address": publish.address,
        "attributes": json.dumps(dict(publish.attributes), ensure_ascii=False, sort_keys=True),
        **verdict_to_columns(incident.verdict),
        "created_ms": incident.created_ms,
        "state": incident.state.value,
        "evidence_path": incident.evidence_path,
        "evidence_begin_pts_ms": incident.evidence_begin_pts_ms,
        "evidence_end_pts_ms": incident.evidence_end_pts_ms,
        "durable_ms": incident.durable_ms,
        "cut_asked_ms": incident.cut_asked_ms,
        "cut_confirmed_ms": incident.cut_confirmed_ms,
        "confirmed_by": incident.confirmed_by,
        "cut_unconfirmed_ms": incident.cut_unconfirmed_ms,
        "cut_unconfirmed_reason": incident.cut_unconfirmed_reason and incident.cut_unconfirmed_reason.value,
        "admitted_ms": incident.admitted_ms,
        **({} if incident.activity is None else dataclasses.asdict(incident.activity)),
        "banking": incident.banking and banking_to_json(incident.banking),
        **dataclasses.asdict(incident.review),
        **dataclasses.asdict(incident.custody),
    }


def verdict_to_columns(verdict: Verdict) -> dict[str, Any]:
    """The columns of an incident that follow from its verdict."""
    return {
        "action": verdict.action.value,
        "category": verdict.category,
        "reason": verdict.reason.value,
        "score": verdict.score,
        "shadow": verdict.shadow,
        "verdict": verdict_to_json(verdict),
    }


def incident_from_row(row: Any) -> Incident:
    with known_row("incidents", row):
        return _made(
            _INCIDENT,
            id=row.id,
            stream_id=row.stream_id,
            publish={
                "server": row.server,
                "connection": row.connection,
                "app": row.app,
                "name": row.name,
                "broadcaster": row.broadcaster,
                "address": row.address,
                "attributes": json.loads(row.attributes),
            },
            verdict=dataclasses.asdict(verdict_from_json(row.verdict)),
            created_ms=row.created_ms,
            state=IncidentState(row.state),
            evidence_path=row.evidence_path,
            evidence_begin_pts_ms=row.evidence_begin_pts_ms,
            evidence_end_pts_ms=row.evidence_end_pts_ms,
            durable_ms=row.durable_ms,
            cut_asked_ms=row.cut_asked_ms,
            cut_confirmed_ms=row.cut_confirmed_ms,
            confirmed_by=row.confirmed_by,
            cut_unconfirmed_ms=row.cut_unconfirmed_ms,
            cut_unconfirmed_reason=row.cut_unconfirmed_reason
            and UnconfirmedReason(row.cut_unconfirmed_reason),
            admitted_ms=row.admitted_ms,
            activity=None if row.seen_ms is None else _fields(Activity, row),
            banking=_values_of(banking_from_json(row.banking)) if row.banking else None,
            review=_fields(Review, row),
            gate=row.gate or "",
            custody=_fields(Custody, row),
        )


def block_to_row(block: Block) -> dict[str, Any]:
    return {**dataclasses.asdict(block), "subject_kind": block.subject_kind.value}


def block_from_row(row: Any) -> Block:
    with known_row("blocks", row):
        values = _fields(Block, row)
        ends = {name: _end_of(values[name]) for name in ("until_ms", "full_until_ms")}
        return _made(_BLOCK, **{**values, **ends, "subject_kind": SubjectKind(row.subject_kind)})


def _end_of(wall_ms: Any) -> Any:
    """A block that ends after the end of time is permanent."""
    return min(wall_ms, PERMANENT_MS) if isinstance(wall_ms, int) else wall_ms


def strike_to_row(strike: Strike, stream_id: str | None) -> dict[str, Any]:
    return {**dataclasses.asdict(strike), "severity": strike.severity.value, "stream_id": stream_id}


def strike_from_row(row: Any) -> Strike:
    """A strike of a severity that only a newer gate knows counts as a normal one."""
    with known_row("strikes", row):
        severity = _SEVERITIES.get(row.severity, Severity.NORMAL)
        return _made(_STRIKE, **{**_fields(Strike, row), "severity": severity})


def appeal_to_row(appeal: Appeal) -> dict[str, Any]:
    return {**dataclasses.asdict(appeal), "state": appeal.state.value}


def appeal_from_row(row: Any) -> Appeal:
    with known_row("appeals", row):
        return _made(_APPEAL, **{**_fields(Appeal, row), "state": AppealState(row.state)})


def comment_to_row(comment: Comment) -> dict[str, Any]:
    return dataclasses.asdict(comment)


def comment_from_row(row: Any) -> Comment:
    with known_row("comments", row):
        return _made(_COMMENT, **_fields(Comment, row))


@contextmanager
def known_row(table: str, row: Any) -> Iterator[None]:
    """Turns what goes wrong in reading a row into UnknownRow."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnknownRow(table, str(row.id), f"{where}: {first['msg']}") from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise UnknownRow(table, str(row.id), f"{type(error).__name__}: {error}"[:200]) from None


def _values_of(known: Any) -> dict[str, Any] | None:
    """The fields of a dataclass, so that they are checked with those around it."""
    return None if known is None else dataclasses.asdict(known)


def _fields(kind: type[Any], row: Any) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(kind)}


def _made(kind: TypeAdapter[Kind], **values: Any) -> Kind:
    """Raises ValueError for values that the domain does not take."""
    made = kind.validate_python(values)
    _check_bounds("", made)
    return made


def _check_bounds(name: str, value: Any) -> None:
    """Raises ValueError for text that is no Unicode, and for numbers that nothing can show."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, int):
        most = PERMANENT_MS if name.endswith("_ms") else _MOST
        if not -most <= value <= most:
            raise ValueError(f"{name}: {value} is out of range")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            _check_bounds(name, key)
            _check_bounds(name, each)
    elif isinstance(value, tuple):
        for each in value:
            _check_bounds(name, each)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            _check_bounds(field.name, getattr(value, field.name))


def incident_to_json(incident: Incident) -> dict[str, Any]:
    """Converts an incident for the journal. ``incident_from_json`` reads it back."""
    return incident_to_row(incident)


class _JournalRow:
    """A line of the journal, read like a row. Fields that an earlier version did not write are None."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> None:
        return None


def incident_from_json(values: dict[str, Any]) -> Incident:
    return incident_from_row(_JournalRow(values))


def block_from_json(values: dict[str, Any]) -> Block:
    return block_from_row(_JournalRow({**_defaults(Block), **values}))


def strike_from_json(values: dict[str, Any]) -> Strike:
    return strike_from_row(_JournalRow({**_defaults(Strike), **values}))


def _defaults(kind: type[Any]) -> dict[str, Any]:
    """Of fields that an earlier version did not write."""
    return {
        field.name: field.default
        for field in dataclasses.fields(kind)
        if field.default is not dataclasses.MISSING
    }
