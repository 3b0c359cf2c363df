"""What the hooks of every server share that does not wait for the pull: they follow what they let in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edge.domain import Publish, StreamId
from edge.servers.connector import Connector, CutTarget
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_http import ServerHookSettings
from edge.servers.publish_lifecycle import Follower


class FollowedHooks:
    """Follows each publish from its admission to its end; ``publishing`` as of ``Follower``."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        connector: Connector,
        settings: ServerHookSettings,
        publishing: Callable[[CutTarget], Awaitable[bool | None]] | None = None,
    ) -> None:
        self._settings = settings
        self._follower = Follower(gatekeeper, connector, settings.pull_url, publishing)

    def resume(self, stream_id: StreamId, publish: Publish) -> None:
        self._follower.follow(stream_id, publish, resumed=True)

    async def aclose(self) -> None:
        await self._follower.aclose()
