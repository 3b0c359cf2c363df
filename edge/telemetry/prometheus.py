"""Counts records as Prometheus metrics in a registry of their own. Names end in their unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from edge.domain import Action
from edge.telemetry import records
from edge.telemetry.records import Record
from edge.telemetry.worker_histograms import WorkerHistograms

_LATENCY_BUCKETS_MS = (2, 5, 10, 20, 50, 100, 150, 250, 500, 1000, 2500)
_CUT_BUCKETS_MS = (10, 25, 50, 100, 150, 250, 500, 1000, 2500, 5000, 10_000)
_LOOK_BACK_BUCKETS_MS = (10, 25, 50, 100, 200, 500, 1000, 2500, 10_000, 60_000)
_LOOK_BUCKETS_S = (1, 2, 5, 10, 30, 60, 120, 300, 900, 3600, 14_400, 86_400)

R = TypeVar("R", bound=Record)


class PrometheusBackend:
    """Prometheus backend. One instance a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._handlers: dict[type[Record], Callable[[Any], None]] = {}
        self._passed_ms: list[float] = []
        """Latencies of passed samples since the last count. Appending one is cheaper than counting it."""
        self._count_streams()
        self._count_verdicts()
        self._count_cuts()
        self._count_reviews()
        self._count_crises()
        self._count_failures()
        self._count_webhooks()
        self._measure_pool()

    def take(self, record: Record) -> None:
        handler = self._handlers.get(type(record))
        if handler is not None:
            handler(record)

    def flush(self) -> None:
        self._count_passed()

    def exposition(self) -> bytes:
        """Returns the metrics in the text format that Prometheus scrapes."""
        self._count_passed()
        return generate_latest(self.registry)

    def _on(self, kind: type[R], handler: Callable[[R], None]) -> None:
        self._handlers[kind] = handler

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, meaning, buckets=buckets, registry=self.registry)

    def _count_streams(self) -> None:
        admissions = self._counter("edge_admissions", "Publishes that asked for admission.", "reason")
        streams = self._gauge("edge_streams", "Streams admitted and not ended.")
        alike = self._counter(
            "edge_names_resembling_blocked", "Admitted under a name that looks like a blocked broadcaster's."
        )
        moved = self._counter(
            "edge_streams_moved", "Moves to the worker for heavy streams, and back.", "worker"
        )
        closed = self._counter("edge_streams_closed", "Times that a worker closed a stream.", "reason")

        def admitted(record: records.PublishAdmitted) -> None:
            admissions.labels("admitted").inc()
            streams.set(record.live)

        self._on(records.PublishAdmitted, admitted)
        self._on(records.NameResembles, lambda _: alike.inc())
        self._on(records.PublishRefused, lambda record: admissions.labels(record.reason).inc())
        self._on(records.StreamsRestored, lambda record: streams.set(record.live))
        self._on(records.StreamMoved, lambda record: moved.labels("heavy" if record.heavy else "usual").inc())
        self._on(records.StreamOver, lambda record: streams.set(record.live))
        self._on(records.StreamClosed, lambda record: closed.labels(record.reason).inc())

    def _count_verdicts(self) -> None:
        verdicts = self._counter("edge_verdicts", "Verdicts reached.", "action", "reason")
        latency = self._histogram(
            "edge_verdict_latency_ms",
            "Time from the arrival of a sample's last byte to its verdict.",
            _LATENCY_BUCKETS_MS,
        )
        not_judged = self._counter(
            "edge_not_judged", "Samples or access units that got no verdict.", "reason"
        )
        stamps = self._counter(
            "edge_timestamps_wrong", "Streams found with wrong timestamps, once a minute each.", "how"
        )
        quarantined = self._counter(
            "edge_bank_entries_quarantined", "Bank entries that matched too many streams."
        )
        counted = self._counter(
            "edge_bank_matches_counted",
            "Streams that showed an entry which is only counted, once an entry.",
            "bank",
            "source",
        )
        incidents = self._counter(
            "edge_flags",
            "FLAGs and withheld CUTs, by whether they opened an incident or went on one.",
            "incident",
        )
        passes = verdicts.labels(Action.PASS.value, "")

        def count_passed() -> None:
            passes.inc(len(self._passed_ms))
            for latency_ms in self._passed_ms:
                latency.observe(latency_ms)
            self._passed_ms.clear()

        def judged(record: records.NotPassed) -> None:
            latency.observe(record.latency_ms)
            verdicts.labels(record.action.value, record.reason).inc()

        self._count_passed = count_passed
        self._on(records.Passed, lambda record: self._passed_ms.append(record.latency_ms))
        self._on(records.NotPassed, judged)
        self._on(records.Flagged, lambda _: incidents.labels("opened").inc())
        self._on(records.FlaggedAgain, lambda _: incidents.labels("went_on").inc())
        self._on(records.JudgedTooLate, lambda _: verdicts.labels(Action.CUT.value, "over").inc())
        self._on(records.NotJudged, lambda record: not_judged.labels(record.reason).inc(record.count))
        self._on(records.TimestampsWrong, lambda record: stamps.labels(record.how.value).inc())
        self._on(records.MatchCounted, lambda record: counted.labels(record.bank, record.source).inc())
        self._on(records.BankEntryRanAway, lambda record: quarantined.inc(record.quarantined))
        late = self._counter(
            "edge_late_matches",
            "Streams that had shown a bank entry before the bank knew it, by what the match asked for.",
            "action",
        )
        held = self._counter(
            "edge_bank_entries_held", "New bank entries that may not do what their banks are for."
        )
        doubts = self._counter("edge_bank_entries_in_doubt", "Bank entries that people are asked about.")
        self._on(records.BankEntryInDoubt, lambda _: doubts.inc())
        demoted = self._counter("edge_bank_sources_demoted", "Demotions of sources of bank entries.")
        self._on(records.SourceDemoted, lambda record: demoted.inc(bool(record.why)))
        self._on(records.EntryHeld, lambda _: held.inc())
        missed = self._counter(
            "edge_late_matches_missed_seconds", "Time for which streams had shown such entries, seconds."
        )
        looked_up = self._histogram(
            "edge_look_back_ms",
            "Time to look new bank entries up in what streams have shown.",
            _LOOK_BACK_BUCKETS_MS,
        )

        def matched_late(record: records.MatchedLate) -> None:
            late.labels(record.action.value).inc()
            missed.inc(record.missed_ms / 1000)

        self._on(records.MatchedLate, matched_late)
        self._on(records.EntriesLookedUp, lambda record: looked_up.observe(record.took_ms))

    def _count_cuts(self) -> None:
        violations = self._counter("edge_violations", "Strikes and blocks written.", "durable_in")
        clips = self._counter("edge_evidence_clips", "Evidence clips, by result: saved or missing.", "result")
        cuts = self._counter("edge_cuts", "Cuts, by what proved them.", "confirmed_by")
        unconfirmed = self._counter(
            "edge_cuts_unconfirmed", "Alarms: cuts that nothing proved within the limit."
        )
        time_to_cut = self._histogram(
            "edge_time_to_cut_ms",
            "Time from the CUT verdict to the proof that the publisher is gone.",
            _CUT_BUCKETS_MS,
        )

        def confirmed(record: records.CutProven) -> None:
            cuts.labels(record.proof).inc()
            if record.time_to_cut_ms is not None:
                time_to_cut.observe(record.time_to_cut_ms)

        self._on(records.ViolationRecorded, lambda record: violations.labels(record.durable_in).inc())
        self._on(records.EvidenceSaved, lambda _: clips.labels("saved").inc())
        self._on(records.EvidenceMissing, lambda _: clips.labels("missing").inc())
        self._on(records.CutProven, confirmed)
        self._on(records.CutUnconfirmed, lambda record: unconfirmed.inc(not record.alarmed))

    def _count_reviews(self) -> None:
        waiting = self._gauge(
            "edge_incidents_waiting", "Incidents of the fleet that people have not decided."
        )
        oldest = self._gauge(
            "edge_incident_oldest_waiting_seconds", "Age of the oldest incident that people have not decided."
        )
        by_state = self._gauge(
            "edge_incidents_waiting_by_state",
            "Incidents of the fleet that people have not decided, by state.",
            "state",
        )
        oldest_by_state = self._gauge(
            "edge_incident_oldest_waiting_by_state_seconds",
            "Age of the oldest incident that people have not decided, by state.",
            "state",
        )
        first_look = self._histogram(
            "edge_incident_first_look_seconds",
            "Time from an incident's opening until a person first looks at it.",
            _LOOK_BUCKETS_S,
        )
        undone = self._counter("edge_reviews_undone", "Decisions that their person took back.")

        def reviews(record: records.ReviewsWaiting) -> None:
            waiting.set(sum(record.incidents.values()))
            oldest.set(max(record.oldest_s.values(), default=0.0))
            for state, count in record.incidents.items():
                by_state.labels(state).set(count)
            for state, age_s in record.oldest_s.items():
                oldest_by_state.labels(state).set(age_s)

        self._on(records.ReviewsWaiting, reviews)
        self._on(records.IncidentLookedAt, lambda record: first_look.observe(record.waited_s))
        self._on(records.ReviewUndone, lambda _: undone.inc())

    def _count_crises(self) -> None:
        crises = self._gauge("edge_crises", "Crises in force, and drills.", "kind")
        given = self._counter(
            "edge_crisis_footage", "Clips, stills and URLs given to crises and drills.", "kind"
        )

        def in_force(record: records.CrisesInForce) -> None:
            crises.labels("crisis").set(record.real)
            crises.labels("drill").set(record.drills)

        self._on(records.CrisesInForce, in_force)
        self._on(
            records.CrisisFootageAdded,
            lambda record: given.labels("drill" if record.drill else "crisis").inc(),
        )

    def _count_failures(self) -> None:
        modes = self._counter("edge_failure_mode", "Uses of a failure mode.", "part", "mode")
        shared = self._counter(
            "edge_bank_changes",
            "Bank changes that this gate has taken in from the fleet, or told the fleet.",
            "direction",
        )

        def bank_changes(record: records.BanksInStep) -> None:
            shared.labels("taken").inc(record.taken)
            shared.labels("told").inc(record.told)

        self._on(records.BanksInStep, bank_changes)
        unknown = self._gauge(
            "edge_ledger_rows_unknown",
            "Rows of the ledger and its journal that this gate does not know.",
            "table",
        )
        self._on(records.LedgerRowsUnknown, lambda record: unknown.labels(record.table).set(record.rows))
        ledger_down = self._gauge(
            "edge_ledger_down", "1 while the ledger cannot be written, or no news of other gates arrive."
        )
        reserve = self._gauge(
            "edge_journal_reserve_bytes", "Disk space that the journal has for further decisions."
        )
        in_memory = self._gauge(
            "edge_decisions_in_memory", "Decisions that neither ledger nor journal has taken yet."
        )

        def journal(record: records.JournalMeasured) -> None:
            reserve.set(record.reserve_bytes)
            in_memory.set(record.in_memory)

        self._on(records.JournalMeasured, journal)
        restarts = self._counter("edge_worker_restarts", "Workers replaced.")
        contained = self._gauge(
            "edge_contained",
            "1 where a measure contains the newest process of a kind, 0 where it is missing.",
            "process",
            "measure",
        )

        def process_contained(record: records.ProcessContained) -> None:
            for measure in record.in_force:
                contained.labels(record.process, measure).set(1)
            for measure in record.missing:
                contained.labels(record.process, measure).set(0)

        self._on(records.ProcessContained, process_contained)
        broken = self._counter(
            "edge_calls_broken", "Calls and connections ended by their callers' doing.", "cause"
        )
        alarms = self._gauge(
            "edge_alarms",
            "Alarms that stand now, by part (`banks`, `model`, `tokens`, `journal`, `streams`, `workers`) "
            "and reason.",
            "part",
            "reason",
        )
        matching = self._counter(
            "edge_matching_failed", "Crashes of workers in the matcher, and bank searches that failed."
        )
        tasks = self._counter("edge_tasks_failed", "Background tasks that raised an error.", "task")
        self._on(records.TaskFailed, lambda record: tasks.labels(record.task).inc())
        self._on(records.AlarmRaised, lambda record: alarms.labels(record.part, record.reason).inc())
        self._on(records.AlarmCleared, lambda record: alarms.labels(record.part, record.reason).dec())
        exchanges = self._counter(
            "edge_exchange_runs", "Runs of exchanges, by how they ended.", "exchange", "result"
        )
        entries = self._counter(
            "edge_exchange_entries",
            "Entries of banks that exchanges added, replaced or removed.",
            "exchange",
            "change",
        )

        def synced(record: records.ExchangeSynced) -> None:
            exchanges.labels(record.exchange, "unfinished" if record.unfinished else "done").inc()
            for change in ("added", "replaced", "removed"):
                entries.labels(record.exchange, change).inc(getattr(record, change))

        self._on(records.ExchangeSynced, synced)
        self._on(records.ExchangeMissed, lambda record: exchanges.labels(record.exchange, "failed").inc())
        self._on(records.MatchingFailed, lambda record: matching.inc(record.count))
        self._on(records.CallBroken, lambda record: broken.labels(record.cause).inc())
        self._on(records.FailureModeUsed, lambda record: modes.labels(record.part, record.mode).inc())
        self._on(records.LedgerDown, lambda _: ledger_down.set(1))
        self._on(records.LedgerBack, lambda _: ledger_down.set(0))
        self._on(records.WorkersRestarted, lambda record: restarts.inc(record.count))

    def _count_webhooks(self) -> None:
        outcomes = self._counter(
            "edge_webhooks",
            "Webhook deliveries, by outcome: delivered, failed (tried again), dead (given up).",
            "outcome",
        )
        waiting = self._gauge("edge_webhooks_waiting", "Events that wait for delivery.")
        oldest = self._gauge("edge_webhook_oldest_seconds", "Age of the oldest waiting event.")

        def queue(record: records.WebhookQueue) -> None:
            waiting.set(record.waiting)
            oldest.set(record.oldest_s)

        self._on(records.WebhookDelivered, lambda _: outcomes.labels("delivered").inc())
        self._on(records.WebhookFailed, lambda _: outcomes.labels("failed").inc())
        self._on(records.WebhookGivenUp, lambda _: outcomes.labels("dead").inc())
        self._on(records.WebhookQueue, queue)

    def _measure_pool(self) -> None:
        busy = self._gauge("edge_worker_busy", "Share of a worker's time spent in jobs.", "worker")
        streams = self._gauge("edge_worker_streams", "Streams of a worker.", "worker")
        resident = self._gauge("edge_worker_resident_bytes", "Resident memory of a worker.", "worker")
        voluntary = self._gauge(
            "edge_worker_voluntary",
            "Share of a worker's time spent on opportunistic dense sampling, which is preempted by due work.",
            "worker",
        )
        jobs = self._gauge("edge_worker_jobs", "Jobs that wait in a worker.", "worker")
        by_tier = self._gauge(
            "edge_streams_by_tier", "Judged streams, by tier: calm, alert or starting.", "tier"
        )
        gave_way = self._gauge(
            "edge_dense_gave_way", "Times that opportunistic dense sampling was preempted."
        )
        decoded = self._gauge("edge_frames_decoded", "Frames decoded since the start.")
        judged = self._gauge("edge_samples_judged", "Samples judged since the start.")
        hashes = self._gauge(
            "edge_bank_hashes", "Hashes of known footage in use, of the worker with the fewest."
        )
        unreadable = self._gauge(
            "edge_banks_unreadable",
            "Unreadable banks: left out, or in use as last read.",
        )
        cut_short = self._gauge(
            "edge_bank_searches_cut_short",
            "Bank searches since the start that hit a bound and kept only the nearest hits.",
        )
        histograms = WorkerHistograms()
        self.registry.register(histograms)

        def measure(record: records.PoolSnapshot) -> None:
            for load in record.workers:
                worker = str(load.index)
                busy.labels(worker).set(load.busy_share)
                streams.labels(worker).set(load.streams)
                resident.labels(worker).set(load.resident_bytes)
                voluntary.labels(worker).set(load.opportunistic_share)
                jobs.labels(worker).set(load.jobs)
            for tier, count in record.streams_by_tier.items():
                by_tier.labels(tier).set(count)
            gave_way.set(record.preempted)
            decoded.set(record.frames_decoded)
            judged.set(record.samples_judged)
            hashes.set(record.bank_hashes)
            unreadable.set(record.banks_unreadable)
            cut_short.set(record.bank_searches_cut_short)

        self._on(records.PoolSnapshot, measure)
        self._on(records.WorkerMeasured, lambda r: histograms.add_counts(r.measure, r.counts, r.sum_ms))
