"""``edge-gate demo``: runs the whole job once, on real footage, on this machine."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from edge.cli.output import JsonOption, console, print_json, reports_errors, stderr, when
from edge.errors import DemoFailed
from edge.printable import printable

if TYPE_CHECKING:
    from edge.cli.demo_footage import DemoFootage
    from edge.cli.demo_view import DemoView
    from edge.gate_process import GateProcess

_BROADCASTER = "demo-broadcaster"
_EVIDENCE_WAIT_S = 15.0
_REFUSAL_WAIT_S = 15.0
_ADMISSION_WAIT_S = 20.0
"""How long the demo asks again while the gate has no place, as on a busy machine after its start."""
_ADMISSION_PAUSE_S = 1.0


@reports_errors
def demo(
    clip: Annotated[
        Path | None,
        typer.Argument(
            help="Your own footage for the second part. The demo reports what the gate does with it."
        ),
    ] = None,
    shared: Annotated[bool, typer.Option(help="Use the labelled fights of ../shared if present.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Show the whole job: a real RTMP publish is admitted, watched, judged, cut and refused afterwards.

    Starts a gate and the reference ingest on free loopback ports. Publishes calm footage, then violating
    footage. Ends with the time to cut, the refused reconnect and the evidence. Exits with 1 when nothing
    was cut.
    """
    from edge.cli.demo_footage import demo_footage, shared_data
    from edge.cli.demo_view import DemoView

    footage = demo_footage(clip, shared_data() if shared else None)
    signal.signal(signal.SIGTERM, _interrupt)
    directory = Path(tempfile.mkdtemp(prefix="edge-gate-demo-"))
    try:
        with DemoView(stderr, quiet=as_json) as view:
            result = _run(footage, directory, view)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    if not result["cut"]:
        shutil.rmtree(directory, ignore_errors=True)
    if as_json:
        print_json(result)
    else:
        _print_result(result)
    if not result["cut"] or not result["reconnect_refused"]:
        raise typer.Exit(1)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _run(footage: DemoFootage, directory: Path, view: DemoView) -> dict[str, Any]:
    from edge.gate_process import ENFORCING, GateProcess
    from edge.ingest.test_footage import write_programme

    view.step(f"preparing footage: {footage.description}")
    programme = directory / "programme.flv"
    write_programme(footage.parts, programme)
    if footage.known is not None:
        view.step(f"registering {footage.known.name} in a bank of known footage")
        _register(footage.known, directory / "gate" / "banks" / "demo")
    view.step("starting the gate")
    with GateProcess(directory / "gate", config='log_level = "warning"\n', policy=ENFORCING) as gate:
        result = asyncio.run(_publish(footage, programme, gate, view))
    programme.unlink()
    return result


def _register(path: Path, bank_path: Path) -> None:
    from edge.match import Bank, BankInfo, VariantSet, fingerprint_contained

    bank = Bank.create(bank_path, BankInfo(label="known_footage"))
    # The demo publishes the footage unchanged. Variants would take longer than everything else.
    known = fingerprint_contained(
        path, entry_id=path.stem, added_ms=time.time_ns() // 1_000_000, variants=VariantSet.NONE
    )
    bank.add_footage([known])


