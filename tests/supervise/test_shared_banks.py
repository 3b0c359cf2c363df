"""A gate keeps what it shares up to date, and holds back what a second person has yet to stand for."""

from __future__ import annotations

from pathlib import Path

from edge.banking import Banking, BankingState
from edge.domain import INCIDENT_BANK, IncidentState
from edge.match import Bank
from edge.match.bank.verified_copies import Extent, refresh_copies
from edge.policy import Mode, Policy, SharingPolicy
from edge.sharing.settings import SharePeer, ShareSection
from edge.sharing.share_log import ShareLog, log_path
from tests.console.browser import flagged
from tests.sharing.test_share_log import footage
from tests.supervise.gate_without_workers import Bench, gate_without_workers

SHARE = ShareSection(peers={"acme": SharePeer(subject="acme.example", banks=(INCIDENT_BANK, "known"))})


async def shared(bench: Bench, bank: str) -> int:
    """Number of entries that are shared, once the gate has looked."""
    settings = bench.gate.settings
    refresh_copies(settings.banks, settings.bank_copies, Extent.NEW)
    await bench.gate.shared_banks.bring_up_to_date()
    with ShareLog.open(log_path(settings.share_logs, bank)) as log:
        return log.entries


async def test_an_incident_is_shared_once_a_second_person_has_confirmed_it(tmp_path: Path) -> None:
    policy = Policy(mode=Mode.ENFORCE, sharing=SharingPolicy(second_person=True))
    async with gate_without_workers(tmp_path, policy, share=SHARE) as bench:
        incident_id = await flagged(bench)
        ledger, now = bench.gate.ledger, bench.gate.clock.wall_ms()
        ledger.review(incident_id, IncidentState.CONFIRMED, "seen", "rita", now, policy)
        ledger.set_banking(incident_id, Banking(BankingState.BANKED), now)
        bank = Bank.create(bench.gate.settings.banks / INCIDENT_BANK)
        bank.add_footage([footage(incident_id)])
        assert await shared(bench, INCIDENT_BANK) == 0
        ledger.review(incident_id, IncidentState.CONFIRMED, "seen", "omar", now, policy)
        assert await shared(bench, INCIDENT_BANK) == 1
        bank.remove([incident_id])
        assert await shared(bench, INCIDENT_BANK) == 0


async def test_without_that_wish_one_person_is_enough_and_what_is_gone_withdraws_nothing(
    tmp_path: Path,
) -> None:
    async with gate_without_workers(tmp_path, share=SHARE) as bench:
        bank = Bank.create(bench.gate.settings.banks / INCIDENT_BANK)
        bank.add_footage([footage("in_1")])
        assert await shared(bench, INCIDENT_BANK) == 1
        assert "share missing known" in bench.gate.alarms.lines()
        Bank.create(bench.gate.settings.banks / "known").add_footage([footage("e")])
        assert await shared(bench, "known") == 1
        assert not bench.gate.alarms.lines()
        for file in bench.gate.settings.bank_copies.iterdir():
            file.unlink()
        await bench.gate.shared_banks.bring_up_to_date()
        with ShareLog.open(log_path(bench.gate.settings.share_logs, "known")) as log:
            assert log.entries == 1
        assert "share missing known" in bench.gate.alarms.lines()
