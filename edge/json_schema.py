"""Reads the JSON Schema of a pydantic model: forms and pages say of a field what its definition says."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

_BOUNDS: Final = (
    ("minimum", "≥ {}"),
    ("exclusiveMinimum", "> {}"),
    ("maximum", "≤ {}"),
    ("exclusiveMaximum", "< {}"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} entries"),
    ("maxItems", "at most {} entries"),
    ("maxProperties", "at most {} entries"),
    ("pattern", "matches `{}`"),
)


def resolved(schema: Schema, value: Schema) -> Schema:
    """The schema itself, or the definition that it refers to."""
    reference = value.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else value


def alternatives(schema: Schema, value: Schema) -> list[Schema]:
    """The alternatives of a value, without null."""
    each = [resolved(schema, one) for one in value.get("anyOf", [value])]
    return [one for one in each if one.get("type") != "null"]


def is_nullable(value: Schema) -> bool:
    return any(one.get("type") == "null" for one in value.get("anyOf", ()))


def section_of(schema: Schema, value: Schema) -> Schema | None:
    """The section that a key stands for, or None for a plain value."""
    one, *others = alternatives(schema, value)
    return one if not others and "properties" in one else None


def bounds_of(value: Schema) -> list[str]:
    """The bounds of a plain value, in words."""
    return [form.format(_number(value[key])) for key, form in _BOUNDS if key in value]


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and value >= 100_000 else str(value)
