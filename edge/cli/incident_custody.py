"""``edge-gate incident hold`` and ``erase``: what becomes of evidence."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.api.auth import Role
from edge.cli.incident_values import as_dict
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection, asks_gate
from edge.cli.output import JsonOption, print_json, print_line, reports_errors, when
from edge.contract.gen import operator_pb2
from edge.errors import InvalidInput

_ERASE_S = 600.0
"""Time limit of an erasure: thousands of files, perhaps in a bucket."""


@reports_errors
@asks_gate
def hold(
    incident_id: Annotated[str, typer.Argument(help="Id of the incident, from `incident list`.")],
    reason: Annotated[str, typer.Option(help="Reason, kept on record.")],
    release: Annotated[bool, typer.Option("--release", help="Release it instead.")] = False,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Put the evidence of an incident on hold, so that nothing erases it. Needs an admin."""
    request = operator_pb2.HoldEvidenceRequest(incident_id=incident_id, reason=reason, release=release)
    with connection.operator(Role.ADMIN) as (stub, metadata):
        incident = stub.HoldEvidence(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    if as_json:
        print_json(as_dict(incident))
    elif release:
        print_line(f"the evidence of {incident.id} is not on hold any more")
    else:
        print_line(f"the evidence of {incident.id} is on hold: nothing erases it until it is released")


@reports_errors
@asks_gate
def erase(
    broadcaster: Annotated[str, typer.Option(help="Account whose evidence is erased.")],
    reason: Annotated[str, typer.Option(help="Reason, kept on record.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Erase the clips, frames and records of all incidents of a broadcaster, and print the proof.

    Needs an admin. The incidents themselves stay in the ledger. What is on hold stays. With a fleet, the
    other gates erase their own folders within a minute; run it again for the whole proof.
    """
    if not broadcaster:
        raise InvalidInput("--broadcaster", "must not be empty")
    if not yes and not typer.confirm(
        f"Erase all evidence of {broadcaster!r}? It cannot be brought back.", err=True
    ):
        raise InvalidInput("--yes", "nothing was erased")
    request = operator_pb2.EraseEvidenceRequest(broadcaster=broadcaster, reason=reason)
    with connection.operator(Role.ADMIN) as (stub, metadata):
        answer = stub.EraseEvidence(request, metadata=metadata, timeout=_ERASE_S)
    if as_json:
        print_json(
            {
                "broadcaster": broadcaster,
                "erased": [
                    {
                        "incident_id": erasure.incident_id,
                        "why": erasure.why,
                        "wall_ms": erasure.wall_ms,
                        "files": [
                            {"name": file.name, "bytes": file.total_bytes, "sha256": file.sha256}
                            for file in erasure.files
                        ],
                    }
                    for erasure in answer.erased
                ],
                "held_incident_ids": list(answer.held_incident_ids),
                "waiting_incident_ids": list(answer.waiting_incident_ids),
            }
        )
        return
    for erasure in answer.erased:
        print_line(f"{erasure.incident_id}  erased at {when(erasure.wall_ms)} UTC ({erasure.why})")
        for file in erasure.files:
            print_line(f"    {file.sha256}  {file.name}, {file.total_bytes} bytes")
    for incident_id in answer.held_incident_ids:
        print_line(f"{incident_id}  stays: it is on hold")
    for incident_id in answer.waiting_incident_ids:
        print_line(f"{incident_id}  is in the folder of another gate, which erases it within a minute")
    if not (answer.erased or answer.held_incident_ids or answer.waiting_incident_ids):
        print_line(f"there is no evidence of {broadcaster}")
