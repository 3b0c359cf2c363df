"""Decides which stretch of a reviewed incident may become known footage. Pure."""

from __future__ import annotations

from edge.banking import Banking, BankingState, NothingBanked
from edge.domain import Incident
from edge.errors import InvalidInput, LimitExceeded
from edge.reasons import VerdictReason

MAX_STRETCH_MS = 10_000
"""Longest stretch that a reviewer may name. Hashing takes up to two seconds for each second of it."""
MAX_DEFAULT_MS = 5_000
"""Longest stretch without a reviewer's word: the end of the one that the verdict rests on."""
_MATCHED = (VerdictReason.MATCH, VerdictReason.AUDIO)


def check_stretch(incident: Incident, stretch_ms: tuple[int, int]) -> None:
    """Checks the stretch that a reviewer names, in the clip's own time.

    Raises InvalidInput and LimitExceeded, which name the field and what would be right.
    """
    begin_ms, end_ms = stretch_ms
    if incident.verdict.shadow:
        raise InvalidInput("stretch", "nothing of an incident of shadow mode is banked")
    begin_pts_ms, end_pts_ms = incident.evidence_begin_pts_ms, incident.evidence_end_pts_ms
    if incident.evidence_path is None or begin_pts_ms is None or end_pts_ms is None:
        raise InvalidInput("stretch", f"{incident.id} has no clip in which a moment can be found")
    length_ms = end_pts_ms - begin_pts_ms
    if not 0 <= begin_ms < end_ms:
        raise InvalidInput(
            "stretch.begin_ms", f"must be from 0 to before the end, {end_ms}; it is {begin_ms}"
        )
    if begin_ms >= length_ms:
        raise InvalidInput("stretch.begin_ms", f"is {begin_ms}, and the clip is {length_ms} ms long")
    if end_ms - begin_ms > MAX_STRETCH_MS:
        raise LimitExceeded("stretch", MAX_STRETCH_MS, end_ms - begin_ms, "ms")


def banking_of(
    incident: Incident, asked_ms: tuple[int, int] | None, *, declined: bool, has_clip: bool
) -> Banking:
    """Returns what is to be banked of a confirmed incident: PENDING with a stretch, or NOTHING with why.

    ``asked_ms`` is what the reviewer named. ``has_clip`` says whether the clip is on this gate.
    """

    def nothing(reason: NothingBanked) -> Banking:
        return Banking(BankingState.NOTHING, reason)

    if incident.verdict.shadow:
        return nothing(NothingBanked.SHADOW)
    if declined:
        return nothing(NothingBanked.DECLINED)
    if not has_clip or incident.evidence_begin_pts_ms is None:
        return nothing(NothingBanked.NO_EVIDENCE)
    chosen = incident.banking
    if asked_ms is None and chosen is not None and chosen.state is BankingState.CHOSEN:
        asked_ms = chosen.stretch_ms
    if asked_ms is not None:
        return Banking(BankingState.PENDING, stretch_ms=asked_ms)
    if incident.verdict.reason in _MATCHED:
        return nothing(NothingBanked.KNOWN_ALREADY)
    if incident.stretch_ms is None:
        return nothing(NothingBanked.NO_STRETCH)
    begin_ms, end_ms = incident.stretch_ms
    return Banking(BankingState.PENDING, stretch_ms=(max(begin_ms, end_ms - MAX_DEFAULT_MS), end_ms))
