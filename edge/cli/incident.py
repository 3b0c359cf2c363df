"""``edge-gate incident``: lists, shows and reviews what the gate flagged and cut."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from edge.api.auth import Role
from edge.cli import appeal, block, strike
from edge.cli.incident_custody import erase, hold
from edge.cli.incident_evidence import evidence
from edge.cli.incident_queue import queue, take_next
from edge.cli.incident_second_thoughts import comment, comment_dict, undo
from edge.cli.incident_values import LEFT_OUT, STATES, WORDS, as_dict, banking_dict
from edge.cli.incident_watch import watch
from edge.cli.ledger_reader import SinceOption, UntilOption, parse_when
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection, asks_gate
from edge.cli.output import JsonOption, print_json, print_line, print_table, reports_errors, when
from edge.clock import SystemClock
from edge.contract.gen import operator_pb2
from edge.errors import InvalidInput

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Review what the gate flagged and cut. Claim an incident, look at it, then confirm or overturn it.",
)
app.command()(evidence)
app.command()(hold)
app.command()(erase)
app.command()(watch)
app.command()(queue)
app.command("next")(take_next)
app.command()(comment)
app.command()(undo)
_NOTHING = {
    "shadow": "it was decided in shadow mode",
    "known_already": "known footage led to the verdict; --from and --to name a stretch to bank all the same",
    "no_evidence": "its clip is not on this gate",
    "no_stretch": "nobody knows which part of the clip led to the verdict; --from and --to name it",
    "declined": "as asked",
    "nothing_left": "every frame was left out",
}
_SHORT_MS = 1000
"""A stretch under this has too few samples for a match where it is shown again."""
_POLL_S = 1.0
_BANKED_S = 600.0
"""How long `confirm` waits for what was banked."""

IdArgument = Annotated[str, typer.Argument(help="Id of the incident, from `incident list`.")]
ReasonOption = Annotated[str, typer.Option(help="Reason, kept on record.")]


def _witness_lines(incident: operator_pb2.Incident) -> list[str]:
    """One line for each model's signal behind the verdict: what, how sure, by what, and where in the clip.
    One for each new bank entry that was looked up in what the stream had shown."""
    verdict, lines = incident.verdict, []
    placed = incident.HasField("stretch") and verdict.HasField("begin_pts_ms")
    clip_ms = verdict.begin_pts_ms - incident.stretch.begin_ms if placed else 0
    for signal in verdict.signals:
        if signal.source == "detect":
            at_s = (signal.pts_ms - clip_ms) / 1000
            where = f"{at_s:.1f} s into the clip" if placed else f"at {at_s:.1f} s of media"
            kind = f" by {signal.kind}" if signal.kind else ""
            lines.append(f"{signal.category} {signal.score:.3f}{kind}, {where}")
        elif signal.HasField("missed_ms"):
            missed = f"{signal.missed_ms / 1000:.0f} s of it had been shown before the bank knew it"
            lines.append(f"{signal.category}, {signal.bank}/{signal.entry}: {missed}")
    return lines


@app.command("list")
@reports_errors
@asks_gate
def list_incidents(
    state: Annotated[str, typer.Option(help=f"{', '.join(STATES)}; empty: all.")] = "",
    category: Annotated[str, typer.Option(help="Only of this category.")] = "",
    app_name: Annotated[str, typer.Option("--app", help="Only of this application.")] = "",
    broadcaster: Annotated[str, typer.Option(help="Only of this broadcaster.")] = "",
    claimed_by: Annotated[str, typer.Option(help="Only incidents that this person has claimed.")] = "",
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    before: Annotated[str, typer.Option(help="Last id of the previous page.")] = "",
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """List incidents, newest first."""
    if state and state not in STATES:
        raise InvalidInput("--state", f"{state!r} is none of {', '.join(STATES)}")
    now = SystemClock().wall_ms()
    request = operator_pb2.ListIncidentsRequest(
        broadcaster=broadcaster,
        category=category,
        app=app_name,
        claimed_by=claimed_by,
        since_wall_ms=parse_when("--since", since, now) or 0,
        until_wall_ms=parse_when("--until", until, now) or 0,
        limit=limit,
        before_id=before,
    )
    if state:
        request.state = STATES[state]
    with connection.operator(Role.VIEWER) as (stub, metadata):
        incidents = stub.ListIncidents(request, metadata=metadata, timeout=CALL_TIMEOUT_S).incidents
    found = [as_dict(incident) for incident in incidents]
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "opened (UTC)", "what", "flags", "peak", "span", "broadcaster", "state", "cut"),
        (
            (
                one["id"],
                when(one["created_wall_ms"]),
                f"{_action_of(one)} {one['category'] or one['reason']}",
                *_columns_of(one["activity"]),
                one["broadcaster"],
                _state_of(one),
                _cut_of(one),
            )
            for one in found
        ),
        "No incidents.",
    )


@app.command()
@reports_errors
@asks_gate
def show(
    incident_id: IdArgument,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Show an incident: its causes, evidence, strike, blocks and appeals."""
    with connection.operator(Role.VIEWER) as (stub, metadata):
        request = operator_pb2.GetIncidentRequest(incident_id=incident_id, looking=True)
        case = stub.GetIncident(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    one = as_dict(case.incident)
    given = strike.as_dict(case.strike) if case.HasField("strike") else None
    if as_json:
        print_json(
            {
                **one,
                "strike": given,
                "blocks": [block.as_dict(made) for made in case.blocks],
                "appeals": [appeal.as_dict(filed) for filed in case.appeals],
                "comments": [comment_dict(made) for made in case.comments],
            }
        )
        return
    for label, value in (
        ("incident", one["id"]),
        ("opened (UTC)", when(one["created_wall_ms"])),
        (
            "verdict",
            f"{_action_of(one)}: {one['category'] or ''} {one['rule'] or one['reason']} {one['score']:.3f}",
        ),
        ("activity", _activity_line(one["activity"])),
        ("broadcaster", f"{one['broadcaster']} in {one['app']}/{one['name']}"),
        ("stream", f"{one['stream_id']} ({one['server']})"),
        ("evidence", _evidence_of(one)),
        ("stretch", one["stretch"] and f"{_seconds_of(one['stretch'])} of the clip led to the verdict"),
        ("cut", _cut_of(one)),
        ("state", one["state"]),
        ("banked", one["banking"] and "; ".join(_banking_lines(one["banking"]))),
        ("claimed", f"{one['claimed_by']} until {when(one['claimed_until_wall_ms'] or 0)}"),
        ("first look", f"{one['looked_by']} at {when(one['looked_wall_ms'] or 0)}"),
        ("first word", f"{one['first_confirmed_by']} at {when(one['first_confirmed_wall_ms'] or 0)}"),
        ("decided", f"{one['reviewed_by']} at {when(one['reviewed_wall_ms'] or 0)}: {one['review_reason']}"),
        ("strike", None if given is None else _strike_of(given)),
    ):
        if value and not str(value).startswith("None "):
            print_line(f"{label:13} {value}")
    for line in _witness_lines(case.incident):
        print_line(f"{'witness':13} {line}")
    for made in case.blocks:
        lifted = f", lifted by {made.lifted_by}: {made.lift_reason}" if made.lifted_wall_ms else ""
        print_line(f"{'block':13} {made.subject_kind} {made.subject} until {block.until(made)}{lifted}")
    for filed in case.appeals:
        print_line(f"{'appeal':13} {appeal.as_dict(filed)['state']} {filed.id}: {filed.text}")
    for said in case.comments:
        print_line(f"{'comment':13} {when(said.created_wall_ms)} {said.created_by}: {said.text}")


@app.command()
@reports_errors
@asks_gate
def claim(
    incident_id: IdArgument,
    release: Annotated[bool, typer.Option("--release", help="Release the claim instead.")] = False,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Reserve an incident for yourself while you review it. The claim expires by itself."""
    with connection.operator(Role.REVIEWER) as (stub, metadata):
        request = operator_pb2.ClaimIncidentRequest(incident_id=incident_id, release=release)
        incident = stub.ClaimIncident(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    until = when(incident.claimed_until_wall_ms)
    line = f"{incident.id} is free" if release else f"{incident.id} is {incident.claimed_by}'s until {until}"
    _say(incident, as_json, line)


@app.command()
@reports_errors
@asks_gate
def confirm(
    incident_id: IdArgument,
    reason: ReasonOption,
    from_s: Annotated[
        float | None,
        typer.Option("--from", min=0, help="Where the violation begins in the clip, in seconds."),
    ] = None,
    to_s: Annotated[
        float | None, typer.Option("--to", min=0, help="Where it ends in the clip, in seconds.")
    ] = None,
    bank: Annotated[
        bool, typer.Option("--bank/--no-bank", help="Make the stretch known footage, or nothing of it.")
    ] = True,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the gate has said what was banked.")
    ] = True,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Confirm the violation. A provisional block becomes the ladder's full block, and appeals are denied.

    The stretch of the clip that the verdict rests on becomes known footage: see `incident show`. Name the
    violation with --from and --to where it is another one. What was also seen in a calm stream, or stands
    still, is left out.
    """
    if (from_s is None) != (to_s is None):
        raise InvalidInput("--from", "wants --to, too, and --to wants --from")
    asked = operator_pb2.ReviewIncidentRequest(
        incident_id=incident_id, decision=STATES["confirmed"], reason=reason, bank_nothing=not bank
    )
    if from_s is not None and to_s is not None:
        asked.stretch.begin_ms, asked.stretch.end_ms = round(1000 * from_s), round(1000 * to_s)
    _review(asked, connection, as_json, wait=wait)


@app.command()
@reports_errors
@asks_gate
def overturn(
    incident_id: IdArgument,
    reason: ReasonOption,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Overturn the decision. Its blocks are lifted, its strike is pardoned, and appeals are granted, at
    once."""
    _review(_asked(incident_id, "overturned", reason), connection, as_json)


@app.command()
@reports_errors
@asks_gate
def escalate(
    incident_id: IdArgument,
    reason: ReasonOption,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Hand the decision to somebody else. Only the incident's state changes."""
    _review(_asked(incident_id, "escalated", reason), connection, as_json)


def _asked(incident_id: str, decision: str, reason: str) -> operator_pb2.ReviewIncidentRequest:
    return operator_pb2.ReviewIncidentRequest(
        incident_id=incident_id, decision=STATES[decision], reason=reason
    )


def _review(
    request: operator_pb2.ReviewIncidentRequest,
    connection: GateConnection,
    as_json: bool,
    *,
    wait: bool = False,
) -> None:
    with connection.operator(Role.REVIEWER) as (stub, metadata):
        incident = stub.ReviewIncident(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
        end = time.monotonic() + _BANKED_S
        while wait and incident.banking.state == operator_pb2.BANKING_STATE_PENDING:
            if time.monotonic() > end:
                break
            time.sleep(_POLL_S)
            again = operator_pb2.GetIncidentRequest(incident_id=incident.id)
            incident = stub.GetIncident(again, metadata=metadata, timeout=CALL_TIMEOUT_S).incident
    state = WORDS.get(incident.state, "unknown")
    more = ": it needs the word of another person" if state == "confirmed_once" else ""
    lines = [f"{incident.id} is {state}{more}"]
    if incident.undo_until_wall_ms:
        until = when(incident.undo_until_wall_ms)
        lines.append(f"`edge-gate incident undo {incident.id}` takes that back until {until}")
    if incident.HasField("banking"):
        lines += _banking_lines(banking_dict(incident.banking))
    _say(incident, as_json, *lines)


def _banking_lines(banking: dict[str, Any]) -> list[str]:
    """Says for people what of an incident is known footage, and what was left out."""
    where = f" of {_seconds_of(banking['stretch'])} of the clip" if banking["stretch"] else ""
    match banking["state"]:
        case "banked":
            lines = [f"known footage now: {banking['banked_frames']} frames{where}"]
            if banking["stretch"]["end_ms"] - banking["stretch"]["begin_ms"] < _SHORT_MS:
                lines.append("a stretch this short is seldom recognised: --from and --to name a longer one")
        case "nothing":
            lines = [f"nothing{where} is known footage: {_NOTHING.get(banking['reason'], banking['reason'])}"]
        case "failed":
            lines = [f"nothing{where} is known footage: {banking['detail']}"]
        case "pending":
            lines = [f"being banked{where}: `incident show` tells the rest"]
            lines += [f"not yet, it is tried again: {banking['detail']}"] if banking["detail"] else []
        case "withdrawing":
            lines = ["being taken out of known footage: until then it may match"]
            lines += [f"not yet, it is tried again: {banking['detail']}"] if banking["detail"] else []
        case "chosen":
            lines = [f"chosen{where}: to be banked once a second person confirms"]
        case state:
            lines = [f"{state}: nothing of it is known footage"]
    if gates := banking["gates_not_asked"]:
        lines.append(f"not asked: what streams of {', '.join(gates)} showed in the last day")
    left_out = [(frames, LEFT_OUT[reason]) for reason, frames in banking["left_out"].items() if frames]
    return lines + [f"left out: {frames} frames that {why}" for frames, why in left_out]


def _evidence_of(one: dict[str, Any]) -> str:
    if one["evidence_erased_wall_ms"] and not one["evidence_path"]:
        return f"erased at {when(one['evidence_erased_wall_ms'])} ({one['evidence_erased_why']})"
    held = f", on hold by {one['held_by']}: {one['hold_reason']}" if one["held_by"] else ""
    return f"{one['evidence_path'] or 'none'}{held}"


def _cut_of(one: dict[str, Any]) -> str:
    if one["action"] != "cut" or one["shadow"]:
        return ""
    if one["confirmed_by"]:
        return f"confirmed by {one['confirmed_by']}"
    return f"UNCONFIRMED ({one['cut_unconfirmed_reason']})" if one["cut_unconfirmed_reason"] else "asked"


def _seconds_of(stretch: dict[str, int]) -> str:
    return f"{stretch['begin_ms'] / 1000:.2f} to {stretch['end_ms'] / 1000:.2f} s"


def _strike_of(given: dict[str, Any]) -> str:
    if given["part_of_strike_id"]:
        return f"none of its own: {given['part_of_strike_id']} counts for the same occasion"
    words = [given["severity"]]
    if given["provisional"]:
        words.append(f"provisional until {when(given['review_by_wall_ms'])}")
    if given["pardoned"]:
        words.append(f"pardoned by {given['pardoned_by']}: {given['pardon_reason']}")
    return f"{given['id']} ({', '.join(words)})"


def _action_of(one: dict[str, Any]) -> str:
    words = [word for word in ("urgent", "shadow") if one[word]]
    return " ".join([*words, one["action"]])


def _state_of(one: dict[str, Any]) -> str:
    """Where its review stands, and what holds until then."""
    words = [one["state"], *(word for word in ("provisional", "pardoned") if one[word])]
    return ", ".join([*words, *([f"{one['claimed_by']}'s"] if one["claimed_by"] else [])])


def _columns_of(activity: dict[str, Any] | None) -> tuple[str, str, str]:
    """Columns of the list: how often, how strongly and how long it was flagged."""
    if activity is None:
        return "", "", ""
    return str(activity["verdicts"]), f"{activity['peak_score']:.2f}", _span_of(activity)


def _span_of(activity: dict[str, Any]) -> str:
    """How long it went on, in the stream's own time."""
    if activity["end_pts_ms"] < 0:
        return ""
    return f"{(activity['end_pts_ms'] - activity['start_pts_ms']) / 1000:.1f} s"


def _activity_line(activity: dict[str, Any] | None) -> str | None:
    if activity is None or activity["end_pts_ms"] < 0:
        return None
    times = "once" if activity["verdicts"] == 1 else f"{activity['verdicts']} times"
    return (
        f"flagged {times} over {_span_of(activity)} of media, peak {activity['peak_score']:.3f}, "
        f"newest sign at {when(activity['seen_wall_ms'])}"
    )


def _say(incident: operator_pb2.Incident, as_json: bool, *lines: str) -> None:
    if as_json:
        print_json(as_dict(incident))
        return
    for line in lines:
        print_line(line)
