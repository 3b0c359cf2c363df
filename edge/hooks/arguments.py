"""What a publish URL's arguments say of a publish: who broadcasts, the stream key, attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.domain import Publish
from edge.hooks.fields import argument
from edge.ledger.subjects import STREAM_KEY_ATTRIBUTE

_KEY = "key"


@dataclass(frozen=True, slots=True)
class PublishArguments:
    """Which arguments count. A client writes them: the platform's own hook must vouch for what they say."""

    broadcaster: str = "user"
    """Names the broadcaster."""
    attributes: tuple[str, ...] = ()
    """Become attributes of the publish, by the same names; absent and empty ones do not."""

    def publish(
        self,
        query: Mapping[str, Any],
        *,
        server: str,
        connection: str,
        app: str,
        name: str,
        address: str,
        user: str = "",
    ) -> Publish:
        """The publish that has these arguments.

        ``user``: whom the server itself knows the publisher as, where ``query`` names no broadcaster; else
        it is the stream's path. ``key`` becomes ``attributes["stream_key"]``. Raises InvalidInput or
        LimitExceeded with the argument.
        """
        values = {STREAM_KEY_ATTRIBUTE: argument(query, _KEY)}
        values |= {each: argument(query, each) for each in self.attributes}
        return Publish(
            server=server,
            connection=connection,
            app=app,
            name=name,
            broadcaster=argument(query, self.broadcaster) or user or f"{app}/{name}".removeprefix("/"),
            address=address,
            attributes={each: value for each, value in values.items() if value},
        )
