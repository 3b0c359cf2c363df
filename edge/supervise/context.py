"""The objects that the parts of the supervisor share."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.clock import Clock
from edge.config import Settings
from edge.ledger import AdmissionView, DurableLedger, Ledger
from edge.names import compared
from edge.policy import NameCase, Policy
from edge.pullers.pullers import Pullers
from edge.supervise.authority import Authority
from edge.supervise.clean_records import CleanRecords
from edge.supervise.containment_report import ContainmentReport
from edge.supervise.fault_pauses import FaultPauses
from edge.supervise.ledger_executor import LedgerExecutor
from edge.supervise.past_streams import PastStreams
from edge.supervise.policy_in_force import PolicyInForce
from edge.supervise.registry import Registry
from edge.telemetry.telemetry import Telemetry
from edge.workers.pool import WorkerPool


@dataclass(slots=True)
class Context:
    """Shared objects of one gate, for one event loop. Only ``settings``, ``in_force``, ``draining``,
    ``media_over`` and ``stopped`` change."""

    settings: Settings
    telemetry: Telemetry
    clock: Clock
    ledger: DurableLedger
    operator_ledger: Ledger
    """The same ledger for operators' changes. It waits longer for another writer."""
    executor: LedgerExecutor
    view: AdmissionView
    registry: Registry
    pool: WorkerPool
    pullers: Pullers
    containment: ContainmentReport
    in_force: PolicyInForce
    authority: Authority
    pauses: FaultPauses = field(default_factory=FaultPauses)
    clean: CleanRecords = field(default_factory=CleanRecords)
    past: PastStreams = field(default_factory=PastStreams)
    draining: bool = False
    """The gate admits nothing more."""
    media_over: bool = False
    """The gate takes no more media. What has come is still judged."""
    stopped: bool = False
    """The gate decides nothing more."""

    def __post_init__(self) -> None:
        self.take_policy(self.in_force)

    @property
    def policy(self) -> Policy:
        """The whole policy in force, including its overrides."""
        return self.in_force.policy

    def take_policy(self, in_force: PolicyInForce) -> None:
        """Puts a policy in force."""
        self.in_force = in_force
        self.view.case_mapped = self.registry.case_mapped = self.policy.names.case is NameCase.MAPPED

    def account(self, broadcaster: str) -> str:
        """A broadcaster's account name, in lower case if the policy ignores case."""
        mapped = self.policy.names.case is NameCase.MAPPED
        return compared(broadcaster, case_mapped=True) if mapped else broadcaster
