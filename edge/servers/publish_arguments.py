"""Reads the arguments of a publish URL: the broadcaster, the stream key, attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.domain import UNPROVEN_ATTRIBUTE, Publish
from edge.errors import InvalidInput
from edge.ledger import STREAM_KEY_ATTRIBUTE
from edge.names import stored_name
from edge.servers.hook_body import MAX_ARGUMENT, address_of, argument, parse_query, text_of
from edge.servers.settings import ServerSection

USER = "user"
"""The argument that names the broadcaster by default."""
_KEY = "key"


@dataclass(frozen=True, slots=True)
class PublishArguments:
    """The arguments that count. A client writes them, so the platform's own hook must check them."""

    broadcaster: str = USER
    """Names the broadcaster."""
    attributes: tuple[str, ...] = ()
    """Become attributes of the publish, by the same names; absent and empty ones do not."""
    identity_proven: bool = True
    """Whether something checks that the publisher is whom the arguments name."""

    @classmethod
    def of(cls, section: ServerSection) -> PublishArguments:
        """Those that the section of a server names."""
        return cls(section.broadcaster_argument, section.attribute_arguments, section.identity_proven)

    def publish_of(
        self,
        fields: Mapping[str, Any],
        query: str,
        *,
        server: str,
        connection: str,
        app: str,
        name: str,
        user: str = "",
    ) -> Publish:
        """The publish of a JSON hook: ``query`` is the field with its arguments, ``ip`` that of its address.

        Raises as ``publish`` does, and for a query or an address that is no text.
        """
        return self.publish(
            parse_query(text_of(fields, query)),
            server=server,
            connection=connection,
            app=app,
            name=name,
            address=address_of(text_of(fields, "ip", 128)),
            user=user,
        )

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

        The broadcaster is the ``user`` who logged in at the server, else whom ``query`` names, else the
        stream's path. Publishers may share a login: an argument that the settings name goes before the
        ``user``. ``key`` becomes ``attributes["stream_key"]``. Raises InvalidInput or LimitExceeded with the
        argument. InvalidInput is also raised where the argument ``user`` names somebody else than the login.
        """
        named, user = argument(query, self.broadcaster), stored_name("user", user, MAX_ARGUMENT)
        if self.broadcaster != USER:
            user = named or user
        elif user and named and named != user:
            raise InvalidInput(self.broadcaster, "must name whom the login names, or be left out")
        values = {STREAM_KEY_ATTRIBUTE: argument(query, _KEY)}
        values |= {each: argument(query, each) for each in self.attributes}
        values[UNPROVEN_ATTRIBUTE] = "" if self.identity_proven else "true"
        return Publish(
            server=server,
            connection=connection,
            app=app,
            name=name,
            broadcaster=user or named or f"{app}/{name}".removeprefix("/"),
            address=address,
            attributes={each: value for each, value in values.items() if value},
        )
