"""Composes the notice for a broadcaster, in English and Arabic, from the catalogue.

Dates, categories and rules stand in Unicode isolates (UAX #9), so they cannot reorder the surrounding
right-to-left text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from edge.domain import PERMANENT_MS, Block
from edge.errors import InvalidInput
from edge.notices.catalogue import catalogue

KEYS = ("blocked", "cut", "capacity", "already_live", "paused", "ledger_down", "draining")
_WITH_APPEAL = frozenset({"blocked", "cut"})
_MAX_CATEGORY = 64
_MAX_RULE = 256
_MINUTE_MS = 60_000
_LRI, _FSI, _PDI = "\u2066", "\u2068", "\u2069"


@dataclass(frozen=True, slots=True)
class Notice:
    """One message in both languages."""

    en: str
    ar: str


def notice(
    key: str,
    *,
    until_ms: int | None = None,
    category: str | None = None,
    review_by_ms: int | None = None,
) -> Notice:
    """Composes a message: what happened, why, when live access returns, how to appeal.

    ``until_ms`` is wall time in milliseconds. PERMANENT_MS or more reads "permanently"; None or 0 leaves the
    term out. ``category`` is looked up in the catalogue (``category.NAME``), else shown as it is.
    ``review_by_ms`` marks a provisional block: until then a person may still change it. Raises InvalidInput
    for a key that is not in KEYS.
    """
    if key not in KEYS:
        raise InvalidInput("notice", f"{key[:64]!r} is not one of {', '.join(KEYS)}")
    return Notice(
        en=_say(catalogue("en"), key, until_ms or 0, category or "", review_by_ms or 0),
        ar=_say(catalogue("ar"), key, until_ms or 0, category or "", review_by_ms or 0),
    )


def block_notice(key: str, block: Block | None, wall_ms: int, *, category: str | None = None) -> Notice:
    """Composes the message about a block. ``category`` is used if there is no block or it has no category."""
    if block is None:
        return notice(key, category=category)
    return notice(
        key,
        until_ms=block.until_ms,
        category=block.category or category,
        review_by_ms=block.review_by_ms if block.provisional_at(wall_ms) else None,
    )


def _say(messages: Mapping[str, str], key: str, until_ms: int, category: str, review_by_ms: int) -> str:
    # A stream can be stopped without a block, if the gate cannot watch it. Then no access was withdrawn.
    opening = "stopped" if key == "cut" and not until_ms else key
    sentences = [messages[opening]]
    if key in _WITH_APPEAL:
        if category:
            name = messages.get(f"category.{category}", category)
            sentences.append(messages["reason"].format(category=_isolated(name, _MAX_CATEGORY)))
            if rule := messages.get(f"rule.{category}"):
                sentences.append(messages["rule"].format(rule=_isolated(rule, _MAX_RULE)))
        if until_ms:
            sentences += _how_long(messages, until_ms, review_by_ms)
        sentences.append(messages["appeal"])
    return " ".join(sentences)


def _how_long(messages: Mapping[str, str], until_ms: int, review_by_ms: int) -> list[str]:
    date = "" if until_ms >= PERMANENT_MS else f"{_LRI}{_utc(until_ms)}{_PDI}"
    if review_by_ms and until_ms <= review_by_ms and date:
        return [messages["provisional_until"].format(date=date)]
    end = messages["until"].format(date=date) if date else messages["permanent"]
    return [messages["provisional"], end] if review_by_ms else [end]


def _utc(wall_ms: int) -> str:
    """Formats a time rounded up to the minute, so the block has ended at the time that the message names."""
    whole = min(-(-wall_ms // _MINUTE_MS) * _MINUTE_MS, PERMANENT_MS)
    return datetime.fromtimestamp(whole / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _isolated(text: str, limit: int) -> str:
    """Isolates text. Removes control and bidirectional format characters, which could break out of the
    isolate."""
    return f"{_FSI}{''.join(c for c in text[:limit] if unicodedata.category(c)[0] != 'C')}{_PDI}"
