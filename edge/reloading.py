"""SIGHUP: a running gate reads its settings, tokens, certificates and texts again.

Each of these is taken whole or not at all. What is wrong is an alarm, and what was in force stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import structlog
from pydantic import BaseModel

from edge.api.auth import TokenFile
from edge.api.certificates import Certificates
from edge.config import Settings
from edge.errors import ConfigError
from edge.notices import use_messages
from edge.reasons import AlarmReason
from edge.supervise import Gate
from edge.supervise.alarms import Alarm
from edge.telemetry.logs import set_log_level
from edge.telemetry.records import Reloaded

LIVE: Final = frozenset(
    {
        "log_level",
        "messages_dir",
        "share.peers",
        "share.pages_per_minute",
        *(
            f"limits.{name}"
            for name in (
                "max_streams",
                "max_streams_per_client",
                "max_streams_per_broadcaster",
                "max_streams_per_address",
                "max_streams_per_app",
                "max_app_chars",
                "max_name_chars",
                "max_broadcaster_chars",
                "max_connection_chars",
                "max_attributes",
                "max_attribute_chars",
                "max_url_chars",
                "max_reason_chars",
                "max_lead_ms",
                "max_answers",
                "pull_from",
                "pull_open_ms",
                "pull_stall_ms",
                "watch_open_ms",
                "push_stall_ms",
                "unwatched_ms",
            )
        ),
    }
)
"""Settings that change while the gate runs. The others are read at its start."""

log = structlog.get_logger(__name__)


def changes(before: BaseModel, now: BaseModel, prefix: str = "") -> Iterator[str]:
    """Yields the names of the settings that differ, such as ``limits.max_streams``. Pure."""
    for name in type(before).model_fields:
        old, new = getattr(before, name), getattr(now, name)
        if isinstance(old, BaseModel) and type(new) is type(old):
            yield from changes(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}"


def merged(before: Settings, now: Settings) -> Settings:
    """Returns ``before`` with what can change while the gate runs. Pure."""
    update: dict[str, Any] = {name: getattr(now, name) for name in LIVE if "." not in name}
    for section in ("limits", "share"):
        old, new = getattr(before, section), getattr(now, section)
        live = {name.partition(".")[2] for name in LIVE if name.startswith(f"{section}.")}
        update[section] = old.model_copy(update={name: getattr(new, name) for name in live})
    return before.model_copy(update=update)


class Reloading:
    """Reads the files of one gate again. ``read`` returns the settings anew, or raises ConfigError."""

    def __init__(
        self,
        gate: Gate,
        tokens: TokenFile,
        certificates: Sequence[Certificates],
        read: Callable[[], Settings],
    ) -> None:
        self._gate = gate
        self._tokens = tokens
        self._certificates = certificates
        self._read = read
        self.asked = asyncio.Event()
        """Set it to have the files read."""

    async def run(self) -> None:
        """Reads the files whenever that is asked for. Cancel it to end it."""
        while True:
            await self.asked.wait()
            self.asked.clear()
            await self.reload()

    async def reload(self) -> None:
        """Reads all files once."""
        for part, take in (
            ("settings", self._take_settings),
            ("tokens", self._take_tokens),
            ("certificates", self._take_certificates),
        ):
            problem: str | None = None
            try:
                taken = await take()
            except ConfigError as error:
                problem = str(error)
                log.error("not reloaded, what was in force stays", part=part, error=problem)
            else:
                self._gate.telemetry.report(Reloaded(part, taken))
            if part == "tokens":
                self._gate.alarms.token_file_refused(problem)
            else:
                refused = () if problem is None else (Alarm(AlarmReason.REFUSED, "", problem),)
                self._gate.alarms.set_alarms(part, refused)

    async def _take_settings(self) -> dict[str, Any]:
        before = self._gate.settings
        wanted = await asyncio.to_thread(self._read)
        await asyncio.to_thread(use_messages, wanted.messages_dir)  # Their texts may have changed, too.
        set_log_level(wanted.log_level)
        now = merged(before, wanted)
        self._gate.take_settings(now)
        if need_restart := sorted(changes(now, wanted)):
            log.warning("settings have changed that need a restart", settings=need_restart)
        return {"changed": sorted(changes(before, now))}

    async def _take_tokens(self) -> dict[str, Any]:
        return {"people": len(await asyncio.to_thread(self._tokens.people))}

    async def _take_certificates(self) -> dict[str, Any]:
        changed = [await asyncio.to_thread(one.reload) for one in self._certificates]
        return {"changed": any(changed)}
