"""``edge-gate crisis``: declares, feeds, ends and reports the time of an attack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import TypeAdapter, ValidationError

from edge.api.auth import Role
from edge.cli.block import parse_duration_ms
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection, asks_gate
from edge.cli.output import (
    JsonOption,
    console,
    print_json,
    print_line,
    print_table,
    reports_errors,
    stderr,
    when,
)
from edge.cli.output_file import appearing_file
from edge.contract.gen import operator_pb2
from edge.errors import CallFailed, GateError, InvalidInput
from edge.policy import MAX_POLICY_BYTES
from edge.printable import printable
from edge.settings_file import open_regular, read_settings_text

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="The time of an attack: a stricter policy for the fleet, and a bank that people fill. It ends by "
    "itself.",
)
_PIECE_BYTES: Final = 256 * 1024
_ADD_TIMEOUT_S: Final = 900.0
"""Fingerprinting beside busy workers takes long."""
STATES: Final = {
    operator_pb2.CRISIS_STATE_PROPOSED: "proposed",
    operator_pb2.CRISIS_STATE_IN_FORCE: "in_force",
    operator_pb2.CRISIS_STATE_ENDED: "ended",
}
Name = Annotated[str, typer.Argument(help="Name of the crisis.", metavar="NAME")]
Reason = Annotated[str, typer.Option(help="Reason, kept on record.")]


def as_dict(crisis: operator_pb2.Crisis) -> dict[str, Any]:
    return {
        "name": crisis.name,
        "state": STATES.get(crisis.state, "unknown"),
        "drill": crisis.drill,
        "reason": crisis.reason,
        "declared_by": crisis.declared_by,
        "declared_wall_ms": crisis.declared_wall_ms,
        "confirmed_by": crisis.confirmed_by or None,
        "begun_wall_ms": crisis.begun_wall_ms or None,
        "until_wall_ms": crisis.until_wall_ms,
        "ended_wall_ms": crisis.ended_wall_ms or None,
        "ended_by": crisis.ended_by or None,
        "end_reason": crisis.end_reason or None,
        "apps": list(crisis.apps),
        "patch": json.loads(crisis.patch_json or "{}"),
        "share": crisis.share,
        "bank": crisis.bank,
    }


@app.command()
@reports_errors
@asks_gate
def declare(
    crisis: Name,
    reason: Reason,
    duration: Annotated[str, typer.Option("--for", help="How long: 90m, 6h, 2d …")] = "6h",
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy",
            help="What it makes stricter, a JSON Merge Patch of the policy (default: see the docs).",
        ),
    ] = None,
    apps: Annotated[
        list[str] | None,
        typer.Option("--app", help="Only for the streams of this app, or of those of a glob; repeatable."),
    ] = None,
    share: Annotated[bool, typer.Option("--share", help="Its bank may go to other companies.")] = False,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Declare a crisis: a stricter policy on every gate, and a bank `crisis-NAME`.

    It is in force at once, or waits for `crisis confirm` by a second person where the policy says so. It ends
    by itself. A patch that would loosen the policy is refused, and the error names the field.
    """
    request = operator_pb2.DeclareCrisisRequest(
        name=crisis,
        duration_ms=parse_duration_ms(duration),
        reason=reason,
        patch_json="" if policy is None else read_settings_text(policy, MAX_POLICY_BYTES),
        apps=apps or (),
        share=share,
    )
    with connection.operator(Role.ADMIN) as (stub, metadata):
        made = stub.DeclareCrisis(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    _print(made, as_json)


@app.command()
@reports_errors
@asks_gate
def confirm(crisis: Name, reason: Reason, *, connection: GateConnection, as_json: JsonOption = False) -> None:
    """Put a crisis in force that another person has declared."""
    request = operator_pb2.ConfirmCrisisRequest(name=crisis, reason=reason)
    with connection.operator(Role.ADMIN) as (stub, metadata):
        _print(stub.ConfirmCrisis(request, metadata=metadata, timeout=CALL_TIMEOUT_S), as_json)


@app.command()
@reports_errors
@asks_gate
def end(crisis: Name, reason: Reason, *, connection: GateConnection, as_json: JsonOption = False) -> None:
    """End a crisis before its time. Its bank and its record stay."""
    request = operator_pb2.EndCrisisRequest(name=crisis, reason=reason)
    with connection.operator(Role.ADMIN) as (stub, metadata):
        _print(stub.EndCrisis(request, metadata=metadata, timeout=CALL_TIMEOUT_S), as_json)


@app.command()
@reports_errors
@asks_gate
def add(
    crisis: Name,
    footage: Annotated[list[str], typer.Argument(help="Clips, stills, or URLs.", metavar="FILE|URL...")],
    note: Annotated[str, typer.Option(help="Free text kept with the entries.")] = "",
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Make footage known, in the bank of a crisis in force.

    A file is sent to the gate, which fingerprints it with its variants in a contained process. The gate reads
    a URL itself, from the places of its `limits.pull_from` alone: a clip, or twenty seconds of a live stream.

    What cannot be added is said, and makes the exit code 1. The rest is added.
    """
    added: list[dict[str, Any]] = []
    failed = []
    for each in footage:
        try:
            answer = _add(connection, crisis, each, note)
        except (GateError, OSError) as error:
            failed.append({"given": each, "error": str(error)})
            stderr.print(printable(f"{each}: {error}"), style="red", soft_wrap=True, markup=False)
            continue
        added.append({"given": each, "entry": answer.entry_id, "kind": answer.kind, "hashes": answer.hashes})
        if not as_json:
            print_line(f"{each}: known as {answer.entry_id}, {answer.hashes} hashes")
    if as_json:
        print_json({"crisis": crisis, "added": added, "failed": failed})
    if failed:
        raise typer.Exit(1)


def _add(connection: GateConnection, name: str, given: str, note: str) -> operator_pb2.AddToCrisisResponse:
    first = operator_pb2.AddToCrisisRequest(name=name, note=note)
    with ExitStack() as stack:
        if "://" in given:
            first.url = given
            pieces: Iterator[operator_pb2.AddToCrisisRequest] = iter((first,))
        else:
            file = stack.enter_context(open_regular(Path(given)))
            first.file_name = Path(given).name[:255]
            further = iter(lambda: file.read(_PIECE_BYTES), b"")
            pieces = chain((first,), (operator_pb2.AddToCrisisRequest(data=data) for data in further))
        stub, metadata = stack.enter_context(connection.operator(Role.REVIEWER))
        return stub.AddToCrisis(pieces, metadata=metadata, timeout=_ADD_TIMEOUT_S)


@app.command("list")
@reports_errors
@asks_gate
def list_crises(
    only_open: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """List crises and drills, newest first."""
    request = operator_pb2.ListCrisesRequest(only_open=only_open, limit=limit)
    with connection.operator(Role.VIEWER) as (stub, metadata):
        crises = stub.ListCrises(request, metadata=metadata, timeout=CALL_TIMEOUT_S).crises
    if as_json:
        print_json([as_dict(crisis) for crisis in crises])
        return
    print_table(
        ("crisis", "state", "declared by", "until (UTC)", "bank", "reason"),
        (
            (
                f"{crisis.name} (drill)" if crisis.drill else crisis.name,
                STATES.get(crisis.state, "unknown"),
                crisis.declared_by,
                when(crisis.ended_wall_ms or crisis.until_wall_ms),
                crisis.bank,
                crisis.reason,
            )
            for crisis in crises
        ),
        "No crises.",
    )


@app.command()
@reports_errors
@asks_gate
def show(
    crisis: Name,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write the after-action report, one HTML file.")
    ] = None,
    language: Annotated[str, typer.Option(help="Language of tables and HTML: en or ar.")] = "en",
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Show a crisis: its log, the copies found by variant, the times to cut: the after-action report."""
    from edge.report.crisis import CrisisReport
    from edge.report.crisis_html import highlights, period, render, sections, title
    from edge.report.languages import LANGUAGES, translation

    if language not in LANGUAGES:
        raise InvalidInput("--language", f"is none of {', '.join(LANGUAGES)}")
    with connection.operator(Role.VIEWER) as (stub, metadata):
        request = operator_pb2.GetCrisisRequest(name=crisis)
        found = stub.GetCrisis(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    try:
        report = TypeAdapter(CrisisReport).validate_json(found.report_json)
    except ValidationError:
        raise CallFailed(
            "the gate has another version, whose report is not known here", retryable=False
        ) from None
    if html is not None:
        with appearing_file("--html", html) as file:
            file.write(render(report, language))
    if as_json:
        print_json(json.loads(found.report_json))
        return
    t = translation(language)
    if html is not None:
        stderr.print(printable(f"{html}: {title(report, t)}"), soft_wrap=True)
        return
    console.print(printable(f"{title(report, t)}: {period(report, t)}"), style="bold", markup=False)
    print_table(("", ""), highlights(report, t), "")
    for section in sections(report, t):
        if section.rows:
            console.print(f"\n{section.title}", style="bold")
            print_table(section.columns, section.rows, "")


def _print(crisis: operator_pb2.Crisis, as_json: bool) -> None:
    if as_json:
        print_json(as_dict(crisis))
    elif crisis.state == operator_pb2.CRISIS_STATE_PROPOSED:
        print_line(f"{crisis.name} is proposed: another person puts it in force with `crisis confirm`")
    elif crisis.state == operator_pb2.CRISIS_STATE_IN_FORCE:
        print_line(f"{crisis.name} is in force until {when(crisis.until_wall_ms)} UTC, bank {crisis.bank}")
    else:
        print_line(f"{crisis.name} ended at {when(crisis.ended_wall_ms)} UTC: {crisis.end_reason}")
