"""Runs the process that keeps this gate's banks in step with the fleet's, and says what it does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from edge.errors import BankError
from edge.fleet_banks.process import ProcessSettings
from edge.reasons import AlarmReason
from edge.supervise.alarms import Alarm, Alarms
from edge.telemetry.records import BankComing, BanksInStep, LedgerRowsUnknown
from edge.telemetry.telemetry import Telemetry

PART: Final = "fleet_banks"
COMMON: Final = "bank-common"
"""Folder of the data directory with what the fleet's banks had in common."""
_MOST_LINE: Final = 1 << 20


class FleetBanks:
    """``changed`` is called when the folder of banks has changed."""

    def __init__(
        self, settings: ProcessSettings, alarms: Alarms, telemetry: Telemetry, changed: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._alarms = alarms
        self._telemetry = telemetry
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None

    def ask(self) -> None:
        """Tells the fleet at once what has changed in the folder."""
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(b"\n")

    async def run(self) -> None:
        """Runs the process until this is cancelled. Raises BankError when it ends by itself, and OSError when
        it cannot be started."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "edge.fleet_banks.process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MOST_LINE,
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(asdict(self._settings)).encode() + b"\n")
            self._process = process
            async for line in process.stdout:
                self._take(json.loads(line))
            raise BankError(f"the process of the fleet's banks ended with {await process.wait()}")
        finally:
            self._process = None
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    def _take(self, done: dict[str, Any]) -> None:
        if "of_bytes" in done:
            self._telemetry.report(BankComing(done["bank"], done["bytes"], done["of_bytes"]))
            return
        taken, told, unknown, problems = (done[name] for name in ("taken", "told", "unknown", "problems"))
        self._alarms.set_alarms(
            PART, (Alarm(AlarmReason.OUT_OF_STEP, bank, detail) for bank, detail in problems)
        )
        if unknown:
            self._telemetry.report(LedgerRowsUnknown("bank_changes", unknown))
        if taken or told:
            self._telemetry.report(BanksInStep(taken, told))
        if taken:
            self._changed()
