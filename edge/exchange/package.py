"""What the kinds on the API classes of the PyPI package ``threatexchange`` share.

The package has its own words for opinions and checkpoints. Its clients get our transport, so that limits,
patience and the silence about secrets are the same for every kind.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from edge.clock import Clock
from edge.errors import ConfigError, ExchangeFailed, InvalidInput
from edge.exchange.transport import Answer, Transport
from edge.policy import ExchangeOpinion


def package(module: str, clock: Clock | None = None) -> Any:
    """Imports a module of ``threatexchange``. Raises ConfigError, which names the extra to install.

    With a clock, the module asks it for the time.

    What it logs is dropped, because that has hashes in it.
    """
    root = logging.getLogger()
    if _not_of_package not in root.filters:
        root.addFilter(_not_of_package)
    try:
        found: Any = import_module(f"threatexchange.exchanges.{module}")
    except ModuleNotFoundError:
        raise ConfigError(
            "this kind of exchange needs the package threatexchange: pip install 'edge-gate[exchange]'"
        ) from None
    if clock is not None:
        found.time = SimpleNamespace(time=lambda: clock.wall_ms() / 1000)
    return found


def _not_of_package(record: logging.LogRecord) -> bool:
    return "/threatexchange/" not in record.pathname


class PackageSession:
    """What the package's clients use of a session of ``requests``, on our transport."""

    def __init__(self, transport: Transport, headers: Mapping[str, str]) -> None:
        self._transport = transport
        self._headers = headers

    def __enter__(self) -> PackageSession:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, url: str, params: Mapping[str, Any] | None = None) -> PackageResponse:
        return PackageResponse(self._transport.get(url, params=params, headers=self._headers))


class PackageResponse:
    """What they use of a response."""

    def __init__(self, answer: Answer) -> None:
        self.content = answer.content

    def raise_for_status(self) -> None:
        """The transport has done so."""

    def json(self) -> Any:
        return parse_answer(self.content)


def parse_answer(content: bytes) -> Any:
    """Parses JSON of an exchange. Raises ExchangeFailed."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ExchangeFailed("an answer is no JSON") from None


@contextmanager
def reading_pages(what: str) -> Iterator[None]:
    """Turns whatever the package raises over a page into ExchangeFailed, without the page's content."""
    try:
        yield
    except (ExchangeFailed, InvalidInput, ConfigError):
        raise
    except Exception as error:
        raise ExchangeFailed(f"{what}: a page is none of its API ({type(error).__name__})") from None


def opinion_of(opinions: Iterable[Any]) -> tuple[ExchangeOpinion, set[str]]:
    """The package's opinions all together, and their tags."""
    state = package("fetch_state")
    aggregate = state.AggregateSignalOpinion.from_opinions(list(opinions))
    word = {
        "POSITIVE_CLASS": ExchangeOpinion.POSITIVE,
        "NEGATIVE_CLASS": ExchangeOpinion.NEGATIVE,
        "DISPUTED": ExchangeOpinion.DISPUTED,
    }.get(aggregate.category.name, ExchangeOpinion.INVESTIGATE)
    return word, {str(tag) for tag in aggregate.tags}


def checkpoint_text(checkpoint: Any) -> str:
    """The package's checkpoint as text."""
    return json.dumps(dataclasses.asdict(checkpoint), sort_keys=True)
