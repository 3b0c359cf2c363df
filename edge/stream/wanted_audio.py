"""Which audio of a stream is of use: by the policy, and by what there is to listen with. Pure."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from edge.domain import Action
from edge.match import available
from edge.policy import Policy
from edge.stream.mono_audio import resampler


class HasCategories(Protocol):
    """An audio model, as far as it matters here."""

    @property
    def categories(self) -> tuple[str, ...]: ...


class HasAudio(Protocol):
    """Banks, as far as they matter here."""

    @property
    def has_audio(self) -> bool: ...


class WantedAudio(NamedTuple):
    """What listens to a stream."""

    known: bool
    """Whether known audio is looked for."""
    heard: frozenset[str]
    """Categories of the audio model that are judged."""

    def __bool__(self) -> bool:
        return self.known or bool(self.heard)


def wanted_audio(policy: Policy, model: HasCategories | None, banks: HasAudio) -> WantedAudio:
    """Returns what listens to a stream with this policy. ``model`` is the audio model, None without one."""
    match = policy.match
    known = match.enabled and match.sound_action is not Action.PASS and banks.has_audio
    heard = frozenset[str]()
    if model is not None and resampler() is not None:
        heard = frozenset(model.categories).intersection(policy.judged)
    return WantedAudio(known and available(), heard)
