"""What differs between two policies, and what a policy's overrides change. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edge.policy import Mode, Patch, Policy, explain_category, explain_guards, explain_mode, explain_rule
from edge.priority import explain_queue


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The differences by dotted path, without ``version``, which always differs."""
    old, new = _flat(before), _flat(after)
    return [
        {"field": field, "before": old.get(field), "after": new.get(field)}
        for field in sorted(old.keys() | new.keys())
        if field != "version" and old.get(field) != new.get(field)
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def patch_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> Patch:
    """The JSON Merge Patch (RFC 7396) that makes ``after`` of ``before``, without ``version``."""
    patch: Patch = {name: None for name in before if name not in after}
    for name, value in after.items():
        known = before.get(name)
        if isinstance(value, dict) and isinstance(known, dict):
            if inner := patch_between(known, value):
                patch[name] = inner
        elif name not in before or value != known:
            patch[name] = value
    patch.pop("version", None)
    return patch


def modes_of(policy: Policy) -> list[tuple[str | None, str | None, Mode]]:
    """The mode of most streams, then that of each override with another one: app, tenant, mode."""
    found: list[tuple[str | None, str | None, Mode]] = [(None, None, policy.mode)]
    for app in (None, *policy.apps):
        for tenant in (None, *policy.tenants):
            mode = policy.for_patterns(app, tenant).mode
            if mode is not policy.mode:
                found.append((app, tenant, mode))
    return found


def overrides_of(policy: Policy) -> list[dict[str, Any]]:
    """What a stream of each application, and of each tenant, has other than most streams."""
    base = policy.for_patterns(None, None)
    found = []
    for app, tenant in (*((app, None) for app in policy.apps), *((None, name) for name in policy.tenants)):
        own = policy.for_patterns(app, tenant)
        changes = changed_fields(base.model_dump(mode="json"), own.model_dump(mode="json"))
        acting = {rule.name for rule in own.acting_rules}
        off = sorted(rule.name for rule in base.acting_rules if rule.name not in acting)
        found.append({"app": app, "tenant": tenant, "changes": changes, "rules_off": off})
    return found


def explained(policy: Policy) -> list[str]:
    """What the policy does, a line a fact: `policy explain` and the console say it in these words."""
    lines = []
    for app, tenant, mode in modes_of(policy):
        where = ", ".join(f"{word} {name}" for word, name in (("app", app), ("tenant", tenant)) if name)
        lines.append(f"{where}: {explain_mode(mode)}" if where else explain_mode(mode))
    lines += [explain_category(name, part) for name, part in policy.categories.items()]
    lines += [explain_rule(rule) for rule in policy.rules]
    lines += explain_guards(policy.guards)
    lines += explain_queue(policy.queue)
    for each in overrides_of(policy):
        where = f"app {each['app']}" if each["app"] is not None else f"tenant {each['tenant']}"
        lines += [
            f"{where}: {change['field']} {shown_value(change['before'])} -> {shown_value(change['after'])}"
            for change in each["changes"]
        ]
        lines += [f"{where}: rule {name} does not act" for name in each["rules_off"]]
    return lines


def shown_value(value: object) -> str:
    """A value of a policy as people read it: JSON, and nothing for none."""
    return "" if value is None else json.dumps(value, ensure_ascii=False)
