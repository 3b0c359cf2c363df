"""StopNCII.org: hashes of intimate images that the people in them have submitted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from pydantic import Field

from edge.errors import CheckpointStale, ConfigError, ExchangeFailed
from edge.exchange.kind import ExchangeKind, KindOptions, Opening
from edge.exchange.package import PackageSession, checkpoint_text, opinion_of, package, reading_pages
from edge.exchange.page import Shared, SharedPage, clean_tags, read_checkpoint, shared_hash
from edge.exchange.transport import checked_url
from edge.match import Withdrawal
from edge.match.pdq.hasher import parse_hex
from edge.policy import ExchangeOpinion

_CREDENTIALS: Final = "FETCH_FUNCTION_KEY,SUBSCRIPTION_KEY"
_PAGE: Final = 800
"""Records of a page, as the package asks for them."""
_KEPT: Final = 1000
_GONE: Final = ("Withdrawn", "Deleted")


class StopNciiOptions(KindOptions):
    url: str = Field("", description="Address of the API, where it is not that of StopNCII.", max_length=2048)


class StopNcii:
    """On the package's client, and its words for opinions and checkpoints.

    Records are read here: the package looks for a withdrawal in the wrong field, drops malformed records, and
    takes a millisecond for each.
    """

    def __init__(self, opening: Opening[StopNciiOptions]) -> None:
        self._api = package("clients.stopncii.api")
        self._impl = package("impl.stop_ncii_api", opening.clock)
        fetch_key, _, subscription_key = (opening.credentials or "").partition(",")
        if not fetch_key or not subscription_key or "," in subscription_key:
            raise ConfigError(f"credentials of stopncii: want {_CREDENTIALS}")
        if opening.options.url:
            checked_url(opening.options.url, secret=True)
        self._client = self._api.StopNCIIAPI(
            subscription_key, fetch_key, base_url_override=opening.options.url.rstrip("/") or None
        )
        headers = {"x-functions-key": fetch_key, "Ocp-Apim-Subscription-Key": subscription_key}
        session = PackageSession(opening.transport, headers)
        self._client._get_session = lambda endpoint: session
        self._opinions: dict[str, tuple[ExchangeOpinion, tuple[str, ...]]] = {}

    def pages(self, checkpoint: str) -> Iterator[SharedPage]:
        asked: dict[str, Any] = {"startTimestamp": self._client.DEFAULT_START_TIME, "pageSize": _PAGE}
        with reading_pages("stopncii"):
            if checkpoint:
                known = self._impl.StopNCIICheckpoint(**read_checkpoint(checkpoint))
                if known.is_stale():
                    raise CheckpointStale("stopncii: the last fetch is too long ago")
                asked["startTimestamp"] = known.update_time
            more = True
            while more:
                found = self._client._get(self._api.StopNCIIEndpoint.FetchHashes, **asked)
                yield self._page(found)
                more, asked["nextPageToken"] = found["hasMoreRecords"], found.get("nextPageToken")
                if more and not asked["nextPageToken"]:
                    raise ExchangeFailed("stopncii: a page says that there is more, and not where")

    def _page(self, found: dict[str, Any]) -> SharedPage:
        changes: list[Shared | Withdrawal] = []
        left_out: Counter[str] = Counter()
        for record in found["hashRecords"]:
            signal = self._api.StopNCIISignalType(record["signalType"]).value
            if signal != "ImagePDQ":
                left_out[signal] += 1
                continue
            cases = record["caseNumbers"] or {}
            if record["hashStatus"] in _GONE or (cases and all(state in _GONE for state in cases.values())):
                changes.append(Withdrawal(parse_hex(record["hashValue"], "hashValue").hex()))
            else:
                opinion, tags = self._opinion(record.get("CSPFeedbacks") or [])
                changes.append(shared_hash(record["hashValue"], opinion, tags))
        if not isinstance(found["hasMoreRecords"], bool):
            raise ExchangeFailed("stopncii: a page does not say whether there is more")
        next_s = int(found["nextSetTimestamp"])
        fetched_s = self._impl.time.time()
        checkpoint = self._impl.StopNCIICheckpoint(next_s, int(fetched_s))
        return SharedPage(tuple(changes), checkpoint_text(checkpoint), left_out)

    def _opinion(self, feedbacks: list[dict[str, Any]]) -> tuple[ExchangeOpinion, tuple[str, ...]]:
        """Most records say one of a few things."""
        key = json.dumps(feedbacks, sort_keys=True)
        if key not in self._opinions:
            if len(self._opinions) >= _KEPT:
                self._opinions.clear()
            said = [
                self._api.StopNCIICSPFeedback(
                    self._api.StopNCIICSPFeedbackValue(each["feedbackValue"]), set(each.get("tags") or ())
                )
                for each in feedbacks
            ]
            opinion, tags = opinion_of(self._impl.StopNCIISignalMetadata(said).get_as_opinions())
            self._opinions[key] = opinion, clean_tags(tags)
        return self._opinions[key]


KIND: Final = ExchangeKind(
    name="stopncii",
    summary="StopNCII.org: intimate images whose subjects want them gone.",
    options=StopNciiOptions,
    open=StopNcii,
    credentials=_CREDENTIALS,
    needs_credentials=True,
)
