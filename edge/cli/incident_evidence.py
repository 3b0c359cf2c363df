"""``edge-gate incident evidence``: shows what evidence there is, and writes it to files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edge.api.auth import Role
from edge.cli.operator_client import GateConnection, asks_gate
from edge.cli.output import JsonOption, print_json, print_line, reports_errors
from edge.contract.gen import operator_pb2
from edge.durable_files import appearing
from edge.errors import CallFailed, InvalidInput

_PARTS: Final = {
    "clip": operator_pb2.EVIDENCE_PART_CLIP,
    "posters": operator_pb2.EVIDENCE_PART_POSTERS,
}
_READ_S: Final = 300.0
"""Time limit of one call: a clip of many megabytes over a slow line."""
_SUFFIXES: Final = {"video/mp4": ".mp4", "image/jpeg": ".jpg"}


@reports_errors
@asks_gate
def evidence(
    incident_id: Annotated[str, typer.Argument(help="Id of the incident, from `incident list`.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write the clip and its posters to.")
    ] = None,
    part: Annotated[str, typer.Option(help="Write only this: clip or posters. Default: both.")] = "",
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Show the evidence of an incident, and write its clip and posters of it to a folder.

    Whoever reads evidence is named in the audit log. Only you can read the files that are written.
    """
    if part and part not in _PARTS:
        raise InvalidInput("--part", f"{part!r} is none of {', '.join(_PARTS)}")
    if part and out is None:
        raise InvalidInput("--part", "wants --out, which names the folder to write to")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with connection.operator(Role.VIEWER) as (stub, metadata):

        def read(number: operator_pb2.EvidencePart.ValueType) -> Iterator[operator_pb2.EvidenceChunk]:
            request = operator_pb2.GetEvidenceRequest(incident_id=incident_id, part=number)
            yield from stub.GetEvidence(request, metadata=metadata, timeout=_READ_S)

        account = next(read(operator_pb2.EVIDENCE_PART_ACCOUNT)).account
        if out is not None:
            for number in [_PARTS[part]] if part else _PARTS.values():
                written += _write(out, incident_id, read(number))
    shown = account_as_dict(account)
    if as_json:
        print_json({"incident_id": incident_id, **shown, "files": [str(path) for path in written]})
        return
    size = f"{account.clip_length_ms / 1000:.1f} s, {account.clip_bytes / 2**20:.1f} MB"
    print_line(f"{'clip':13} {size if account.clip_bytes else 'none'}")
    for category, peak in _peaks(account):
        at = f"{peak.clip_ms / 1000:.1f} s into the clip"
        print_line(f"{'score':13} {category}: highest {peak.score:.3f}, {at}")
    for witness in shown["witnesses"]:
        print_line(f"{'witness':13} {_witness_line(witness)}")
    for path in written:
        print_line(f"{'written':13} {path}")
    if out is None and account.clip_bytes:
        print_line("--out FOLDER writes the clip and posters of it to files")


def account_as_dict(account: operator_pb2.EvidenceAccount) -> dict[str, Any]:
    """Returns the machine's account as plain JSON values."""
    return {
        "clip_bytes": account.clip_bytes,
        "clip_length_ms": account.clip_length_ms,
        "scores": [
            {"clip_ms": point.clip_ms, "category": point.category, "score": point.score}
            for point in account.scores
        ],
        "witnesses": [
            {
                "source": witness.signal.source,
                "category": witness.signal.category,
                "clip_ms": witness.clip_ms if witness.HasField("clip_ms") else None,
                "score": witness.signal.score,
                "distance": None if witness.signal.distance < 0 else witness.signal.distance,
                "entry": witness.signal.entry or None,
                "bank": witness.signal.bank or None,
                "bank_incident_id": witness.bank_incident_id or None,
            }
            for witness in account.witnesses
        ],
    }


def _write(folder: Path, incident_id: str, chunks: Iterable[operator_pb2.EvidenceChunk]) -> Iterator[Path]:
    """Writes the files that a call brings. The gate names none of them here."""
    parts = iter(chunks)
    chunk = next(parts, None)
    while chunk is not None:
        file = chunk.file
        if file.media_type not in _SUFFIXES:
            raise CallFailed(
                f"the gate sends a file of the unknown kind {file.media_type!r}", retryable=False
            )
        moment = f"-{file.clip_ms}ms" if file.HasField("clip_ms") else ""
        path = folder / f"{Path(incident_id).name}{moment}{_SUFFIXES[file.media_type]}"
        with appearing(path) as target:
            while (chunk := next(parts, None)) is not None and chunk.WhichOneof("content") == "data":
                target.write(chunk.data)
        yield path


def _peaks(account: operator_pb2.EvidenceAccount) -> list[tuple[str, operator_pb2.ScorePoint]]:
    highest: dict[str, operator_pb2.ScorePoint] = {}
    for point in account.scores:
        if point.category not in highest or point.score > highest[point.category].score:
            highest[point.category] = point
    return sorted(highest.items(), key=lambda item: -item[1].score)


def _witness_line(witness: dict[str, Any]) -> str:
    where = "" if witness["clip_ms"] is None else f", {witness['clip_ms'] / 1000:.1f} s into the clip"
    if witness["bank"] is None:
        return f"{witness['category']} {witness['score']:.3f}{where}"
    of = f", made of {witness['bank_incident_id']}" if witness["bank_incident_id"] else ""
    return f"{witness['bank']}/{witness['entry']} at {witness['distance']} bits{where}{of}"
