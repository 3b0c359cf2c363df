"""Meta ThreatExchange: what the members of a privacy group share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from pydantic import Field

from edge.errors import CheckpointStale, ConfigError
from edge.exchange.kind import ExchangeKind, KindOptions, Opening
from edge.exchange.package import checkpoint_text, opinion_of, package, parse_answer, reading_pages
from edge.exchange.page import Shared, SharedPage, read_checkpoint, shared_hash
from edge.exchange.transport import checked_url
from edge.match import Withdrawal
from edge.match.pdq.hasher import parse_hex

_PDQ: Final = "HASH_PDQ"
_CREDENTIALS: Final = "APP_ID|APP_SECRET"


class ThreatExchangeOptions(KindOptions):
    privacy_group: int = Field(ge=1, description="Number of the privacy group.")
    url: str = Field("", description="Address of the Graph API, where it is not Meta's.", max_length=2048)


class ThreatExchange:
    """On the package's client and its fetching. It stops at a page without updates, which Meta sends too."""

    def __init__(self, opening: Opening[ThreatExchangeOptions]) -> None:
        api = package("clients.fb_threatexchange.api")
        self._impl = package("impl.fb_threatexchange_api", opening.clock)
        token = opening.credentials or ""
        if not api.is_valid_app_token(token):
            raise ConfigError(f"credentials of threatexchange: want {_CREDENTIALS}")
        if opening.options.url:
            checked_url(opening.options.url, secret=True)
        client = api.ThreatExchangeAPI(token, endpoint_override=opening.options.url.rstrip("/") or None)
        transport, self._clock = opening.transport, opening.clock

        def get_json(url: str, params: Any = None, *, json_obj_hook: Any = None) -> Any:
            return parse_answer(transport.get(url, params=dict(params or {})).content)

        updates = client.get_threat_updates
        client.get_json_from_url = get_json
        client.get_threat_updates = lambda *asked, **more: (page for page in updates(*asked, **more) if page)
        collab = self._impl.FBThreatExchangeCollabConfig(
            name="edge-gate", privacy_group=opening.options.privacy_group
        )
        self._exchange = self._impl.FBThreatExchangeSignalExchangeAPI(client, collab)

    def pages(self, checkpoint: str) -> Iterator[SharedPage]:
        with reading_pages("threatexchange"):
            known = None
            if checkpoint:
                known = self._impl.FBThreatExchangeCheckpoint(**read_checkpoint(checkpoint))
                if known.is_stale():
                    raise CheckpointStale("threatexchange: the last fetch is too long ago")
            began_s, at_s = self._clock.wall_ms() // 1000, 0 if known is None else known.update_time
            for delta in self._exchange.fetch_iter([], known):
                at_s = delta.checkpoint.update_time
                yield self._page(delta)
            # A group where nothing happens has no pages. Its checkpoint must not grow old for that.
            yield SharedPage((), checkpoint_text(self._impl.FBThreatExchangeCheckpoint(at_s, began_s)))

    def _page(self, delta: Any) -> SharedPage:
        changes: list[Shared | Withdrawal] = []
        left_out: Counter[str] = Counter()
        for (kind, indicator), record in delta.updates.items():
            if kind != _PDQ:
                left_out[kind] += 1
            elif record is None:
                changes.append(Withdrawal(parse_hex(indicator, "indicator").hex()))
            else:
                opinion, tags = opinion_of(record.get_as_opinions())
                changes.append(shared_hash(indicator, opinion, tags))
        return SharedPage(tuple(changes), checkpoint_text(delta.checkpoint), left_out)


KIND: Final = ExchangeKind(
    name="threatexchange",
    summary="Meta ThreatExchange: what the members of a privacy group share.",
    options=ThreatExchangeOptions,
    open=ThreatExchange,
    credentials=_CREDENTIALS,
    needs_credentials=True,
)