async def _publish(
    footage: DemoFootage, programme: Path, gate: GateProcess, view: DemoView
) -> dict[str, Any]:
    from edge.ingest import Closed, CutConfirmed, Event, IngestSettings, ReferenceIngest, Refused
    from edge.ingest.publisher import PublisherProcess

    events: list[Event] = []
    news = asyncio.Event()

    def observe(event: Event) -> None:
        events.append(event)
        view.show(event)
        news.set()

    async def wait_for(kind: type[Any], seconds: float) -> Any:
        """Returns the first event of that kind, or None after a timeout."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := [event for event in events if isinstance(event, kind)]):
                    news.clear()
                    await news.wait()
                return found[0]
        except TimeoutError:
            return None

    view.step("starting the reference ingest")
    ingest = ReferenceIngest(IngestSettings(port=0, gate=gate.grpc, trust_user=True), observe)
    await ingest.start()
    try:
        url = f"rtmp://127.0.0.1:{ingest.port}/live/demo?user={_BROADCASTER}"
        view.step(f"publishing to {url}: calm")
        give_up = time.monotonic() + _ADMISSION_WAIT_S
        while True:
            async with PublisherProcess(programme, url, [footage.violation_ms]) as publisher:
                while publisher.ended_wall_ms is None and not any(
                    isinstance(e, CutConfirmed) for e in events
                ):
                    if publisher.mark_wall_ms:
                        view.step(f"publishing to {url}: {footage.description}")
                    await asyncio.sleep(0.05)
                closed = await wait_for(Closed, 10.0)
                violation_wall_ms = publisher.mark_wall_ms.get(footage.violation_ms)
            refused = next((event for event in events if isinstance(event, Refused)), None)
            if refused is None:
                break
            if not _passes(refused.answer) or time.monotonic() > give_up:
                raise DemoFailed(f"the gate refused the publish: {closed.detail if closed else ''}")
            view.step(f"not admitted yet, once more: {closed.detail if closed else ''}")
            events.clear()
            await asyncio.sleep(_ADMISSION_PAUSE_S)
        confirmed = next((event for event in events if isinstance(event, CutConfirmed)), None)
        result = _outcome(footage, events, closed, violation_wall_ms)
        if confirmed is None:
            return result
        view.step("cut: the broadcaster tries again")
        async with PublisherProcess(programme, url) as again:
            refused = await wait_for(Refused, _REFUSAL_WAIT_S)
            await asyncio.wait_for(again.wait(), 10.0)
        if refused is not None and refused.answer is not None:
            result["reconnect_refused"] = True
            result["refusal"] = {
                "reason": "blocked" if refused.answer.block_id else "refused",
                "blocked_until_wall_ms": refused.answer.blocked_until_wall_ms,
                "message_en": refused.answer.message.en,
                "message_ar": refused.answer.message.ar,
            }
        view.step("fetching the incident")
        result["incident"] = await asyncio.to_thread(_incident, gate)
        return result
    finally:
        await ingest.stop()


def _passes(answer: Any) -> bool:
    """Whether a refusal is temporary: the gate has no place now or does not answer."""
    from edge.contract.gen import gate_pb2

    return answer is None or answer.reason in (
        gate_pb2.REASON_CODE_CAPACITY,
        gate_pb2.REASON_CODE_QUOTA,
        gate_pb2.REASON_CODE_LEDGER_DOWN,
    )


def _outcome(
    footage: DemoFootage, events: list[Any], closed: Any, violation_wall_ms: int | None
) -> dict[str, Any]:
    from edge.contract.gen import gate_pb2
    from edge.ingest import CutConfirmed, GateDown, Judged

    verdicts = [event for event in events if isinstance(event, Judged)]
    cut = next((event for event in verdicts if event.verdict.action == gate_pb2.ACTION_CUT), None)
    confirmed = next((event for event in events if isinstance(event, CutConfirmed)), None)
    result: dict[str, Any] = {
        "footage": footage.description,
        "cut": confirmed is not None,
        "verdicts": len(verdicts),
        "score_max": round(max((event.verdict.score for event in verdicts), default=0.0), 4),
        "flags": sum(event.verdict.action == gate_pb2.ACTION_FLAG for event in verdicts),
        "reconnect_refused": False,
        "closed": closed.reason if closed else "",
        "closed_detail": closed.detail if closed else "",
        "without_gate": [event.detail for event in events if isinstance(event, GateDown)],
    }
    if cut is not None and confirmed is not None:
        result |= {
            "category": cut.verdict.category,
            "reason": cut.verdict.reason,
            "score": round(cut.verdict.score, 4),
            "cut_pts_ms": cut.verdict.pts_ms,
            "violation_pts_ms": footage.violation_ms,
            "verdict_to_closed_ms": round(confirmed.time_to_cut_ms, 1),
            "before_violation": cut.verdict.pts_ms < footage.violation_ms,
        }
        if closed is not None and violation_wall_ms is not None:
            result["time_to_cut_ms"] = closed.wall_ms - violation_wall_ms
    return result


def _incident(gate: GateProcess) -> dict[str, Any]:
    """Waits for the evidence clip of the cut and returns its incident."""
    from edge.api.auth import Role
    from edge.cli.operator_client import GateConnection
    from edge.contract.gen import operator_pb2

    deadline = time.monotonic() + _EVIDENCE_WAIT_S
    with GateConnection(gate.grpc, gate.tokens).operator(Role.VIEWER) as (stub, metadata):
        while True:
            request = operator_pb2.ListIncidentsRequest(broadcaster=_BROADCASTER)
            found = [
                incident
                for incident in stub.ListIncidents(request, metadata=metadata, timeout=5.0).incidents
                if incident.durable_wall_ms
            ]
            if found and found[0].evidence_path:
                break
            if time.monotonic() > deadline:
                raise DemoFailed("the gate has cut, and there is no evidence clip of it")
            time.sleep(0.1)
    incident = found[0]
    return {
        "id": incident.id,
        "evidence_path": incident.evidence_path,
        "durable_wall_ms": incident.durable_wall_ms,
        "cut_asked_wall_ms": incident.cut_asked_wall_ms,
        "cut_confirmed_wall_ms": incident.cut_confirmed_wall_ms,
        "confirmed_by": incident.confirmed_by,
    }


def _print_result(result: dict[str, Any]) -> None:
    if not result["cut"]:
        console.print(
            Text.assemble(
                ("Nothing was cut.", "yellow"),
                f" {result['verdicts']} verdicts, {result['flags']} of them FLAG; "
                f"highest score {result['score_max']:.2f}.",
            )
        )
        if result["without_gate"]:
            console.print(f"Not watched for a time: {result['without_gate'][0]}")
        return
    incident = result.get("incident", {})
    rows = [
        ("cut for", f"{result['category']} ({result['reason']}, score {result['score']:.2f})"),
        (
            "at media time",
            f"{result['cut_pts_ms'] / 1000:.2f} s; it begins at {result['violation_pts_ms'] / 1000:.2f} s",
        ),
        ("verdict to closed connection", f"{result['verdict_to_closed_ms']:.0f} ms"),
    ]
    if "time_to_cut_ms" in result and not result["before_violation"]:
        rows.insert(
            0, ("time to cut", f"{result['time_to_cut_ms'] / 1000:.2f} s after its first frame had left")
        )
    if result["before_violation"]:
        rows.append(("note", "the calm part was cut: a false cut"))
    if incident:
        waited = incident["cut_asked_wall_ms"] - incident["durable_wall_ms"]
        rows.append(("block on disk", f"{waited} ms before the cut was asked for"))
    if result["reconnect_refused"]:
        until = when(result["refusal"]["blocked_until_wall_ms"])
        rows.append(("reconnect", f"refused until {until}"))
        # The gate's own notice isolates the names in it; a terminal shows them without.
        for label, language in (("told the broadcaster", "en"), ("", "ar")):
            told = result["refusal"][f"message_{language}"].translate(dict.fromkeys(range(0x2066, 0x206A)))
            rows.append((label, told))
    else:
        rows.append(("reconnect", "was not refused"))
    rows.append(("evidence", incident.get("evidence_path", "")))
    for name, value in rows:
        console.print(Text.assemble((f"  {name:<30}", "bold"), f" {printable(value)}"), soft_wrap=True)
    sys.stdout.flush()
