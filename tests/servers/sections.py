"""The least settings that each kind's section needs."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from edge.servers.kind import AnyKind

SECRET = "hunter2"


def section_of(kind: AnyKind) -> dict[str, Any]:
    """Every secret is ``SECRET``. Everything else has its default."""
    fields = kind.settings.model_fields
    return {name: SECRET for name, field in fields.items() if field.annotation is SecretStr}
