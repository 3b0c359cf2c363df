"""``edge-gate policy``: reads, validates and changes the policy of a running gate."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.api.auth import Role
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection, asks_gate
from edge.cli.output import JsonOption, print_json, print_line, print_table, reports_errors, stderr, when
from edge.contract.gen import operator_pb2
from edge.domain import SignalSource
from edge.errors import InvalidInput
from edge.policy import MAX_POLICY_BYTES, Mode, parse_policy, rates_of
from edge.policy_changes import changed_fields, explained, modes_of, overrides_of, shown_value
from edge.printable import printable
from edge.priority import explain_queue
from edge.settings_file import read_settings_text

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="What operators tune. Each change is a new version, in force at once on every gate of the ledger, "
    "running streams included.",
)

FileArgument = Annotated[Path, typer.Argument(help="The whole policy, JSON.")]


@app.command()
@reports_errors
@asks_gate
def get(
    version: Annotated[int, typer.Option(min=0, help="Version to print. 0: the version in force.")] = 0,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Print a policy for editing: `policy get > policy.json`, then `policy set policy.json`."""
    with connection.operator(Role.VIEWER) as (stub, metadata):
        request = operator_pb2.GetPolicyRequest(version=version)
        policy = stub.GetPolicy(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    if as_json:
        print_json({**_about(policy), "policy": json.loads(policy.json)})
        return
    stderr.print(_line(policy), soft_wrap=True)
    typer.echo(printable(policy.json, lines=True))


@app.command("set")
@reports_errors
@asks_gate
def set_policy(
    file: FileArgument,
    reason: Annotated[str, typer.Option(help="Reason, kept on record.")] = "",
    expect: Annotated[
        int | None,
        typer.Option(min=1, help="Version that you edited. Default: `version` in the file."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace any version.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only validate and show the changes.")] = False,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Put a policy in force and show what it changes.

    The gate refuses it when somebody else has changed the policy since the edited version. Get it again then.
    """
    text = read_settings_text(file, MAX_POLICY_BYTES)
    if not force and expect is None:
        expect = _version_of(text, file)
    if not reason and not dry_run:
        raise InvalidInput("--reason", "say why, for the record")
    role = Role.VIEWER if dry_run else Role.ADMIN
    with connection.operator(role) as (stub, metadata):
        before = stub.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=metadata, timeout=CALL_TIMEOUT_S)
        if dry_run:
            after = operator_pb2.Policy(version=before.version, json=parse_policy(text).model_dump_json())
        else:
            request = operator_pb2.SetPolicyRequest(
                json=text, expected_version=0 if force else expect or 0, reason=reason
            )
            after = stub.SetPolicy(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    changes = changed_fields(json.loads(before.json), json.loads(after.json))
    warnings = list(after.warnings) or _warnings_of(after.json)
    if as_json:
        print_json(
            {
                "version": after.version,
                "before": before.version,
                "stored": not dry_run,
                "changes": changes,
                "warnings": warnings,
            }
        )
        return
    _print_warnings(warnings)
    print_table(
        ("field", "before", "after"),
        ((each["field"], shown_value(each["before"]), shown_value(each["after"])) for each in changes),
        "Nothing changes.",
    )
    if not dry_run:
        print_line(f"version {after.version} is in force")


@app.command()
@reports_errors
@asks_gate
def history(
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    before: Annotated[int, typer.Option(min=0, help="Only versions below this one.")] = 0,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """List every version, newest first: when, by whom, why and what it changed."""
    with connection.operator(Role.VIEWER) as (stub, metadata):
        # One more than is shown, because the oldest is compared with the version before it.
        request = operator_pb2.ListPoliciesRequest(limit=min(limit + 1, 100), before_version=before)
        policies = list(stub.ListPolicies(request, metadata=metadata, timeout=CALL_TIMEOUT_S).policies)
    rows = []
    for index, policy in enumerate(policies[:limit]):
        older = policies[index + 1] if index + 1 < len(policies) else None
        changes = None if older is None else changed_fields(json.loads(older.json), json.loads(policy.json))
        rows.append((policy, changes))
    if as_json:
        print_json([{**_about(policy), "changes": changes} for policy, changes in rows])
        return
    print_table(
        ("version", "when (UTC)", "by", "why", "changed"),
        (
            (
                policy.version,
                when(policy.created_wall_ms),
                policy.created_by,
                policy.reason,
                "" if changes is None else ", ".join(str(each["field"]) for each in changes) or "nothing",
            )
            for policy, changes in rows
        ),
        "No policies.",
    )


@app.command()
@reports_errors
def validate(file: FileArgument, as_json: JsonOption = False) -> None:
    """Validate a policy file without a gate. Exit with 1 and name the field when it is not usable.

    Warns of effects that the author may not have meant. `set` also knows which categories the gate's model
    judges.
    """
    policy = parse_policy(read_settings_text(file, MAX_POLICY_BYTES))
    warnings = _warnings_of(policy.model_dump_json())
    if as_json:
        print_json(
            {"ok": True, "path": str(file), "policy": policy.model_dump(mode="json"), "warnings": warnings}
        )
    else:
        _print_warnings(warnings)
        print_line(f"{file}: ok")


@app.command()
@reports_errors
@asks_gate
def explain(
    file: Annotated[
        Path | None, typer.Argument(help="A policy, JSON. Default: the one in force.", show_default=False)
    ] = None,
    gop_ms: Annotated[
        int, typer.Option(min=100, max=60_000, help="Length of the streams' GOPs, milliseconds.")
    ] = 2000,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Show what the gate acts on, and what looks between keyframes cost and find.

    The first lines say what the gate acts on: in general, and for each application and tenant with a mode of
    its own. Then comes what each category does alone, what each rule does, and what each override changes in
    effect. `check-config --policy` shows those of an application and a tenant together. Lines that begin with
    `queue` say in which order people look at incidents.

    Times are those of known footage that is on screen for half or a quarter of the time, in any pattern that
    its publisher chooses without seeing when the gate looks, on a worker without time to spare. GOPs over
    `tiers.blind_limit_ms` need no looks.
    """
    from edge.stream import explain_looks

    if file is not None:
        policy = parse_policy(read_settings_text(file, MAX_POLICY_BYTES))
    else:
        with connection.operator(Role.VIEWER) as (stub, metadata):
            request = operator_pb2.GetPolicyRequest()
            policy = parse_policy(stub.GetPolicy(request, metadata=metadata, timeout=CALL_TIMEOUT_S).json)
    looks = explain_looks(policy, gop_ms=gop_ms)
    if as_json:
        print_json(
            {
                "modes": [
                    {"app": app, "tenant": tenant, **acts_on(mode)} for app, tenant, mode in modes_of(policy)
                ],
                "categories": {
                    name: {**part.model_dump(mode="json"), **rates_of(part)}
                    for name, part in policy.categories.items()
                },
                "rules": [rule.model_dump(mode="json") for rule in policy.rules],
                "overrides": overrides_of(policy),
                "queue": {
                    **policy.queue.model_dump(mode="json"),
                    "explained": list(explain_queue(policy.queue)),
                },
                "looks": [{**asdict(each), "risk": each.risk.name.lower()} for each in looks],
            }
        )
        return
    for line in explained(policy):
        print_line(line)
    print_table(
        ("risk", "one look every", "CPU", "on screen half of the time: p50, p95, p99", "a quarter"),
        (
            (
                each.risk.name.lower(),
                "no looks" if each.every_s is None else f"{each.every_s:.1f} s",
                f"+{100 * each.cost:.0f} %",
                *(f"{f.p50_s:.0f}, {f.p95_s:.0f}, {f.p99_s:.0f} s" for f in each.found),
                *(("", "") if not each.found else ()),
            )
            for each in looks
        ),
        "No risks.",
    )


def acts_on(mode: Mode) -> dict[str, Any]:
    return {
        "mode": mode.value,
        "acts_on_known_footage": mode.acts_on(SignalSource.MATCH),
        "acts_on_detector": mode.acts_on(SignalSource.DETECT),
    }


def _warnings_of(text: str) -> list[str]:
    """Warnings without a gate, so without its model."""
    from edge.policy_warnings import policy_warnings

    return list(policy_warnings(parse_policy(text), None))


def _print_warnings(warnings: list[str]) -> None:
    for text in warnings:
        stderr.print(f"warning: {text}", style="yellow", soft_wrap=True)


def _about(policy: operator_pb2.Policy) -> dict[str, Any]:
    return {
        "version": policy.version,
        "created_wall_ms": policy.created_wall_ms,
        "created_by": policy.created_by,
        "reason": policy.reason,
    }


def _line(policy: operator_pb2.Policy) -> str:
    why = f": {policy.reason}" if policy.reason else ""
    return f"version {policy.version} by {policy.created_by} at {when(policy.created_wall_ms)} UTC{why}"


def _version_of(text: str, file: Path) -> int:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(str(file), f"is no JSON: {error}") from None
    version = values.get("version") if isinstance(values, dict) else None
    if not isinstance(version, int) or version < 1:
        raise InvalidInput("--expect", f"{file} names no version: say which was edited, or --force")
    return version
