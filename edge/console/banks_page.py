"""Banks of known footage: what is in them, what it led to, and switching off what is wrong."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

from starlette.responses import Response

from edge.api.auth import Role
from edge.console.visit import Visit
from edge.contract.gen import operator_pb2
from edge.errors import InvalidInput

_PAGE: Final = 50
_STATES: Final = {
    "": operator_pb2.BANK_ENTRY_STATE_UNSPECIFIED,
    "disabled": operator_pb2.BANK_ENTRY_STATE_DISABLED,
    "quarantined": operator_pb2.BANK_ENTRY_STATE_QUARANTINED,
}
_MARKS: Final = {
    "disable": (operator_pb2.BANK_MARK_DISABLE, "bank_off"),
    "enable": (operator_pb2.BANK_MARK_ENABLE, "bank_on"),
    "quarantine": (operator_pb2.BANK_MARK_QUARANTINE, "bank_off"),
    "release": (operator_pb2.BANK_MARK_RELEASE, "bank_on"),
}
"""What is done, and which reasons there are for it."""


async def banks(visit: Visit) -> Response:
    """Every bank of this gate."""
    found = await visit.call(visit.operator.ListBanks, operator_pb2.ListBanksRequest())
    return visit.show(
        "banks.html",
        banks=found.banks,
        since_ms=found.hits_since_wall_ms,
        cut_short=found.hits_cut_short,
        admin=visit.may(Role.ADMIN),
    )


async def bank(visit: Visit) -> Response:
    """One bank with a page of its entries."""
    asked = visit.request.query_params
    state = asked.get("state", "")
    if state not in _STATES:
        raise InvalidInput("state", f"is none of {', '.join(filter(None, _STATES))}")
    entry_id = asked.get("entry", "").strip()
    found = await visit.call(
        visit.operator.ListBankEntries,
        operator_pb2.ListBankEntriesRequest(
            bank=visit.request.path_params["bank"],
            state=_STATES[state],
            entry_id=entry_id,
            after=asked.get("before", ""),
            limit=_PAGE,
        ),
    )
    return visit.show(
        "bank.html",
        bank=found.bank,
        entries=found.entries,
        next=found.next,
        state=state,
        states=list(filter(None, _STATES)),
        entry_id=entry_id,
        here=urlencode({"state": state, "entry": entry_id}),
        admin=visit.may(Role.ADMIN),
        marks=_marks_of,
    )


def _marks_of(entry: operator_pb2.BankEntry) -> list[tuple[str, str]]:
    """What can be done with an entry, and which reasons there are for it."""
    words = ["enable"] if entry.disabled else ["disable", "release" if entry.quarantined else "quarantine"]
    return [(word, _MARKS[word][1]) for word in words]


async def mark(visit: Visit) -> Response:
    name, word = visit.request.path_params["bank"], visit.form.get("mark", "")
    if word not in _MARKS:
        raise InvalidInput("mark", f"is none of {', '.join(_MARKS)}")
    wanted, reasons = _MARKS[word]
    request = operator_pb2.MarkBankEntryRequest(
        bank=name, entry_id=visit.form.get("entry", ""), mark=wanted, reason=visit.reason(reasons)
    )
    await visit.call(visit.operator.MarkBankEntry, request)
    return visit.done(f"done.entry_{word}", f"/banks/{quote(name)}?{urlencode({'entry': request.entry_id})}")


async def switch(visit: Visit) -> Response:
    name, on = visit.request.path_params["bank"], visit.form.get("on", "")
    if on not in ("0", "1"):
        raise InvalidInput("on", "must be 0 or 1")
    reason = visit.reason("bank_on" if on == "1" else "bank_off")
    request = operator_pb2.SwitchBankRequest(bank=name, enabled=on == "1", reason=reason)
    await visit.call(visit.operator.SwitchBank, request)
    return visit.done("done.bank_on" if on == "1" else "done.bank_off", f"/banks/{quote(name)}")
