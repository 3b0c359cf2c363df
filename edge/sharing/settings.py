"""The settings of what is shared with other companies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from edge.section import Section

MAX_PEERS: Final = 256
MAX_BANKS: Final = 64
_BANK: Final = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_PEER: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

PeerName = Annotated[str, Field(min_length=1, max_length=64)]


class SharePeer(Section):
    """Another company that may have banks."""

    subject: str = Field(
        min_length=1,
        max_length=253,
        description="A name in its certificate: a DNS name or URI among the alternative names.",
    )
    banks: tuple[Annotated[str, Field(pattern=_BANK)], ...] = Field(
        (), max_length=MAX_BANKS, description="The banks that it may have."
    )


class ShareSection(Section):
    """Banks that other companies may have, over mutual TLS on a port of its own."""

    listen: str | None = Field(
        None,
        max_length=256,
        pattern=r"^[^\s/?#@]+:[0-9]{1,5}$",
        description="`HOST:PORT` on which peers ask; port 0: any free one. Default: nothing is shared.",
    )
    name: str = Field(
        "", max_length=64, description="How this company calls itself to peers. Needed where it shares."
    )
    cert: Path | None = Field(None, description="Certificate chain of this side, PEM.")
    key: Path | None = Field(None, description="Its private key, PEM.")
    ca: Path | None = Field(None, description="Certificate authority of the peers, PEM. Only it is trusted.")
    peers: dict[PeerName, SharePeer] = Field(
        {},
        max_length=MAX_PEERS,
        description="The peers by name: `[share.peers.NAME]` with `subject` and `banks`.",
    )
    pages_per_minute: int = Field(
        600,
        ge=6,
        le=100_000,
        description="Pages that a peer may ask for in a minute; a sixth of them at once.",
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        for name in self.peers:
            if not _PEER.fullmatch(name):
                raise ValueError(f"peers: {name!r}: 1 to 64 of a-z 0-9 . _ -, starting with a-z or 0-9")
        subjects = [peer.subject.lower() for peer in self.peers.values()]
        twice = {subject for subject in subjects if subjects.count(subject) > 1}
        if twice:
            raise ValueError(f"peers: {sorted(twice)[0]!r} is the subject of two peers")
        if self.listen is not None:
            for field in ("name", "cert", "key", "ca"):
                if not getattr(self, field):
                    raise ValueError(f"listen needs {field}: peers are told apart by their certificates")
        if not self.name.isprintable():
            raise ValueError("name has characters that cannot be printed")
        return self

    @property
    def banks(self) -> frozenset[str]:
        """The banks that any peer may have."""
        return frozenset(bank for peer in self.peers.values() for bank in peer.banks)
