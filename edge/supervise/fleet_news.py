"""News between this gate and the others of its fleet: what they commit, and where this one is reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec

import structlog

from edge.background import BackgroundTasks, task_health
from edge.crisis import Crisis
from edge.domain import Block
from edge.errors import LedgerUnavailable
from edge.ledger import FleetFeed
from edge.ledger.blocks import Revision
from edge.policy import Policy
from edge.supervise.context import Context
from edge.telemetry.records import Announced

_ANNOUNCE_S: Final = 5.0

log = structlog.get_logger(__name__)

_Of = ParamSpec("_Of")


class FleetNews:
    """Hands what gates of the fleet, perhaps this one, commit to the gate's event loop."""

    def __init__(
        self,
        context: Context,
        on_blocks: Callable[[tuple[Block, ...]], None],
        on_policy: Callable[[Policy], object],
        on_crises: Callable[[tuple[Crisis, ...]], object],
    ) -> None:
        self._context = context
        self._on_blocks = on_blocks
        self._on_policy = on_policy
        self._on_crises = on_crises
        self._feed: FleetFeed | None = None

    @property
    def down(self) -> bool:
        """Whether what others commit does not arrive here."""
        return self._feed is not None and self._feed.down

    def start(self, since: Revision) -> None:
        """Follows a ledger that gates share. ``since`` is its revision from before the blocks were loaded."""
        context = self._context
        if not context.ledger.shared:
            return
        loop, health = asyncio.get_running_loop(), task_health()

        def soon(receive: Callable[_Of, object]) -> Callable[_Of, None]:
            """Calls ``receive`` in the event loop. The feed is a thread of its own."""

            def call(*args: _Of.args, **kwargs: _Of.kwargs) -> None:
                loop.call_soon_threadsafe(lambda: receive(*args, **kwargs))

            return call

        def failed(error: Exception) -> None:
            health.failed("FleetFeed", error)

        self._feed = FleetFeed(
            context.ledger,
            soon(self._on_blocks),
            since=since,
            on_policy=soon(self._on_policy),
            policy_version=context.policy.version,
            on_failure=soon(failed),
            on_crises=soon(self._on_crises),
            on_away=soon(context.executor.news_away),
            report=soon(context.telemetry.report),
        )
        self._feed.start()

    async def stop(self) -> None:
        """Stops following. After it returns, nothing more is handed over."""
        if self._feed is not None:
            await asyncio.to_thread(self._feed.stop)

    def announce(self, listening: str, tasks: BackgroundTasks) -> None:
        """Tells the fleet where this gate is reached. ``listening``: the address that gRPC listens on."""
        settings = self._context.settings
        if self._context.ledger.shared or settings.fleet.address is not None:
            tasks.start(self._announce(settings.fleet.url(listening, tls=settings.grpc.tls_cert is not None)))

    async def _announce(self, url: str) -> None:
        context = self._context
        while True:
            try:
                if await context.executor.person(
                    context.operator_ledger.announce_gate, url, context.clock.wall_ms()
                ):
                    context.telemetry.report(Announced(url))
                return
            except LedgerUnavailable as error:
                log.warning("other gates do not know yet where this one is", error=str(error))
            await asyncio.sleep(_ANNOUNCE_S)
