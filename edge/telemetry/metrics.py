"""What the gate counts, as Prometheus collectors in a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from edge.telemetry.distributions import MeasuredByWorkers

_LATENCY_BUCKETS_MS = (2, 5, 10, 20, 50, 100, 150, 250, 500, 1000, 2500)
_CUT_BUCKETS_MS = (10, 25, 50, 100, 150, 250, 500, 1000, 2500, 5000, 10_000)


class Metrics:
    """One instance a process; names end in their unit."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.admissions = Counter("edge_admissions", "Publishes asked for.", ["reason"], registry=registry)
        self.streams = Gauge("edge_streams", "Streams admitted and not ended.", registry=registry)
        self.verdicts = Counter("edge_verdicts", "Verdicts reached.", ["action", "reason"], registry=registry)
        self.latency = Histogram(
            "edge_verdict_latency_ms",
            "Arrival of a sample's last byte to its verdict.",
            buckets=_LATENCY_BUCKETS_MS,
            registry=registry,
        )
        self.not_judged = Counter(
            "edge_not_judged", "Samples or access units that got no verdict.", ["reason"], registry=registry
        )
        self.streams_closed = Counter(
            "edge_streams_closed", "Streams whose watching ended.", ["reason"], registry=registry
        )
        self.violations = Counter(
            "edge_violations", "Strikes and blocks written.", ["durable_in"], registry=registry
        )
        self.evidence_clips = Counter(
            "edge_evidence_clips",
            "Incidents, by what came of their clip.",
            ["result"],
            registry=registry,
        )
        self.cuts = Counter("edge_cuts", "Cuts, by what proved them.", ["confirmed_by"], registry=registry)
        self.cuts_unconfirmed = Counter(
            "edge_cuts_unconfirmed", "Cuts that nothing proved within the limit: an alarm.", registry=registry
        )
        self.time_to_cut = Histogram(
            "edge_time_to_cut_ms",
            "CUT verdict to the proof that the publisher is gone.",
            buckets=_CUT_BUCKETS_MS,
            registry=registry,
        )
        self.failure_mode = Counter(
            "edge_failure_mode", "Uses of a failure mode.", ["part", "mode"], registry=registry
        )
        self.ledger_down = Gauge(
            "edge_ledger_down", "1 while the ledger cannot be written.", registry=registry
        )
        self.worker_restarts = Counter("edge_worker_restarts", "Workers replaced.", registry=registry)

        self.quarantined_entries = Counter(
            "edge_bank_entries_quarantined", "Bank entries that matched too many streams.", registry=registry
        )
        self.webhooks = Counter(
            "edge_webhooks",
            "Attempts to tell the platform, by outcome: delivered, failed (tried again), dead (given up).",
            ["outcome"],
            registry=registry,
        )
        self.webhooks_waiting = Gauge(
            "edge_webhooks_waiting", "Events that are not delivered yet.", registry=registry
        )
        self.webhook_oldest = Gauge(
            "edge_webhook_oldest_seconds", "Age of the oldest event that waits.", registry=registry
        )
        self.worker_busy = Gauge(
            "edge_worker_busy", "Share of a worker's time spent in jobs.", ["worker"], registry=registry
        )
        self.worker_streams = Gauge(
            "edge_worker_streams", "Streams of a worker.", ["worker"], registry=registry
        )
        self.worker_resident = Gauge(
            "edge_worker_resident_bytes", "Resident memory of a worker.", ["worker"], registry=registry
        )
        self.worker_voluntary = Gauge(
            "edge_worker_voluntary",
            "Share of a worker's time spent on looking more densely than is due; given up when it is needed.",
            ["worker"],
            registry=registry,
        )
        self.worker_jobs = Gauge(
            "edge_worker_jobs", "Jobs that wait in a worker.", ["worker"], registry=registry
        )
        self.streams_by_tier = Gauge(
            "edge_streams_by_tier",
            "Streams that are judged, by tier: calm, alert, or starting.",
            ["tier"],
            registry=registry,
        )
        self.gave_way = Gauge(
            "edge_dense_gave_way", "Times that a denser look than due gave way.", registry=registry
        )
        self.measured = MeasuredByWorkers()
        registry.register(self.measured)
        self.decoded = Gauge("edge_frames_decoded", "Frames decoded since the start.", registry=registry)
        self.judged = Gauge("edge_samples_judged", "Samples judged since the start.", registry=registry)
        self.bank_hashes = Gauge(
            "edge_bank_hashes",
            "Hashes of known footage in use; of the worker with the fewest.",
            registry=registry,
        )
        self.banks_unreadable = Gauge(
            "edge_banks_unreadable",
            "Banks that are left out, or in use as they were before, as they cannot be read.",
            registry=registry,
        )
        self.bank_searches_cut_short = Gauge(
            "edge_bank_searches_cut_short",
            "Bank searches since the start in which a bound was hit: only the nearest hits were kept.",
            registry=registry,
        )

    def exposition(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self.registry)
