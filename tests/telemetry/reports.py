"""One record of each kind, as the gate reports them."""

from __future__ import annotations

from edge.domain import (
    Action,
    Block,
    Incident,
    IncidentState,
    Publish,
    SubjectKind,
    Verdict,
)
from edge.reasons import AlarmReason, ServerNotice, StampFault, UnconfirmedReason, VerdictReason
from edge.telemetry import records
from edge.telemetry.records import Record

KEY = "sk-live-2f8a"
"""A stream's name and key. No log line may contain them."""

PUBLISH = Publish(
    "nginx-rtmp", "conn-7", "live", KEY, "anna", "192.0.2.7", {"stream_key": KEY, "token": "tok-secret"}
)
VERDICT = Verdict(Action.CUT, 4000, 3000, "fight", VerdictReason.DETECTOR, 0.98765)
INCIDENT = Incident("in_1", "st_1", PUBLISH, VERDICT, 1_700_000_000_000, IncidentState.CONFIRMED)
BLOCK = Block(
    id="bl_1",
    subject_kind=SubjectKind.BROADCASTER,
    subject="anna",
    app="live",
    reason="detector",
    category="fight",
    created_ms=1_700_000_000_000,
    until_ms=1_700_000_600_000,
    incident_id="in_1",
    created_by="gate",
)

