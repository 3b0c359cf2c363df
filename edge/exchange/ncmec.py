"""NCMEC hash sharing: images of child sexual abuse and exploitation, by what its members report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Final

from pydantic import Field

from edge.errors import ConfigError, ExchangeFailed, InvalidInput
from edge.exchange.http_file import authorization
from edge.exchange.kind import ExchangeKind, KindOptions, Opening
from edge.exchange.package import (
    PackageResponse,
    PackageSession,
    checkpoint_text,
    opinion_of,
    package,
    reading_pages,
)
from edge.exchange.page import Shared, SharedPage, read_checkpoint, shared_hash
from edge.exchange.transport import checked_url
from edge.match import Withdrawal

_HEAD_BYTES: Final = 1024
"""Where an answer names its XML namespace."""
_CREDENTIALS: Final = "USER:PASSWORD"


class NcmecOptions(KindOptions):
    environment: str = Field(
        "", description="Database: Industry, Industry_Exploitative, NGO, test_Industry …", max_length=64
    )
    url: str = Field("", description="Address of the API, in place of an environment.", max_length=2048)
    members: str = Field(
        "", description="Only entries of these members: numbers, by comma.", pattern=r"^[0-9, ]*$"
    )


class Ncmec:
    """On the package's client and its fetching, which knows how that API wants its periods of time.

    An entry of a member is an entry here. Votes of other members on its hash make it disputed.
    """

    def __init__(self, opening: Opening[NcmecOptions]) -> None:
        options = opening.options
        self._api = package("clients.ncmec.hash_api", opening.clock)
        self._impl = package("impl.ncmec_api", opening.clock)
        self._api._date_format = _date  # The package's own takes the machine's time for UTC.
        user, colon, password = (opening.credentials or "").partition(":")
        if not user or not password:
            raise ConfigError(f"credentials of ncmec: want {_CREDENTIALS}")
        environments = self._api.NCMECEnvironment.__members__
        if bool(options.url) is bool(options.environment):
            raise InvalidInput("option environment", f"wants one of {', '.join(environments)}, or an url")
        if options.environment and options.environment not in environments:
            raise InvalidInput("option environment", f"is none of {', '.join(environments)}")
        url = options.url.rstrip("/") or environments[options.environment].value
        checked_url(url, secret=True)
        client = self._api.NCMECHashAPI(user, password, SimpleNamespace(value=url))
        session = _Session(opening.transport, authorization(f"{user}{colon}{password}"))
        client._get_session = lambda: session
        collab = SimpleNamespace(environment=None)
        self._exchange = self._impl.NCMECSignalExchangeAPI(collab, user, password)
        self._exchange.get_client = lambda environment: client
        self._members = {int(number) for number in options.members.replace(",", " ").split()}

    def pages(self, checkpoint: str) -> Iterator[SharedPage]:
        with reading_pages("ncmec"):
            for delta in self._exchange.fetch_iter([], self._checkpoint(checkpoint)):
                yield self._page(delta)

    def _checkpoint(self, text: str) -> Any:
        if not text:
            return None
        known = read_checkpoint(text)
        paging: Any = known.get("paging_info")
        info = None if paging is None else self._impl._NCMECPagingInfo(**paging)
        return self._impl.NCMECCheckpoint(known["get_entries_max_ts"], info)

    def _page(self, delta: Any) -> SharedPage:
        changes: list[Shared | Withdrawal] = []
        left_out: Counter[str] = Counter()
        for key, entry in delta.updates.items():
            digits = entry.fingerprints.get("pdq")
            if entry.deleted or digits is None or (self._members and entry.member_id not in self._members):
                changes.append(Withdrawal(key))
                if not entry.deleted and digits is None:
                    left_out.update(f"{entry.entry_type.value} {name}" for name in entry.fingerprints)
                continue
            opinion, tags = opinion_of(self._opinions(entry))
            changes.append(shared_hash(digits, opinion, tags, entry_id=key))
        return SharedPage(tuple(changes), checkpoint_text(delta.checkpoint), left_out)

    def _opinions(self, entry: Any) -> list[Any]:
        tags = {entry.classification} if entry.classification else set()
        opinions = list(self._impl.NCMECSignalMetadata({entry.member_id: tags}).get_as_opinions())
        category = package("fetch_state").SignalOpinionCategory
        for name, votes in entry.feedback.items():
            for vote in votes if name.lower() == "pdq" else ():
                up = vote.feedback_type is self._api.FeedbackType.upvote
                said = category.POSITIVE_CLASS if up else category.NEGATIVE_CLASS
                opinions.append(self._impl.NCMECOpinion(False, said, set(), vote.member.esp_id))
        return opinions


class _Session(PackageSession):
    """The package takes any XML for a page, an empty one."""

    def get(self, url: str, params: Mapping[str, Any] | None = None) -> PackageResponse:
        response = super().get(url, params)
        if b"/hashsharing/" not in response.content[:_HEAD_BYTES]:
            raise ExchangeFailed("ncmec: an answer is none of hash sharing")
        return response


def _date(timestamp_s: int) -> str:
    return datetime.fromtimestamp(timestamp_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


KIND: Final = ExchangeKind(
    name="ncmec",
    summary="NCMEC hash sharing: images of child sexual abuse.",
    options=NcmecOptions,
    open=Ncmec,
    credentials=_CREDENTIALS,
    needs_credentials=True,
)
