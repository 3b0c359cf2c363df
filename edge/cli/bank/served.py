"""``edge-gate bank served``: the banks of a running gate, over the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from edge.api.auth import Role
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection, asks_gate
from edge.cli.output import JsonOption, print_json, print_line, print_table, reports_errors, stderr, when
from edge.contract.gen import operator_pb2

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="See and switch the banks of a running gate, over the network. Every change is on record.",
)
_CHANGE_TIMEOUT_S: Final = 60.0
"""A change runs in a process of its own beside busy workers."""
_STATES: Final = {
    "all": operator_pb2.BANK_ENTRY_STATE_UNSPECIFIED,
    "disabled": operator_pb2.BANK_ENTRY_STATE_DISABLED,
    "quarantined": operator_pb2.BANK_ENTRY_STATE_QUARANTINED,
}
_MARKS: Final = {
    "disable": (operator_pb2.BANK_MARK_DISABLE, "Let an entry match nothing."),
    "enable": (operator_pb2.BANK_MARK_ENABLE, "Let an entry match again."),
    "quarantine": (operator_pb2.BANK_MARK_QUARANTINE, "Let an entry ask for a person, never for a cut."),
    "release": (operator_pb2.BANK_MARK_RELEASE, "Let a quarantined entry cut again."),
}
BankName = Annotated[str, typer.Argument(help="Name of the bank.", metavar="BANK")]
EntryId = Annotated[str, typer.Argument(help="Id of the entry.", metavar="ENTRY")]
Reason = Annotated[str, typer.Option(help="Reason, kept on record.")]


def bank_as_dict(bank: operator_pb2.Bank) -> dict[str, Any]:
    return {
        "name": bank.name,
        "opinion": bank.opinion,
        "severity": bank.severity,
        "label": bank.label,
        "source": bank.source,
        "note": bank.note,
        "enabled": bank.enabled,
        "enabled_ratio": bank.enabled_ratio,
        "expires_wall_ms": bank.expires_wall_ms or None,
        "runaway_streams": bank.runaway_streams,
        "entries": bank.entries,
        "hashes": bank.hashes,
        "disabled": bank.disabled,
        "quarantined": bank.quarantined,
        "checkpoints": dict(bank.checkpoints),
        "problem": bank.problem or None,
        "hits": _hits(bank.hits),
        "switched": _note(bank.switched) if bank.HasField("switched") else None,
    }


def entry_as_dict(entry: operator_pb2.BankEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "kind": entry.kind,
        "label": entry.label,
        "source": entry.source,
        "note": entry.note,
        "duration_ms": entry.duration_ms,
        "added_wall_ms": entry.added_wall_ms or None,
        "disabled": entry.disabled,
        "quarantined": entry.quarantined,
        "marked": _note(entry.marked) if entry.HasField("marked") else None,
        "hits": _hits(entry.hits),
    }


@app.command("list")
@reports_errors
@asks_gate
def list_banks(*, connection: GateConnection, as_json: JsonOption = False) -> None:
    """List the banks of a gate, and how often each matched within the last thirty days."""
    with connection.operator(Role.VIEWER) as (stub, metadata):
        request = operator_pb2.ListBanksRequest()
        found = stub.ListBanks(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    if as_json:
        print_json(
            {
                "banks": [bank_as_dict(bank) for bank in found.banks],
                "hits_since_wall_ms": found.hits_since_wall_ms,
                "hits_cut_short": found.hits_cut_short,
            }
        )
        return
    print_table(
        (
            "bank",
            "opinion",
            "severity",
            "label",
            "entries",
            "disabled",
            "quarantined",
            "hits",
            "counted",
            "state",
        ),
        (
            (
                bank.name,
                bank.opinion,
                bank.severity,
                bank.label,
                bank.entries,
                bank.disabled,
                bank.quarantined,
                bank.hits.incidents,
                bank.hits.counted,
                bank.problem or ("" if bank.enabled else "off"),
            )
            for bank in found.banks
        ),
        "no banks",
    )


@app.command("entries")
@reports_errors
@asks_gate
def list_entries(
    bank: BankName,
    state: Annotated[str, typer.Option(help="all, disabled or quarantined.")] = "all",
    entry: Annotated[str, typer.Option("--entry", help="Only this entry.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    after: Annotated[str, typer.Option(help="`next` of the page before.")] = "",
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """List the entries of a bank: where each came from, how often it hit, why it is marked."""
    if state not in _STATES:
        raise typer.BadParameter(f"is none of {', '.join(_STATES)}", param_hint="--state")
    request = operator_pb2.ListBankEntriesRequest(
        bank=bank, state=_STATES[state], entry_id=entry, limit=limit, after=after
    )
    with connection.operator(Role.VIEWER) as (stub, metadata):
        found = stub.ListBankEntries(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    if as_json:
        entries = [entry_as_dict(each) for each in found.entries]
        print_json({"bank": bank_as_dict(found.bank), "entries": entries, "next": found.next or None})
        return
    print_table(
        ("entry", "kind", "label", "source", "hits", "counted", "state"),
        (
            (e.id, e.kind, e.label, e.source, e.hits.incidents, e.hits.counted, _state(e))
            for e in found.entries
        ),
        "no entries",
    )
    if found.next:
        stderr.print(f"more: --after {found.next}")


def _marking(word: str, mark: operator_pb2.BankMark.ValueType) -> Callable[..., None]:
    @reports_errors
    @asks_gate
    def command(
        bank: BankName,
        entry: EntryId,
        reason: Reason,
        *,
        connection: GateConnection,
        as_json: JsonOption = False,
    ) -> None:
        request = operator_pb2.MarkBankEntryRequest(bank=bank, entry_id=entry, mark=mark, reason=reason)
        with connection.operator(Role.REVIEWER) as (stub, metadata):
            done = stub.MarkBankEntry(request, metadata=metadata, timeout=_CHANGE_TIMEOUT_S)
        if as_json:
            print_json(entry_as_dict(done))
        else:
            print_line(f"{bank}/{done.id}: {_state(done) or 'in use'}")

    command.__name__ = word
    return command


for _word, (_mark, _help) in _MARKS.items():
    app.command(_word, help=_help)(_marking(_word, _mark))


@app.command("switch")
@reports_errors
@asks_gate
def switch(
    bank: BankName,
    on: Annotated[bool, typer.Option("--on/--off", help="Whether the bank is in use.")],
    reason: Reason,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Switch a whole bank on or off."""
    request = operator_pb2.SwitchBankRequest(bank=bank, enabled=on, reason=reason)
    with connection.operator(Role.ADMIN) as (stub, metadata):
        done = stub.SwitchBank(request, metadata=metadata, timeout=_CHANGE_TIMEOUT_S)
    if as_json:
        print_json(bank_as_dict(done))
    else:
        print_line(f"{done.name}: {'on' if done.enabled else 'off'}")


def _state(entry: operator_pb2.BankEntry) -> str:
    words = [word for word in ("disabled", "quarantined") if getattr(entry, word)]
    marked = entry.marked
    why = f" by {marked.by} at {when(marked.wall_ms)}: {marked.reason}" if entry.HasField("marked") else ""
    return " and ".join(words) + why


def _hits(hits: operator_pb2.BankHits) -> dict[str, Any]:
    return {
        "incidents": hits.incidents,
        "overturned": hits.overturned,
        "last_wall_ms": hits.last_wall_ms or None,
        "last_incident_id": hits.last_incident_id or None,
        "counted": hits.counted,
    }


def _note(note: operator_pb2.BankNote) -> dict[str, Any]:
    return {"by": note.by, "reason": note.reason, "wall_ms": note.wall_ms}
