"""Reference of the settings and the policy, from the JSON Schema of their pydantic models."""

from __future__ import annotations

import json
from collections.abc import Iterator

from docgen.markdown import cell, code, table
from edge.config import Settings, settings_model
from edge.json_schema import Schema, alternatives, bounds_of, resolved, section_of
from edge.policy import Policy


def describe_settings() -> str:
    """Returns every setting of the sidecar with its environment variable."""
    schema = settings_model().model_json_schema()
    prefix = Settings.model_config["env_prefix"]
    delimiter = Settings.model_config["env_nested_delimiter"] or "__"
    parts = ["## Top level\n"]
    top = {key: each for key, each in schema["properties"].items() if section_of(schema, each) is None}
    parts.append(_settings_table(schema, {**schema, "properties": top}, prefix))
    for key, each in schema["properties"].items():
        section = section_of(schema, each)
        if section is None:
            continue
        parts.append(f"## `[{key}]` {{ #{key} }}\n")
        parts.append(f"{section.get('description', '')}\n")
        parts.append(_settings_table(schema, section, f"{prefix}{key.upper()}{delimiter}"))
    return "\n".join(parts)


def describe_section(key: str) -> str:
    """Returns the table of one section of the settings. Raises KeyError for an unknown section."""
    schema = settings_model().model_json_schema()
    section = section_of(schema, schema["properties"][key])
    if section is None:
        raise KeyError(key)
    return _table(schema, section, prefix="")


def describe_policy() -> str:
    """Returns every field of the policy."""
    schema = Policy.model_json_schema()
    parts = ["## Top level\n"]
    top = {key: each for key, each in schema["properties"].items() if section_of(schema, each) is None}
    parts.append(_table(schema, {**schema, "properties": top}, prefix=""))
    for key, each in schema["properties"].items():
        section = section_of(schema, each)
        if section is not None:
            parts += _policy_part(schema, key, section, f"{key}.")
        elif key == "categories":
            category = resolved(schema, each["additionalProperties"])
            parts += _policy_part(schema, "categories", category, "categories.NAME.")
            belief = resolved(schema, category["properties"]["belief"])
            parts += _policy_part(schema, "belief", belief, "categories.NAME.belief.")
        elif key in ("rules", "exchanges"):
            parts += _policy_part(schema, key, resolved(schema, each["items"]), f"{key}[].")
    return "\n".join(parts)


def _policy_part(schema: Schema, key: str, section: Schema, prefix: str) -> Iterator[str]:
    yield f"## `{key}` {{ #{key} }}\n"
    yield f"{section.get('description', '')}\n"
    yield _table(schema, section, prefix)


def _settings_table(schema: Schema, section: Schema, env_prefix: str) -> str:
    rows = (
        (
            code(key),
            _kind(schema, each),
            _default(schema, section, key),
            f"{cell(each.get('description', ''))} <br>`{env_prefix}{key.upper()}`",
        )
        for key, each in section["properties"].items()
    )
    return table(("Key", "Type", "Default", "Meaning, environment variable"), rows)


def _table(schema: Schema, section: Schema, prefix: str) -> str:
    rows = (
        (
            code(prefix + key),
            _kind(schema, each),
            _default(schema, section, key),
            cell(each.get("description", "")),
        )
        for key, each in section["properties"].items()
    )
    return table(("Key", "Type", "Default", "Meaning"), rows)


def _kind(schema: Schema, value: Schema) -> str:
    return " or ".join(_kind_of_one(schema, one) for one in alternatives(schema, value))


def _kind_of_one(schema: Schema, value: Schema) -> str:
    if "enum" in value:
        return " or ".join(code(str(one)) for one in value["enum"])
    if value.get("writeOnly"):
        return "secret"
    match value.get("type"):
        case "array":
            name = "list of " + _kind(schema, value["items"]) if "items" in value else "list"
        case "object":
            name = "table"
        case "string":
            name = "path" if value.get("format") == "path" else "text"
        case "boolean":
            name = "true or false"
        case other:
            name = str(other or "any")
    return ", ".join([name, *map(cell, bounds_of(value))])


def _default(schema: Schema, section: Schema, key: str) -> str:
    value = section["properties"][key]
    if key in section.get("required", ()):
        return "required"
    default = value.get("default")
    if default in (None, "", [], {}) or alternatives(schema, value)[0].get("writeOnly"):
        return "–"
    return code(default if isinstance(default, str) else json.dumps(default))
