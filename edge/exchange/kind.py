"""How a kind of exchange describes itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from edge.clock import Clock
from edge.exchange.page import ExchangeSource
from edge.exchange.transport import Transport


class KindOptions(BaseModel):
    """Base of what a kind wants to know of an exchange. Descriptions of the fields are its help."""

    model_config = ConfigDict(frozen=True, extra="forbid")


OptionsT = TypeVar("OptionsT", bound=KindOptions)


@dataclass(frozen=True, slots=True)
class Opening(Generic[OptionsT]):
    """What a source gets when it is opened."""

    options: OptionsT
    credentials: str | None
    """Content of the credentials file."""
    transport: Transport
    """Its way to the network: bounded, and patient with servers that are busy."""
    folder: Path
    """For files that are gone afterwards."""
    clock: Clock


@dataclass(frozen=True, slots=True)
class ExchangeKind(Generic[OptionsT]):
    """Everything that the rest needs from the file of one kind."""

    name: str
    summary: str
    options: type[OptionsT]
    open: Callable[[Opening[OptionsT]], ExchangeSource]
    credentials: str = ""
    """What its credentials file holds. Empty: it has none."""
    needs_credentials: bool = False


AnyKind = ExchangeKind[Any]
