"""From a violation to a proven cut: durable first, refused afterwards, whatever fails in between.

The policy in these tests cuts at any score, because they test what follows a verdict.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import grpc
import pytest

from edge.api.auth import parse_tokens
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2, operator_pb2_grpc
from edge.errors import NotFound
from edge.gate_process import GateProcess
from edge.ledger import Ledger
from edge.match import INCIDENT_BANK, Bank
from tests.integration.calls import (
    TIMEOUT_S,
    admit,
    read_units,
    requests,
    until,
    workers_of,
    write_footage,
)
from tests.running_gate import metric, metrics

CONFIG = "[workers]\ncount = 1\n[limits]\ncut_limit_ms = 500\n"
ANY_SCORE = {"raise_at": 0, "release_at": 0, "flag_at": 0, "cut_at": 0}

Footage = tuple[bytes, list[gate_pb2.AccessUnit]]


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    path = tmp_path_factory.mktemp("footage") / "moving.mp4"
    write_footage(path, seconds=6)
    return read_units(path)


class RunningGate:
    """A gate, its stubs, and a second connection to its ledger."""

    def __init__(self, process: GateProcess, channel: grpc.Channel, data_dir: Path) -> None:
        self.process = process
        self.stub: Any = gate_pb2_grpc.GateStub(channel)
        self.operator: Any = operator_pb2_grpc.OperatorStub(channel)
        self.data_dir = data_dir
        token = parse_tokens(process.tokens)[0].token.get_secret_value()
        self.admin = (("authorization", f"Bearer {token}"),)

    def set_policy(self, **changes: Any) -> None:
        before = self.operator.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=self.admin)
        changed = {**json.loads(before.json), **changes}
        self.operator.SetPolicy(
            operator_pb2.SetPolicyRequest(json=json.dumps(changed), reason="test"), metadata=self.admin
        )

    def cut_on_anything(self, **changes: Any) -> None:
        self.set_policy(categories={"fight": ANY_SCORE}, **changes)

    def watch(self, stream_id: str, footage: Footage) -> Any:
        extradata, units = footage
        return self.stub.Watch(requests(stream_id, extradata, units, pace=0.02), timeout=TIMEOUT_S)

    def watch_until_cut(self, stream_id: str, footage: Footage) -> tuple[Any, gate_pb2.Verdict]:
        call = self.watch(stream_id, footage)
        for answer in call:
            if answer.verdict.action == gate_pb2.ACTION_CUT:
                return call, answer.verdict
        raise AssertionError("the stream was not cut")

    def incident(self, incident_id: str) -> operator_pb2.Incident:
        request = operator_pb2.ListIncidentsRequest(limit=1000)
        listed = self.operator.ListIncidents(request, metadata=self.admin).incidents
        found: operator_pb2.Incident = next(entry for entry in listed if entry.id == incident_id)
        return found

    def wait_for_incident(self, incident_id: str, field: str) -> operator_pb2.Incident:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            incident = self.incident(incident_id)
            if getattr(incident, field):
                return incident
            time.sleep(0.05)
        raise AssertionError(f"{field} was never set on {incident}")


@contextlib.contextmanager
def running(data_dir: Path, config: str = CONFIG) -> Iterator[RunningGate]:
    with (
        GateProcess(data_dir, config=config) as process,
        grpc.insecure_channel(process.grpc) as channel,
    ):
        yield RunningGate(process, channel, data_dir)


def test_block_is_on_disk_before_the_cut_and_the_cut_is_proven(tmp_path: Path, footage: Footage) -> None:
    with running(tmp_path) as gate:
        gate.cut_on_anything()
        stream_id = admit(gate.stub, "anna", attributes={"stream_key": "secret-key"}).stream_id
        call, verdict = gate.watch_until_cut(stream_id, footage)
        with sqlite3.connect(f"file:{tmp_path / 'edge.db'}?mode=ro", uri=True) as beside:
            rows = beside.execute("SELECT subject_kind, subject, until_ms FROM blocks").fetchall()
        assert {(kind, subject) for kind, subject, _ in rows} == {
            ("broadcaster", "anna"),
            ("stream_key", "secret-key"),
        }
        assert {until for _, _, until in rows} == {verdict.blocked_until_wall_ms}
        assert verdict.reason == "detector"
        assert verdict.message.en
        assert verdict.message.ar
        confirmed = gate.stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=stream_id))
        assert confirmed.time_to_cut_ms >= 0
        list(call)
        incident = gate.wait_for_incident(verdict.incident_id, "cut_confirmed_wall_ms")
        assert incident.durable_wall_ms <= incident.cut_asked_wall_ms <= incident.cut_confirmed_wall_ms
        assert incident.confirmed_by == "confirm_cut"
        [led] = incident.verdict.signals
        assert "of 3 samples" in led.detail, "windows of one and two never act"
        refused = admit(gate.stub, "anna")
        assert refused.reason == gate_pb2.REASON_CODE_BLOCKED
        by_key = admit(gate.stub, "another-account", attributes={"stream_key": "secret-key"})
        assert by_key.reason == gate_pb2.REASON_CODE_BLOCKED
        evidence = Path(gate.wait_for_incident(verdict.incident_id, "evidence_path").evidence_path)
        with av.open(str(evidence)) as clip:
            assert sum(1 for _ in clip.decode(video=0)) >= 5
        deadline = time.monotonic() + 20.0
        # The record is written once the cut is proven, or a second after the clip.
        while not (records := [p for p in evidence.parent.glob("*.json") if verdict.incident_id in p.name]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        [record_path] = records
        assert "secret-key" not in record_path.read_text(encoding="utf-8")
        [told] = gate.operator.GetEvidence(
            operator_pb2.GetEvidenceRequest(
                incident_id=verdict.incident_id, part=operator_pb2.EVIDENCE_PART_ACCOUNT
            ),
            metadata=gate.admin,
        )
        categories = {point.category for point in told.account.scores}
        assert led.category in categories, "how the scores went, not only the one that decided"
        assert len(told.account.scores) > 1
        assert told.account.clip_bytes == evidence.stat().st_size
        shown = gate.operator.GetEvidence(
            operator_pb2.GetEvidenceRequest(
                incident_id=verdict.incident_id, part=operator_pb2.EVIDENCE_PART_POSTERS
            ),
            metadata=gate.admin,
        )
        assert next(shown).file.media_type == "image/jpeg"
        assert next(shown).data.startswith(b"\xff\xd8\xff")
        overturned = gate.operator.ReviewIncident(
            operator_pb2.ReviewIncidentRequest(
                incident_id=verdict.incident_id,
                decision=operator_pb2.INCIDENT_STATE_OVERTURNED,
                reason="rehearsal",
            ),
            metadata=gate.admin,
        )
        assert overturned.state == operator_pb2.INCIDENT_STATE_OVERTURNED
        assert admit(gate.stub, "anna").allowed


def test_two_streams_of_one_broadcaster_are_both_cut_for_one_strike(tmp_path: Path, footage: Footage) -> None:
    with running(tmp_path) as gate:
        gate.set_policy(tiers={"start_alert_ms": 0, "alert_interval_ms": 2000})
        second_id = admit(gate.stub, "anna").stream_id
        second = gate.watch(second_id, footage)
        next(second)
        gate.cut_on_anything(tiers={})
        first_id = admit(gate.stub, "anna").stream_id
        gate.watch_until_cut(first_id, footage)
        verdict = next(a.verdict for a in second if a.verdict.action == gate_pb2.ACTION_CUT)
        assert verdict.reason in {"blocked", "detector"}
        for stream_id in (first_id, second_id):
            gate.stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=stream_id))
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'edge.db'}")
    strikes = ledger.strikes_of("anna")
    assert len(strikes) == len({strike.incident_id for strike in strikes})
    if verdict.reason == "blocked":
        assert len(strikes) == 1
    assert ledger.audit_verify() > 0
    ledger.close()


def test_a_locked_ledger_delays_no_cut_and_loses_no_block(tmp_path: Path, footage: Footage) -> None:
    with running(tmp_path) as gate:
        gate.cut_on_anything()
        stream_id = admit(gate.stub, "anna").stream_id
        locker = sqlite3.connect(tmp_path / "edge.db", isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        try:
            _, verdict = gate.watch_until_cut(stream_id, footage)
            assert (tmp_path / "journal.jsonl").stat().st_size > 0
            assert admit(gate.stub, "anna").reason == gate_pb2.REASON_CODE_BLOCKED
            assert admit(gate.stub, "berta").allowed
            gate.stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=stream_id))
        finally:
            locker.execute("ROLLBACK")
            locker.close()
        deadline = time.monotonic() + TIMEOUT_S
        while (tmp_path / "journal.jsonl").stat().st_size and time.monotonic() < deadline:
            time.sleep(0.1)
        incident = gate.wait_for_incident(verdict.incident_id, "cut_confirmed_wall_ms")
        assert incident.confirmed_by == "confirm_cut"
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'edge.db'}")
    assert len(ledger.strikes_of("anna")) == 1
    assert ledger.audit_verify() > 0
    ledger.close()


def test_a_full_disk_delays_no_cut_and_the_block_is_on_it_once_there_is_room(
    tmp_path: Path, footage: Footage
) -> None:
    """No file of the gate may grow, as on a full disk. Ledger, journal and evidence are refused."""
    with running(tmp_path) as gate:
        gate.cut_on_anything()
        stream_id = admit(gate.stub, "anna").stream_id
        processes = [gate.process.pid, *workers_of(gate.process.pid)]
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        for process in processes:
            resource.prlimit(process, resource.RLIMIT_FSIZE, (1, most))
        _, verdict = gate.watch_until_cut(stream_id, footage)
        assert verdict.blocked_until_wall_ms
        assert admit(gate.stub, "anna").reason == gate_pb2.REASON_CODE_BLOCKED
        gate.stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=stream_id))
        other = admit(gate.stub, "berta")
        assert other.allowed
        _, second = gate.watch_until_cut(other.stream_id, footage)
        for process in processes:
            resource.prlimit(process, resource.RLIMIT_FSIZE, (most, most))
        beside = f"file:{tmp_path / 'edge.db'}?mode=ro"

        def on_disk() -> set[str]:
            with contextlib.closing(sqlite3.connect(beside, uri=True)) as database:
                rows = database.execute("SELECT subject FROM blocks WHERE subject_kind = 'broadcaster'")
                return {subject for (subject,) in rows}

        until(on_disk, lambda blocked: blocked == {"anna", "berta"})
        assert second.incident_id != verdict.incident_id
    with running(tmp_path) as gate:
        assert admit(gate.stub, "anna").blocked_until_wall_ms == verdict.blocked_until_wall_ms
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'edge.db'}")
    assert len(ledger.strikes_of("anna")) == len(ledger.strikes_of("berta")) == 1
    assert ledger.audit_verify() > 0
    ledger.close()


def test_evidence_leaves_room_for_the_ledger(tmp_path: Path, footage: Footage) -> None:
    with running(tmp_path, CONFIG + "evidence_min_free_mb = 1048576\n") as gate:
        gate.cut_on_anything()
        stream_id = admit(gate.stub, "anna").stream_id
        _, verdict = gate.watch_until_cut(stream_id, footage)
        gate.stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=stream_id))
        gate.wait_for_incident(verdict.incident_id, "cut_confirmed_wall_ms")
        said = until(gate.process.log, lambda log: "evidence_min_free_mb" in log)
        assert "no evidence clip" in said
        assert not list(tmp_path.rglob("*.mp4"))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_block_outlives_the_gate(end: signal.Signals, tmp_path: Path, footage: Footage) -> None:
    with running(tmp_path) as gate:
        gate.cut_on_anything()
        admitted = admit(gate.stub, "anna", connection="c-of-anna")
        stream_id = admitted.stream_id
        _, verdict = gate.watch_until_cut(stream_id, footage)
        assert verdict.blocked_provisionally
        if end is signal.SIGKILL:
            gate.process.kill()
        else:
            assert gate.process.stop() == 0
    with running(tmp_path) as gate:
        refused = admit(gate.stub, "anna")
        assert refused.reason == gate_pb2.REASON_CODE_BLOCKED
        assert refused.blocked_until_wall_ms == verdict.blocked_until_wall_ms
        assert refused.provisional
        assert "provisional" in refused.message.en
        with pytest.raises(grpc.RpcError) as caught:
            list(gate.watch(stream_id, footage))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert gate.incident(verdict.incident_id).verdict.action == gate_pb2.ACTION_CUT
        # The caller proves the cut of the earlier run: it confirms, or it asks again and is refused.
        if end is signal.SIGKILL:
            confirmation = gate_pb2.ConfirmCutRequest(stream_id=stream_id)
            with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
                gate.stub.ConfirmCut(confirmation)
            confirmation.admission_secret = admitted.admission_secret
            gate.stub.ConfirmCut(confirmation)
            proof = "confirm_cut"
        else:
            assert not admit(gate.stub, "anna", connection="c-of-anna").allowed
            proof = "refused_again"
        assert gate.wait_for_incident(verdict.incident_id, "confirmed_by").confirmed_by == proof
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'edge.db'}")
    assert len(ledger.strikes_of("anna")) == 1
    ledger.close()


def test_sigterm_in_the_middle_of_verdicts_leaves_whole_records(tmp_path: Path, footage: Footage) -> None:
    """The gate is stopped while streams are about to be cut. Every CUT that was told is on disk."""
    with running(tmp_path) as gate:
        gate.cut_on_anything()
        names = [f"user{n}" for n in range(6)]
        calls = {name: gate.watch(admit(gate.stub, name).stream_id, footage) for name in names}
        next(calls["user0"])
        time.sleep(0.55)
        assert gate.process.stop() == 0
        told = set()
        for name, call in calls.items():
            try:
                for answer in call:
                    if answer.verdict.action == gate_pb2.ACTION_CUT:
                        told.add(name)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'edge.db'}")
    now = time.time_ns() // 1_000_000
    blocked = {block.subject for block in ledger.active_blocks(now)}
    assert told <= blocked
    for name in blocked:
        assert len(ledger.strikes_of(name)) == 1
    assert ledger.audit_verify() > 0
    ledger.close()


def test_media_around_sigterm_is_judged_and_its_broadcaster_is_refused_afterwards(
    tmp_path: Path, footage: Footage
) -> None:
    extradata, units = footage
    with running(tmp_path) as gate:
        gate.cut_on_anything(budget_ms=5_000)
        signalled = threading.Event()

        def media(stream_id: str) -> Iterator[gate_pb2.WatchRequest]:
            yield from requests(stream_id, extradata, units[:5], end=False)
            signalled.wait(TIMEOUT_S)
            for unit in units[5:75]:  # on its way while the signal is handled
                yield gate_pb2.WatchRequest(access_unit=unit)
            threading.Event().wait(30)  # The call stays open.

        calls = [gate.stub.Watch(media(admit(gate.stub, name).stream_id)) for name in ("anna", "berta")]
        for call in calls:
            next(call)
        os.kill(gate.process.pid, signal.SIGTERM)
        signalled.set()
        assert gate.process.stop() == 0
        for call in calls:
            with contextlib.suppress(grpc.RpcError):
                assert gate_pb2.ACTION_CUT in [answer.verdict.action for answer in call]
    with running(tmp_path) as gate:
        for name in ("anna", "berta"):
            assert admit(gate.stub, name).reason == gate_pb2.REASON_CODE_BLOCKED


def test_who_has_a_strike_is_looked_at_densely_from_the_start(tmp_path: Path, footage: Footage) -> None:
    never = {"raise_at": 1, "release_at": 1, "flag_at": 1, "cut_at": 1}
    with running(tmp_path, "[workers]\ncount = 1\nspare_load = 0\n") as gate:
        gate.set_policy(
            budget_ms=10_000,
            categories={"fight": never},
            tiers={"start_alert_ms": 0},
            ladder={"steps_ms": [1000]},
        )
        gate.operator.AddStrike(
            operator_pb2.AddStrikeRequest(broadcaster="anna", reason="seen elsewhere"), metadata=gate.admin
        )
        until(lambda: admit(gate.stub, "anna", connection="again").allowed, bool)

        def verdicts(broadcaster: str) -> int:
            answers = gate.watch(admit(gate.stub, broadcaster).stream_id, footage)
            return sum(answer.WhichOneof("response") == "verdict" for answer in answers)

        assert verdicts("anna") > 2 * verdicts("boris")


def clip_seconds(incident: operator_pb2.Incident) -> float:
    """Length of the clip; 0 before there is one."""
    if not incident.evidence_path:
        return 0.0
    with av.open(incident.evidence_path) as clip:
        return float((clip.duration or 0) / av.time_base)


def test_a_flag_is_one_incident_whose_clip_shows_the_whole_activity(tmp_path: Path, footage: Footage) -> None:
    with running(tmp_path) as gate:
        always = {**ANY_SCORE, "cut_at": 1}
        gate.set_policy(categories={"fight": always})
        answers = list(gate.watch(admit(gate.stub, "anna").stream_id, footage))
        verdicts = [a.verdict for a in answers if a.WhichOneof("response") == "verdict"]
        [flag] = [verdict for verdict in verdicts if verdict.action == gate_pb2.ACTION_FLAG]
        later = verdicts[verdicts.index(flag) + 1 :]
        named = [verdict.going_on_incident_id for verdict in later]
        assert named.count(flag.incident_id) > len(later) / 2, "a sample may be on its way with the FLAG"
        whole = until(lambda: gate.incident(flag.incident_id), lambda one: clip_seconds(one) > 4.0)
        assert whole.activity.end_pts_ms - whole.activity.start_pts_ms > 3000
        found = gate.operator.ListIncidents(
            operator_pb2.ListIncidentsRequest(), metadata=gate.admin
        ).incidents
        assert [incident.id for incident in found] == [flag.incident_id]
        record = json.loads(Path(whole.evidence_path).with_suffix(".json").read_text())
        assert record["id"] == flag.incident_id


def test_shadow_mode_records_and_never_acts(tmp_path: Path, footage: Footage) -> None:
    with running(tmp_path) as gate:
        gate.cut_on_anything(mode="shadow")
        answers = list(gate.watch(admit(gate.stub, "anna").stream_id, footage))
        verdicts = [a.verdict for a in answers if a.WhichOneof("response") == "verdict"]
        assert {verdict.action for verdict in verdicts} == {gate_pb2.ACTION_PASS}
        assert gate_pb2.ACTION_CUT in {verdict.shadow_action for verdict in verdicts}
        assert admit(gate.stub, "anna").allowed
        deadline = time.monotonic() + TIMEOUT_S
        incidents: list[operator_pb2.Incident] = []
        while not incidents and time.monotonic() < deadline:
            request = operator_pb2.ListIncidentsRequest(broadcaster="anna")
            incidents = list(gate.operator.ListIncidents(request, metadata=gate.admin).incidents)
            time.sleep(0.05)
        assert all(incident.shadow for incident in incidents)
        assert not gate.operator.ListBlocks(operator_pb2.ListBlocksRequest(), metadata=gate.admin).blocks


def test_what_nobody_reviews_in_time_lapses_by_itself(tmp_path: Path, footage: Footage) -> None:
    with running(tmp_path) as gate:
        gate.cut_on_anything(review={"provisional_ms": 3000})
        stream_id = admit(gate.stub, "anna").stream_id
        gate.watch_until_cut(stream_id, footage)
        gate.stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=stream_id))
        refused = admit(gate.stub, "anna")
        assert (refused.allowed, refused.provisional) == (False, True)
        until(lambda: admit(gate.stub, "anna").allowed, bool)
        assert time.time_ns() // 1_000_000 >= refused.blocked_until_wall_ms


def test_what_a_reviewer_confirms_is_known_footage_for_every_stream(tmp_path: Path, footage: Footage) -> None:
    def review(decision: operator_pb2.IncidentState.ValueType, **fields: Any) -> None:
        gate.operator.ReviewIncident(
            operator_pb2.ReviewIncidentRequest(
                incident_id=verdict.incident_id, decision=decision, reason="seen", **fields
            ),
            metadata=gate.admin,
        )

    def banked(incident_id: str) -> bool:
        try:
            return Bank.open(tmp_path / "banks" / INCIDENT_BANK).has(incident_id)
        except NotFound:
            return False

    def actions(broadcaster: str) -> set[tuple[int, str]]:
        found = set()
        call = gate.watch(admit(gate.stub, broadcaster).stream_id, footage)
        for answer in call:
            found.add((answer.verdict.action, answer.verdict.reason))
            if answer.verdict.action == gate_pb2.ACTION_CUT:
                break
        return found

    with running(tmp_path) as gate:
        gate.cut_on_anything()
        stream_id = admit(gate.stub, "anna").stream_id
        _, verdict = gate.watch_until_cut(stream_id, footage)
        gate.stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=stream_id))
        gate.wait_for_incident(verdict.incident_id, "evidence_path")
        gate.set_policy(categories={})
        whole = operator_pb2.ClipStretch(begin_ms=0, end_ms=10_000)
        review(operator_pb2.INCIDENT_STATE_CONFIRMED, stretch=whole)
        deadline = time.monotonic() + TIMEOUT_S
        while not banked(verdict.incident_id) and time.monotonic() < deadline:
            time.sleep(0.1)
        until(lambda: metrics(gate.process), lambda said: "\nedge_bank_hashes 0.0\n" not in said)
        assert (gate_pb2.ACTION_CUT, "match") in actions("berta")
        review(operator_pb2.INCIDENT_STATE_OVERTURNED)
        deadline = time.monotonic() + 2 * TIMEOUT_S
        seen: set[tuple[int, str]] = {(gate_pb2.ACTION_CUT, "match")}
        for number in range(40):
            if (gate_pb2.ACTION_CUT, "match") not in seen or time.monotonic() > deadline:
                break
            seen = actions(f"carla{number}")
        assert (gate_pb2.ACTION_CUT, "match") not in seen


def test_a_flag_opens_an_incident_and_the_stream_goes_on(tmp_path: Path, footage: Footage) -> None:
    with running(tmp_path) as gate:
        gate.set_policy(categories={"fight": {**ANY_SCORE, "cut_at": 1}})
        answers = list(gate.watch(admit(gate.stub, "anna").stream_id, footage))
        flags = [a.verdict for a in answers if a.verdict.action == gate_pb2.ACTION_FLAG]
        assert len(flags) == 1
        after = answers[[a.verdict.action for a in answers].index(gate_pb2.ACTION_FLAG) + 1 :]
        assert any(a.verdict.action == gate_pb2.ACTION_PASS for a in after)
        evidence = gate.wait_for_incident(flags[0].incident_id, "evidence_path").evidence_path
        with av.open(evidence) as clip:
            assert next(clip.decode(video=0)).width == 320
        assert admit(gate.stub, "anna").allowed


def test_a_caller_that_vanishes_leaves_an_alarm_a_block_and_no_stream(
    tmp_path: Path, footage: Footage
) -> None:
    with running(tmp_path, CONFIG + "unwatched_ms = 1000\n") as gate:
        gate.cut_on_anything()
        call, verdict = gate.watch_until_cut(admit(gate.stub, "anna").stream_id, footage)
        call.cancel()
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            streams = gate.operator.ListStreams(
                operator_pb2.ListStreamsRequest(), metadata=gate.admin
            ).streams
            if not streams:
                break
            time.sleep(0.1)
        assert not streams
        incident = gate.wait_for_incident(verdict.incident_id, "evidence_path")
        assert incident.cut_asked_wall_ms > 0
        assert incident.cut_confirmed_wall_ms == 0
        assert not admit(gate.stub, "anna").allowed
        until(
            lambda: gate.incident(verdict.incident_id).cut_unconfirmed_reason,
            lambda reason: reason == "caller_gone",
        )
        # The caller is back and has seen the end.
        gate.stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=incident.stream_id))
        assert gate.wait_for_incident(verdict.incident_id, "confirmed_by").confirmed_by == "confirm_cut"


def test_an_unconfirmed_cut_is_an_alarm_until_it_is_confirmed(tmp_path: Path, footage: Footage) -> None:
    with running(tmp_path) as gate:
        gate.cut_on_anything()
        stream_id = admit(gate.stub, "anna").stream_id
        call, verdict = gate.watch_until_cut(stream_id, footage)
        deadline = time.monotonic() + TIMEOUT_S
        while not metric(gate.process, "edge_cuts_unconfirmed_total") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert metric(gate.process, "edge_cuts_unconfirmed_total") == 1
        incident = gate.wait_for_incident(verdict.incident_id, "cut_unconfirmed_wall_ms")
        assert (incident.cut_unconfirmed_reason, incident.cut_confirmed_wall_ms) == ("limit", 0)
        gate.stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=stream_id))
        gate.wait_for_incident(verdict.incident_id, "cut_confirmed_wall_ms")
        list(call)
