"""Overrides of the policy for applications and tenants."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

from pydantic import Field, JsonValue
from pydantic_core import PydanticCustomError

MAX_OVERRIDES = 32
"""Most patterns in each of ``apps`` and ``tenants``."""

TENANT_ATTRIBUTE: Final = "tenant"
"""The attribute of a publish that names its tenant."""

Pattern = Annotated[str, Field(min_length=1, max_length=128)]
"""A name, or a case-sensitive shell glob with ``*``, ``?`` and ``[seq]``."""

Patch = dict[str, JsonValue]
"""An override of the policy in the form of the policy: a JSON Merge Patch (RFC 7396).

Named fields replace, the others stay, and null restores the default.
"""


def merge_patch(values: dict[str, Any], patch: Patch) -> dict[str, Any]:
    """Applies a JSON Merge Patch (RFC 7396) to an object: null removes, objects merge, other values
    replace."""
    merged = dict(values)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            inner = merged.get(name)
            merged[name] = merge_patch(inner if isinstance(inner, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def best_pattern(patches: Mapping[str, Patch], name: str) -> str | None:
    """The key of the patch that applies to ``name``, whatever the order of the keys."""
    if name in patches:
        return name
    fitting = [pattern for pattern in patches if fnmatchcase(name, pattern)]
    return min(fitting, key=lambda pattern: (-sum(c not in "*?[]" for c in pattern), pattern), default=None)


def wrong_override(path: str, problem: str) -> PydanticCustomError:
    """An error of an override, with its path in the policy."""
    return PydanticCustomError("override", "{problem}", {"path": path, "problem": problem})