ONE_OF_EACH: tuple[Record, ...] = (
    records.PublishAdmitted("st_1", PUBLISH, 1),
    records.NameResembles("st_1", PUBLISH, BLOCK),
    records.PublishRefused(PUBLISH, "blocked", "bl_1"),
    records.TurnedAway(PUBLISH, "cut"),
    records.CallBroken("DecodeError"),
    records.FailureModeUsed("on_capacity", "deny"),
    records.StreamsRestored(2),
    records.SourceOpened("st_1", "h264"),
    records.StreamClosed("st_1", "end"),
    records.WatchingFailed("st_1", PUBLISH, "stalled", "no media for 5 s"),
    records.StreamMoved("st_1", True, 0.71),
    records.TimestampsWrong("st_1", PUBLISH, StampFault.STILL),
    records.StreamOver("st_1", PUBLISH, "cut", 3),
    records.Passed(7.0),
    records.NotPassed(Action.CUT, "detector", 30.0),
    records.JudgedTooLate("st_1"),
    records.NotJudged("st_1", "late", 4),
    records.MatchCounted("st_1", "lent", "clip", "match"),
    records.BankEntryRanAway("known", "card", 2, quarantined=True),
    records.BankEntryRanAway("known", "song", 2, quarantined=False),
    records.EntriesLookedUp(300, 390_000, 2, 130.0),
    records.BankEntryInDoubt("known", "card", 100),
    records.SourceDemoted("exchange x", "9 of 10 reviewed matches were overturned"),
    records.SourceDemoted("exchange x", ""),
    records.EntryHeld("known", "trailer", 0.0, 200, 0),
    records.MatchedLate("st_1", PUBLISH, "known", "film", Action.CUT, 12_000, 60_000, over=False),
    records.TaskFailed("Upkeep._sweep"),
    records.JournalMeasured(8_388_608, 2),
    records.ReviewsWaiting({"open": 4, "escalated": 3}, {"open": 60.5, "escalated": 3600.5}),
    records.DecisionLost(
        "violation", "in_1", "anna", "live", "fight", 1_700_000_600_000, 1_700_000_000_000, False
    ),
    records.DecisionLost(
        "violation", "in_2", "anna", "live", "fight", 1_700_000_600_000, 1_700_000_000_000, True
    ),
    records.AlarmRaised("banks", AlarmReason.FEWER, "known", "3 hashes fewer"),
    records.AlarmRaised("banks", AlarmReason.MISSING, "old", "its file is gone"),
    records.AlarmCleared("banks", AlarmReason.MISSING, "old"),
    records.MatchingFailed(2),
    records.ExchangeSynced(
        "partner", "http", fetched=3, added=2, replaced=0, removed=1, left_out={"md5": 4}, unfinished=False
    ),
    records.ExchangeMissed("partner", "http", "answers with HTTP 500"),
    records.Flagged(INCIDENT),
    records.FlaggedAgain("st_1", PUBLISH, VERDICT, "in_1"),
    records.CutDecided("st_1", PUBLISH, VERDICT, "in_1"),
    records.CutProven("st_1", PUBLISH, "hook", "in_1", 1, 42.0),
    records.CutProven("st_2", PUBLISH, "confirm_cut", "in_2"),
    records.CutUnconfirmed("st_1", PUBLISH, UnconfirmedReason.LIMIT, "in_1", 9),
    records.CutUnconfirmed("st_1", PUBLISH, UnconfirmedReason.CALLER_GONE, "in_1", alarmed=True),
    records.CutGivenUp("st_1", PUBLISH, "the gate stops", "in_1"),
    records.ViolationRecorded(INCIDENT, "ledger"),
    records.ViolationRecorded(INCIDENT, "memory", "disk full"),
    records.EvidenceSaved("in_1"),
    records.EvidenceMissing("in_1", "disk full"),
    records.BlockMade(BLOCK, "gate"),
    records.BlockChanged(BLOCK, "rita"),
    records.BlockLifted(BLOCK, "rita"),
    records.IncidentReviewed(INCIDENT, "rita"),
    records.IncidentLookedAt(INCIDENT, "rita", 42.0),
    records.ReviewUndone(INCIDENT, "rita"),
    records.LedgerRowsUnknown("blocks", 2),
    records.LedgerDown(),
    records.LedgerBack(),
    records.LedgerDown(),
    records.ProcessContained("worker", ("no_new_privs", "seccomp"), {}),
    records.ProcessContained("puller", ("seccomp",), {"landlock": "switched off at boot"}),
    records.WorkersRestarted(1),
    records.WorkerMeasured("decode", (1,) + 11 * (0,), 0.05),
    records.PoolSnapshot(
        (records.WorkerLoad(0, 5, 0.5, 1_000_000, 0.25, 2),), {"calm": 4, "alert": 1}, 6, 700, 80, 90, 1, 3
    ),
    records.WebhookDelivered(),
    records.WebhookFailed("ev_1", "incident.opened", 2, 500, "503"),
    records.WebhookGivenUp("ev_2", "incident.opened", 17, 9, "410"),
    records.WebhookQueue(11, 2.5),
    records.PullWaits("st_1", PUBLISH, "no worker has room"),
    records.PullsFail("st_1", PUBLISH, 6),
    records.StreamsUnwatched(3, "limits.max_streams"),
    records.EndUnknown("nginx-rtmp"),
    *(records.ServerNoticed("nginx-rtmp", "live", "st_1", what) for what in ServerNotice),
    records.CutOfEarlierRun("st_1", PUBLISH, "in_1"),
    records.CutUnrecorded("st_1", PUBLISH, "a fight", "rita"),
    records.ViolationHeld(INCIDENT, "no space left"),
    records.IncidentUnrecorded(INCIDENT, "no space left"),
    records.IncidentUnrecorded(INCIDENT, "no space left", given_up=True),
    records.MarkLost("in_1", "cut_confirmed"),
    records.EvidenceCutShort("in_1", "no worker has room"),
    records.EvidenceLate("in_1", 31_000),
    records.IncidentRecordMissing("in_1", "no space left"),
    records.IncidentBanked("in_1", 12, {"still": 3}),
    records.BankingFailed("in_1", "failed", "no clip", 0),
    records.ErasureFailed("in_1", "the bucket is away"),
    records.ErasureDone("in_1", "age", 2, "gate"),
    records.ErasureUnrecorded("in_1", (("clip.mp4", "0" * 64),), "away", "gate"),
    records.BankTaken("acme", "known", 3, 1),
    records.PeerRefused("ipv4:192.0.2.1:5000", "gate.other.example"),
    records.BankChanged("bank_off", "known", "", "a film", "rita"),
    records.PolicyChanged(4, 3),
    records.CrisisChanged("attack", "in_force", False, 1_700_000_000_000),
    records.CrisisFootageAdded("attack", "e1", 4000, 3200, False, "rita"),
    records.CrisesInForce(1, 0),
    records.ModelChanged("fight-lite0", "1", "0" * 64, "rita"),
    records.ConsoleUsed("sign_in", "192.0.2.9", "rita"),
    records.ConsoleRefused("192.0.2.9"),
    records.ConsoleUnrecorded("away", "rita"),
    records.LedgerRefused("violation", "a constraint"),
    records.JournalAdopted(2),
    records.CommitsLost(17),
    records.PolicyUnusable(9, "a field"),
    records.ClockStepped(3600, 600),
    records.ClockTrusted(),
    records.WorkerReady("standby"),
    records.WorkerNotRestarted(1, 2, "no model"),
    records.Reloaded("tokens", {"people": 3}),
    records.Draining(),
    records.Announced("https://gate:1"),
    records.WebhooksBack(),
    records.WebhooksStopped(2),
)
