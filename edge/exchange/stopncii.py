"""StopNCII.org: hashes of intimate images that the people in them have submitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from pydantic import Field

from edge.errors import CheckpointStale, ConfigError, ExchangeFailed
from edge.exchange.kind import ExchangeKind, KindOptions, Opening
from edge.exchange.package import PackageSession, checkpoint_text, opinion_of, package, reading_pages
from edge.exchange.page import Shared, SharedPage, read_checkpoint, shared_hash
from edge.exchange.transport import checked_url
from edge.match import Withdrawal
from edge.match.pdq.hasher import parse_hex

_CREDENTIALS: Final = "FETCH_FUNCTION_KEY,SUBSCRIPTION_KEY"
_GONE: Final = ("Withdrawn", "Deleted")


class StopNciiOptions(KindOptions):
    url: str = Field("", description="Address of the API, where it is not that of StopNCII.", max_length=2048)


class StopNcii:
    """On the package's client, and its words for opinions and checkpoints.

    The package's own reading of a record looks for a withdrawal in the wrong field, and drops what is
    malformed.
    """

    def __init__(self, opening: Opening[StopNciiOptions]) -> None:
        api = package("clients.stopncii.api")
        self._impl = package("impl.stop_ncii_api", opening.clock)
        fetch_key, _, subscription_key = (opening.credentials or "").partition(",")
        if not fetch_key or not subscription_key or "," in subscription_key:
            raise ConfigError(f"credentials of stopncii: want {_CREDENTIALS}")
        if opening.options.url:
            checked_url(opening.options.url, secret=True)
        self._client = api.StopNCIIAPI(
            subscription_key, fetch_key, base_url_override=opening.options.url.rstrip("/") or None
        )
        headers = {"x-functions-key": fetch_key, "Ocp-Apim-Subscription-Key": subscription_key}
        session = PackageSession(opening.transport, headers)
        self._client._get_session = lambda endpoint: session
        self._told = 0
        get = self._client._get

        def counted(*asked: Any, **params: Any) -> Any:
            found = get(*asked, **params)
            records = found.get("hashRecords") if isinstance(found, dict) else None
            if not isinstance(records, list):
                raise ExchangeFailed("stopncii: a page has no hashRecords")
            self._told = len(records)
            return found

        self._client._get = counted

    def pages(self, checkpoint: str) -> Iterator[SharedPage]:
        start_s = self._client.DEFAULT_START_TIME
        with reading_pages("stopncii"):
            if checkpoint:
                known = self._impl.StopNCIICheckpoint(**read_checkpoint(checkpoint))
                if known.is_stale():
                    raise CheckpointStale("stopncii: the last fetch is too long ago")
                start_s = known.update_time
            for found in self._client.fetch_hashes_iter(start_timestamp=start_s):
                yield self._page(found)

    def _page(self, found: Any) -> SharedPage:
        if len(found.hashRecords) != self._told:
            wrong = self._told - len(found.hashRecords)
            raise ExchangeFailed(f"stopncii: {wrong} of {self._told} records of a page are malformed")
        changes: list[Shared | Withdrawal] = []
        left_out: Counter[str] = Counter()
        for record in found.hashRecords:
            if record.signalType.value != "ImagePDQ":
                left_out[record.signalType.value] += 1
                continue
            states = [state.value for state in record.caseNumbers.values()]
            if record.hashStatus.value in _GONE or (states and all(state in _GONE for state in states)):
                changes.append(Withdrawal(parse_hex(record.hashValue, "hashValue").hex()))
                continue
            said = self._impl.StopNCIISignalMetadata(record.CSPFeedbacks)
            opinion, tags = opinion_of(said.get_as_opinions())
            changes.append(shared_hash(record.hashValue, opinion, tags))
        checkpoint = self._impl.StopNCIICheckpoint.from_stopncii_fetch(found)
        return SharedPage(tuple(changes), checkpoint_text(checkpoint), left_out)


KIND: Final = ExchangeKind(
    name="stopncii",
    summary="StopNCII.org: intimate images whose subjects want them gone.",
    options=StopNciiOptions,
    open=StopNcii,
    credentials=_CREDENTIALS,
    needs_credentials=True,
)
