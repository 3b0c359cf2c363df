"""What the parts of the supervisor share."""

from __future__ import annotations

from dataclasses import dataclass

from edge.clock import Clock
from edge.config import Settings
from edge.ledger import AdmissionView, DurableLedger, Ledger
from edge.policy import Policy
from edge.supervise.ledger_executor import LedgerExecutor
from edge.supervise.policy_in_force import PolicyInForce
from edge.supervise.registry import Registry
from edge.telemetry.telemetry import Telemetry
from edge.workers.pool import WorkerPool


@dataclass(slots=True)
class Context:
    """Lives in one event loop; only ``in_force``, ``draining`` and ``stopped`` are ever replaced."""

    settings: Settings
    telemetry: Telemetry
    clock: Clock
    ledger: DurableLedger
    operator_ledger: Ledger
    """The same one for what people change, which waits longer for another writer."""
    executor: LedgerExecutor
    view: AdmissionView
    registry: Registry
    pool: WorkerPool
    in_force: PolicyInForce
    draining: bool = False
    """Nothing more is admitted."""
    stopped: bool = False
    """Nothing more is decided."""

    @property
    def policy(self) -> Policy:
        """The whole policy in force, overrides included."""
        return self.in_force.policy
