"""``edge-gate bank explain``: what an entry may ask for on a gate, and why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edge.cli.output import JsonOption, print_json, print_line, reports_errors, when
from edge.errors import NotFound
from edge.match import BankSet, Entry
from edge.match.bank.bank_set import OpenBank, stamp_of
from edge.match.bank.guards import Facts, GuardReason, Guards, SourceRecord, source_of, standing

_DOES: Final = {"cut": "may cut", "flag": "may only flag", "pass": "may only count"}


@reports_errors
def explain(
    entry: Annotated[str, typer.Argument(help="Id of the entry.", metavar="ENTRY")],
    copies: Annotated[
        Path, typer.Option(help="The banks as the gate uses them: DATA_DIR/bank-copies.", metavar="DIR")
    ] = Path("edge-data/bank-copies"),
    bank: Annotated[str, typer.Option("--bank", "-b", help="Only in this bank.", metavar="NAME")] = "",
    *,
    as_json: JsonOption = False,
) -> None:
    """Say what an entry may ask for, what keeps it from more, and what its source is worth."""
    now = time.time_ns() // 1_000_000
    if not copies.is_dir():
        raise NotFound("folder of banks", str(copies))
    banks = BankSet().read_anew(copies, stamp_of(copies), strict=False, verify=False).banks
    found = [
        _explained(opened, known, segment.digest, now)
        for opened in banks
        if bank in ("", opened.bank.name)
        for segment, removed in zip(opened.bank.segments, opened.bank.removed, strict=True)
        if entry not in removed and (known := segment.find(entry)) is not None
    ]
    if not found:
        raise NotFound("entry", entry)
    if as_json:
        print_json(found)
        return
    for one in found:
        print_line("\n".join(_lines(one)))


def _explained(opened: OpenBank, entry: Entry, segment: str, now_ms: int) -> dict[str, Any]:
    info, manifest, guards = opened.bank.info, opened.bank.manifest, opened.guards
    quarantined = entry.id in manifest.quarantined
    facts = (
        Facts(info.opinion, quarantined)
        if guards is None
        else guards.facts(opened.bank.name, info, entry, segment, now_ms, quarantined=quarantined)
    )
    stands = standing(facts)
    source = source_of(opened.bank.name, info, entry)
    record = (guards or Guards()).sources.get(source, SourceRecord())
    off = entry.id in manifest.disabled or not opened.usable(now_ms)
    return {
        "bank": opened.bank.name,
        "entry": entry.id,
        "source": source,
        "purpose": info.opinion.value,
        "in_use": not off,
        "action": stands.action.value,
        "reasons": [reason.value for reason in stands.reasons],
        "guarded": guards is not None,
        "age_ms": facts.age_ms,
        "probation_ms": facts.probation_ms,
        "vouched": facts.vouched,
        "most_seen": facts.most_seen,
        "finding": None if facts.finding is None else facts.finding.model_dump(),
        "source_record": record.model_dump(),
    }


def _lines(one: dict[str, Any]) -> list[str]:
    finding, record = one["finding"] or {}, one["source_record"]
    share, streams = 100 * finding.get("benign_share", 0.0), finding.get("streams", 0)
    weight, calm = finding.get("weight", 0.0), finding.get("own_calm", 0)
    left_h = (one["probation_ms"] - one["age_ms"]) / 3_600_000
    words = {
        GuardReason.BENIGN: f"{share:.0f} % of its hashes are near a benign entry",
        GuardReason.SEEN: f"{streams} streams of the last day have shown it, which weigh {weight:.1f} of "
        f"{one['most_seen']:g}",
        GuardReason.OWN_CALM: f"the calm part of its own stream has shown {calm} of its frames",
        GuardReason.DEMOTED: f"its source is demoted: {record['demoted'] or 'by the policy'}",
        GuardReason.PROBATION: f"it is on probation for another {left_h:.1f} h",
        GuardReason.UNCHECKED: "it is not checked yet",
        GuardReason.QUARANTINED: "it is quarantined",
    }
    state = "" if one["in_use"] else ", and is off"
    reviews = record["confirmed"] + record["overturned"]
    lines = [
        f"{one['bank']}/{one['entry']}: {_DOES[one['action']]}{state}",
        *(f"  because {words[GuardReason(reason)]}" for reason in one["reasons"]),
        f"  its bank is for: {one['purpose']}",
        f"  source {one['source']}: {record['incidents']} incidents in 30 days, {reviews} reviewed, "
        f"{record['confirmed']} confirmed",
    ]
    if reviews:
        lines.append(f"  precision by review: {record['low']:.2f} to {record['high']:.2f} (95 %)")
    if record["demoted"]:
        lines.append(f"  demoted since {when(record['since_ms'])}")
    if not one["guarded"]:
        lines.append("  no gate has checked these banks, so nothing is held back")
    return lines
