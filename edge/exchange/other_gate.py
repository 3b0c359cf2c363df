"""A bank that another company's gate shares, over mutual TLS."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator

from edge.errors import CheckpointStale, ExchangeFailed
from edge.exchange.kind import ExchangeKind, KindOptions, Opening
from edge.exchange.page import Shared, SharedPage
from edge.match import Withdrawal
from edge.policy import ExchangeOpinion
from edge.sharing.peer_client import OwnCertificate, PeerChange, PeerClient

PAUSE_S: Final = 0.05
"""Between two pages, so that a run leaves the other company's gate its time."""
_URL: Final = re.compile(r"gate://([^\s/?#@]{1,253}:[0-9]{1,5})/([a-z0-9][a-z0-9._-]{0,63})")


class OtherGateOptions(KindOptions):
    url: str = Field(description="`gate://HOST:PORT/BANK`.", max_length=512)
    cert: Path = Field(description="Certificate chain by which the other side knows this one, PEM.")
    key: Path = Field(description="Its private key, PEM.")
    ca: Path = Field(description="Certificate authority of the other side, PEM. Only it is trusted.")
    categories: str = Field(
        "",
        max_length=1024,
        description="Categories that are taken over from the other side, with commas between them. Other "
        "entries are of the bank's own category.",
    )
    max_entries: int = Field(1_000_000, ge=1, le=100_000_000, description="Most changes that one run takes.")

    @field_validator("url")
    @classmethod
    def _is_one(cls, url: str) -> str:
        if _URL.fullmatch(url) is None:
            raise ValueError("wants gate://HOST:PORT/BANK")
        return url

    @property
    def place(self) -> str:
        """``HOST:PORT``."""
        return self.url.removeprefix("gate://").partition("/")[0]

    @property
    def bank(self) -> str:
        return self.url.rpartition("/")[2]


class OtherGate:
    def __init__(
        self, opening: Opening[OtherGateOptions], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._options = opening.options
        self._sleep = sleep
        self._categories = frozenset(filter(None, map(str.strip, opening.options.categories.split(","))))

    def pages(self, checkpoint: str) -> Iterator[SharedPage]:
        options = self._options
        taken = 0
        with PeerClient(options.place, OwnCertificate(options.cert, options.key, options.ca)) as client:
            for page in client.pages(options.bank, checkpoint):
                if page.start_again:
                    raise CheckpointStale(f"{options.place}: cannot tell what has changed since then")
                taken += len(page.changes)
                if taken > options.max_entries:
                    raise ExchangeFailed(f"{options.place}: over the limit of {options.max_entries} changes")
                yield SharedPage(tuple(map(self._shared, page.changes)), page.checkpoint)
                self._sleep(PAUSE_S)

    def _shared(self, told: PeerChange) -> Shared | Withdrawal:
        if isinstance(told.change, Withdrawal):
            return told.change
        entry = told.change.entry
        category = entry.label
        label = category if category in self._categories else ""
        note = f"{told.confidence}, {told.provenance}, {told.severity}, {category}"
        footage = dataclasses.replace(told.change, entry=dataclasses.replace(entry, label=label, note=note))
        doubted = told.confidence == "doubted"
        return Shared(
            footage,
            ExchangeOpinion.DISPUTED if doubted else ExchangeOpinion.POSITIVE,
            (told.confidence, f"from-{told.provenance}", f"severity-{told.severity}"),
        )


KIND: Final = ExchangeKind(
    name="gate",
    summary="A bank that another company's gate shares.",
    options=OtherGateOptions,
    open=OtherGate,
)
