"""Calm or alert: how densely a stream is sampled. Pure; time comes as media time."""

from __future__ import annotations

from edge.domain import Tier
from edge.policy import TierPolicy


class TierState:
    """Alert on suspicion, or when asked; calm again after ``alert_hold_ms`` without either.

    A new stream starts in alert for ``start_alert_ms``, because nothing is known of it yet.
    """

    def __init__(self, tiers: TierPolicy, *, alert: bool = False) -> None:
        self._tiers = tiers
        self._asked_ms: int | None = 0 if alert else None
        self._alert_until_ms: int | None = None

    def at(self, pts_ms: int) -> Tier:
        """Tier of media at ``pts_ms``; the first call starts the stream's time."""
        if self._alert_until_ms is None:
            self._alert_until_ms = pts_ms + self._tiers.start_alert_ms
        if self._asked_ms is not None:
            hold_ms, self._asked_ms = self._asked_ms, None
            self._hold(pts_ms, hold_ms or self._tiers.alert_hold_ms)
        return Tier.ALERT if pts_ms < self._alert_until_ms else Tier.CALM

    def observe(self, pts_ms: int, suspicious: bool) -> Tier:
        """Takes note of a judged sample and says which tier follows.

        ``suspicious``: a score at or over ``raise_at`` that has not fallen under ``release_at`` since,
        or a near match.
        """
        if suspicious:
            self.at(pts_ms)
            self._hold(pts_ms, self._tiers.alert_hold_ms)
        return self.at(pts_ms)

    def ask(self, hold_ms: int | None = None) -> None:
        """Alert from the next access unit on, whatever the scores, for ``alert_hold_ms`` or as given."""
        self._asked_ms = hold_ms or 0

    def set_policy(self, tiers: TierPolicy) -> None:
        self._tiers = tiers

    def _hold(self, pts_ms: int, hold_ms: int) -> None:
        # At least one millisecond: an alert_hold_ms of 0 must still sample what raised the suspicion.
        until = pts_ms + max(hold_ms, 1)
        self._alert_until_ms = max(self._alert_until_ms or until, until)
