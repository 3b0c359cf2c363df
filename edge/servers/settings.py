"""The settings that every kind of ingest server has."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from edge.pull_sources import PullSource
from edge.section import Section, check_http_url

_PLACES: Final = re.compile(r"\{[^{}]*\}")
Argument = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class ServerSection(Section):
    """What the section of every kind of ingest server has."""

    pull_url: str = Field(
        "rtmp://127.0.0.1:1935/{app}/{name}",
        description="Where the gate pulls from; {app} and {name} are filled in.",
    )
    broadcaster_argument: Argument = Field("user", description="URL argument that names the broadcaster.")
    attribute_arguments: tuple[Argument, ...] = Field(
        (),
        max_length=16,
        description="URL arguments that become attributes of the publish (tenant, device …), for blocks, "
        "`ladder.link` and `tenants`. A client writes them: name only what your own hook checks.",
    )
    trust_broadcaster: bool = Field(
        False,
        description="Believe whom the publish URL names: something else checks it. Without this, and without "
        "`upstream_url`, a violation blocks stream key and address, and never the account that is named.",
    )
    upstream_url: str = Field("", description="The platform's own hook, asked before the gate; empty: none.")
    upstream_timeout_ms: int = Field(
        2000, ge=50, le=30_000, description="Keep it below the server's own timeout, with room for the gate."
    )
    upstream_failure: Literal["allow", "deny"] = Field(
        "deny", description="Whether a publish is let in when the platform's hook does not answer."
    )

    @property
    def identity_proven(self) -> bool:
        """Whether the broadcaster of an admitted publish has been checked.

        The platform's own hook checks it, where no publish passes without its answer.
        """
        asked = bool(self.upstream_url) and self.upstream_failure == "deny"
        return self.trust_broadcaster or asked

    @property
    def unproven_by_default(self) -> bool:
        """Whether nothing checks the broadcaster, and nobody has said so."""
        return not self.identity_proven and "trust_broadcaster" not in self.model_fields_set

    @model_validator(mode="after")
    def _urls(self) -> Self:
        try:
            PullSource.of_template(self.pull_url)
        except ValueError as error:
            raise ValueError(f"pull_url: {error}") from None
        filled = _PLACES.findall(type(self).model_fields["pull_url"].default)
        if unknown := sorted(set(_PLACES.findall(self.pull_url)).difference(filled)):
            raise ValueError(f"pull_url: {', '.join(unknown)} is not filled in, only {', '.join(filled)}")
        if self.upstream_url:
            check_http_url("upstream_url", self.upstream_url)
        for name in ("api_url", "control_url", "stat_url"):
            if name in type(self).model_fields:
                check_http_url(name, getattr(self, name))
        return self
