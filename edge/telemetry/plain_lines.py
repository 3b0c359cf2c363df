"""Log lines that tell just the fields of their records: the level and the words of each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from edge.reasons import ServerNotice
from edge.telemetry import records
from edge.telemetry.records import Record

PLAIN: Final[Mapping[type[Record], tuple[str, str]]] = MappingProxyType(
    {
        # streams
        records.SourceOpened: ("info", "watching"),
        records.JudgedTooLate: ("critical", "a violation was seen on a stream that is over"),
        records.PullWaits: ("warning", "pull waits for a worker"),
        records.PullsFail: ("critical", "a live stream cannot be pulled"),
        records.StreamsUnwatched: ("error", "streams of an earlier run are not watched"),
        records.EndUnknown: ("info", "an unknown publish ended"),
        # cuts
        records.CutOfEarlierRun: (
            "warning",
            "a cut of an earlier run was never confirmed; its caller must confirm or ask again",
        ),
        records.CutUnrecorded: ("error", "cut by hand while the ledger is away"),
        records.ViolationHeld: ("critical", "a block is held in memory only"),
        records.MarkLost: ("error", "mark on an incident given up"),
        records.EvidenceMissing: ("error", "no evidence clip"),
        records.EvidenceCutShort: ("warning", "the clip ends at the verdict"),
        records.EvidenceLate: ("warning", "a clip came late"),
        records.IncidentRecordMissing: ("error", "no record beside the clip"),
        # people
        records.IncidentBanked: ("info", "an incident went through the bank"),
        records.BankingFailed: ("error", "known footage not brought up to date"),
        records.ErasureDone: ("info", "evidence erased"),
        records.ErasureFailed: ("error", "evidence cannot be erased"),
        records.ErasureUnrecorded: ("critical", "evidence is erased, and not yet on record so"),
        records.BankChanged: ("info", "bank changed by hand"),
        records.BankTaken: ("info", "a peer took changes of a bank"),
        records.PeerRefused: ("warning", "somebody who is no peer asked for banks"),
        records.BankComing: ("info", "a bank comes from the fleet"),
        records.BanksInStep: ("info", "in step with the fleet's banks"),
        records.PolicyChanged: ("info", "policy in force"),
        records.CrisisChanged: ("warning", "crisis"),
        records.CrisisFootageAdded: ("info", "footage added to a crisis"),
        records.ModelChanged: ("info", "model in force"),
        records.ConsoleUsed: ("info", "at the console"),
        records.ConsoleRefused: ("warning", "wrong token at the console"),
        records.ConsoleUnrecorded: ("warning", "the audit log lacks who came to the console"),
        # the gate's own parts
        records.ExchangeSynced: ("info", "exchange fetched"),
        records.ExchangeMissed: ("error", "exchange not fetched"),
        records.AlarmRaised: ("critical", "alarm"),
        records.AlarmCleared: ("warning", "alarm is over"),
        records.LedgerBack: ("info", "ledger is back"),
        records.LedgerRefused: ("critical", "the ledger refuses a decision; it stays in the journal"),
        records.JournalAdopted: ("info", "journal was moved to the ledger"),
        records.CommitsLost: (
            "critical",
            "the ledger's database has come back without changes that were committed: every block and the "
            "policy are read again; what was lost must be decided anew",
        ),
        records.PolicyUnusable: ("critical", "the fleet's policy cannot be used here"),
        records.ClockStepped: (
            "critical",
            "the wall clock has stepped: blocks begin and end by it, but nothing is put on record as lapsed "
            "until it can be trusted again; check the machine's time service",
        ),
        records.ClockTrusted: ("info", "the wall clock is trusted again"),
        records.WorkerReady: ("info", "a worker beside the others is ready"),
        records.WorkerNotRestarted: ("critical", "worker not restarted"),
        records.Draining: ("info", "draining"),
        records.Announced: ("info", "announced to the fleet"),
        # the platform
        records.WebhookGivenUp: ("error", "webhook given up"),
        records.WebhooksBack: ("info", "webhooks go on"),
        records.WebhooksStopped: ("info", "webhooks stop"),
    }
)
"""Level and words by kind of record."""

SERVER_NOTICES: Final[Mapping[ServerNotice, tuple[str, str]]] = MappingProxyType(
    {
        ServerNotice.PULL_MISPLACED: ("error", "the pull does not find the publisher's worker"),
        ServerNotice.PULL_LATE: ("warning", "the pull is not connected yet, first frames may be missed"),
        ServerNotice.END_DOUBTED: ("warning", "an end was not believed: the connection still publishes"),
        ServerNotice.END_UNSAID: ("warning", "a publisher is gone, and its server has not said so"),
        ServerNotice.RESUMING: ("warning", "a stream of an earlier run waits to be watched"),
        ServerNotice.STATE_UNKNOWN: ("warning", "the server's state is not known, watching by name"),
        ServerNotice.NOT_STARTED: ("info", "an admitted publish did not start"),
        ServerNotice.LOST: (
            "critical",
            "an admitted publish did not start and its connection is not found: has it gone, or does it "
            "publish, unwatched, under another reference?",
        ),
        ServerNotice.LATE: ("warning", "a publish that started too late to be watched is cut"),
        ServerNotice.STAYS: ("error", "a refused publisher is still connected"),
    }
)
"""Level and words by what an ingest server did."""
