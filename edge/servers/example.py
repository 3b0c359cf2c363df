"""The sections of all kinds of ingest server as an example for the settings file, commented out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from edge.servers.kind import AnyKind
from edge.servers.registry import kinds
from edge.servers.settings import ServerSection

_COMMENT_COLUMN = 34


def example_sections() -> str:
    """A TOML text with one commented section for each kind of the registry."""
    return "\n".join("\n".join(_section(kind)) + "\n" for kind in kinds())


def _section(kind: AnyKind) -> Iterator[str]:
    yield _line(f"[{kind.section}]", kind.settings.__doc__ or "")
    for name, field in kind.settings.model_fields.items():
        if name in ("pull_url", "trust_broadcaster") or name not in ServerSection.model_fields:
            yield _line(f"{name} = {_value(field)}", field.description or "")


def _line(text: str, comment: str) -> str:
    return f"{f'# {text} ':<{_COMMENT_COLUMN}}# {comment}"


def _value(field: FieldInfo) -> str:
    default: Any = None if field.is_required() else field.default
    if default is None or isinstance(default, SecretStr):
        return '"…"'
    return json.dumps(default)  # strings, numbers and booleans are the same in TOML
