"""A bank of Hasher-Matcher-Actioner 2, over its REST API.

That API has no list of a bank's contents. Contents are numbered over all banks, and asked for one by one:
``GET /c/bank/NAME/content/NUMBER?include_signals=true``. New ones come with each run. What was taken out,
or switched off, is found when all are asked for again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from pydantic import Field

from edge.errors import CheckpointStale, ExchangeFailed, InvalidInput
from edge.exchange.http_file import authorization
from edge.exchange.kind import ExchangeKind, KindOptions, Opening
from edge.exchange.page import Shared, SharedPage, read_checkpoint, shared_hash
from edge.exchange.transport import checked_url
from edge.match import Withdrawal

_CHECKPOINT: Final = ("next", "begun_ms", "done")
_CONTENTS: Final = 100
"""Numbers that one page covers."""


class HmaOptions(KindOptions):
    url: str = Field(description="Address of HMA.", max_length=2048)
    bank: str = Field(description="Name of its bank.", pattern=r"^[A-Z0-9_]{1,255}$")
    recheck_minutes: int = Field(
        60, ge=1, le=10_080, description="All contents are asked for again after so long."
    )
    gap: int = Field(
        500, ge=1, le=100_000, description="Numbers in a row without a content that mean the end."
    )


class Hma:
    def __init__(self, opening: Opening[HmaOptions]) -> None:
        options = opening.options
        self._headers = authorization(opening.credentials)
        checked_url(options.url, secret=bool(self._headers))
        self._bank = options.bank
        self._url = f"{options.url.rstrip('/')}/c/bank/{quote(options.bank)}"
        self._recheck_ms = options.recheck_minutes * 60_000
        self._gap = options.gap
        self._transport = opening.transport
        self._clock = opening.clock

    def pages(self, checkpoint: str) -> Iterator[SharedPage]:
        now_ms = self._clock.wall_ms()
        next_number, begun_ms, done = 1, now_ms, 0
        if checkpoint:
            known = read_checkpoint(checkpoint)
            next_number, begun_ms, done = (int(str(known.get(name, 0))) for name in _CHECKPOINT)
            if done and not 0 <= now_ms - begun_ms < self._recheck_ms:
                raise CheckpointStale(f"{self._bank}: all of its contents are asked for again")
        if self._transport.get(self._url, headers=self._headers, accept=(404,)).status == 404:
            raise ExchangeFailed(f"hma: there is no bank {self._bank}")
        number, newest = next_number, next_number - 1
        while number - newest <= self._gap:
            changes: list[Shared | Withdrawal] = []
            left_out: Counter[str] = Counter()
            for each in range(number, number + _CONTENTS):
                content = self._content(each)
                if content is not None:
                    newest = each
                    changes += self._changes(each, content, left_out)
            number += _CONTENTS
            yield SharedPage(tuple(changes), _checkpoint(newest + 1, begun_ms, done=bool(done)), left_out)
        yield SharedPage((), _checkpoint(newest + 1, begun_ms, done=True))

    def _content(self, number: int) -> dict[str, Any] | None:
        """None: there is no content of that number."""
        answer = self._transport.get(
            f"{self._url}/content/{number}",
            params={"include_signals": "true"},
            headers=self._headers,
            accept=(404,),
        )
        if answer.status == 404:
            return None
        try:
            found = json.loads(answer.content)
            if isinstance(found, dict) and found["id"] == number and isinstance(found["bank"]["name"], str):
                return found
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        raise ExchangeFailed(f"hma: content {number} is none of its API")

    def _changes(
        self, number: int, content: dict[str, Any], left_out: Counter[str]
    ) -> Iterator[Shared | Withdrawal]:
        if content["bank"]["name"] != self._bank:
            return
        signals = content.get("signals")
        if not isinstance(signals, dict):
            raise ExchangeFailed("hma: contents come without signals; a newer HMA gives them")
        left_out.update(str(name)[:64] for name in signals if name != "pdq")
        if "pdq" not in signals or not self._enabled(content.get("disable_until_ts")):
            yield Withdrawal(str(number))
            return
        tags = content.get("collab_metadata") or {}
        try:
            yield shared_hash(str(signals["pdq"]), tags=map(str, tags), entry_id=str(number))
        except InvalidInput as error:
            raise ExchangeFailed(f"hma: content {number}: {error}") from None

    def _enabled(self, until_s: Any) -> bool:
        """0: it is switched off; 1: it is on; otherwise it is on again from that time on."""
        if not isinstance(until_s, int):
            raise ExchangeFailed("hma: a content does not say whether it is switched off")
        return until_s != 0 and until_s * 1000 <= self._clock.wall_ms()


def _checkpoint(next_number: int, begun_ms: int, *, done: bool) -> str:
    return json.dumps({"next": next_number, "begun_ms": begun_ms, "done": int(done)})


KIND: Final = ExchangeKind(
    name="hma",
    summary="A bank of Hasher-Matcher-Actioner 2.",
    options=HmaOptions,
    open=Hma,
    credentials="a bearer token, or USER:PASSWORD, of the proxy before it",
)
