"""The alarms that stand now, for health checks, metrics and the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge.printable import printable
from edge.reasons import AlarmReason
from edge.telemetry.records import AlarmCleared, AlarmRaised
from edge.telemetry.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that stays wrong until a person, or time, mends it."""

    reason: AlarmReason
    subject: str
    """The bank, for example. Empty where the part has one thing only."""
    detail: str


class Alarms:
    """Keeps the alarms of each part of the gate. Reports each once when it begins and when it is over."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._standing: dict[str, dict[tuple[AlarmReason, str], Alarm]] = {}

    def set_alarms(self, part: str, alarms: Iterable[Alarm]) -> None:
        """Says which alarms of a part stand now. All others of that part are over."""
        before = self._standing.get(part, {})
        now = {(alarm.reason, alarm.subject): alarm for alarm in alarms}
        self._standing[part] = now
        for key in before.keys() - now.keys():
            self._telemetry.report(AlarmCleared(part, *key))
        for key in now.keys() - before.keys():
            self._telemetry.report(AlarmRaised(part, *key, now[key].detail))

    def token_file_refused(self, problem: str | None) -> None:
        """Says that nobody can sign in, and why; None: people can again."""
        refused = () if problem is None else (Alarm(AlarmReason.REFUSED, "", problem),)
        self.set_alarms("tokens", refused)

    def lines(self) -> list[str]:
        """Returns one line an alarm, for a health check: part, reason and subject, without paths."""
        return sorted(
            printable(" ".join(filter(None, (part, reason.value, subject))))
            for part, alarms in self._standing.items()
            for reason, subject in alarms
        )
