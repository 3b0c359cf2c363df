"""The policy in force, with its overrides and the crises resolved once for each kind of stream."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from edge.crisis import Crisis, overlaid
from edge.domain import Publish
from edge.policy import TENANT_ATTRIBUTE, Policy

MAX_RESOLVED: Final = 256
"""Most resolved policies that are kept. The least recently used one goes first."""
_Kind = tuple[str | None, str | None, tuple[str, ...]]
"""The patterns of app and tenant that apply, and the names of the crises."""


class PolicyInForce:
    """Resolves a policy's overrides on demand, because a policy may have a thousand pairs of them.

    Lives in one event loop and belongs to one version of the policy, and to the crises of one moment.
    """

    def __init__(self, policy: Policy, crises: tuple[Crisis, ...] = (), now_ms: int = 0) -> None:
        """``crises`` make it stricter, as far as they are in force at ``now_ms``."""
        self.policy: Final = policy
        """Without the crises."""
        self.crises: Final = crises
        self._named: Final = {crisis.name: crisis for crisis in crises}
        self._now_ms: Final = now_ms
        self._resolved = lru_cache(MAX_RESOLVED)(self._resolve)
        self._json = lru_cache(MAX_RESOLVED)(lambda kind: self._resolved(kind).model_dump_json())

    def for_publish(self, publish: Publish) -> Policy:
        """The resolved policy for a publish. It has no overrides left."""
        return self._resolved(self._kind(publish))

    def json_for(self, publish: Publish) -> str:
        """The same policy as JSON, for the stream's worker."""
        return self._json(self._kind(publish))

    def _resolve(self, kind: _Kind) -> Policy:
        app, tenant, crises = kind
        resolved = self.policy.for_patterns(app, tenant)
        return overlaid(resolved, (self._named[name] for name in crises), self._now_ms)

    def _kind(self, publish: Publish) -> _Kind:
        app, tenant = self.policy.patterns_for(publish.app, publish.attributes.get(TENANT_ATTRIBUTE, ""))
        return app, tenant, tuple(crisis.name for crisis in self.crises if crisis.is_for(publish.app))
