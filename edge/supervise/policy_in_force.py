"""The policy in force, with its overrides resolved once for each pair of patterns."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from edge.domain import Publish
from edge.policy import TENANT_ATTRIBUTE, Policy

MAX_RESOLVED: Final = 256
"""Most resolved policies that are kept. The least recently used one goes first."""


class PolicyInForce:
    """Resolves a policy's overrides on demand, because a policy may have a thousand pairs of them.

    Lives in one event loop and belongs to one version of the policy.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy: Final = policy
        self._resolved = lru_cache(MAX_RESOLVED)(policy.for_patterns)
        self._json = lru_cache(MAX_RESOLVED)(
            lambda app, tenant: self._resolved(app, tenant).model_dump_json()
        )

    def for_publish(self, publish: Publish) -> Policy:
        """The resolved policy for a publish. It has no overrides left."""
        return self._resolved(*self._patterns(publish))

    def json_for(self, publish: Publish) -> str:
        """The same policy as JSON, for the stream's worker."""
        return self._json(*self._patterns(publish))

    def _patterns(self, publish: Publish) -> tuple[str | None, str | None]:
        return self.policy.patterns_for(publish.app, publish.attributes.get(TENANT_ATTRIBUTE, ""))
