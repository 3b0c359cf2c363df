"""Warnings about valid policies whose effect may be unintended."""

from __future__ import annotations

from typing import Any

import pytest

from edge.policy import Policy
from edge.policy_warnings import policy_warnings


def warned(judged: set[str] | None = frozenset({"fight"}), **fields: Any) -> tuple[str, ...]:  # type: ignore[assignment]
    return policy_warnings(Policy.model_validate(fields), judged)


def test_the_default_has_none() -> None:
    assert warned() == ()
    assert warned(judged=None) == ()


def test_categories_are_compared_with_the_model() -> None:
    texts = warned(categories={"figth": {}}, match={"action": "flag"})
    assert [text.partition(":")[0] for text in texts] == [
        "categories.figth",
        "categories",
        "nothing is ever cut",
    ]
    assert "only fight" in texts[0]
    assert warned(judged=None, categories={"figth": {}}) == ()
    assert warned(judged=None, categories={}, match={"action": "cut"}) == ()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"match": {"min_quality": 20}}, "match.min_quality"),
        ({"match": {"k": 20}, "tiers": {"alert_interval_ms": 2000}}, "match.k"),
    ],
)
def test_what_has_no_effect_is_named(fields: dict[str, Any], field: str) -> None:
    (text,) = warned(**fields)
    assert text.startswith(f"{field}: ")
    off = {**fields, "mode": "enforce", "match": {**fields["match"], "enabled": False}}
    assert warned(**off) == ()


def test_a_policy_that_acts_on_known_footage_alone_and_does_not_cut_for_it_never_cuts() -> None:
    (text,) = warned(match={"action": "flag"})
    assert text.startswith("nothing is ever cut: mode known_footage")
    assert warned(mode="enforce", match={"action": "flag"}) == ()


def test_an_override_is_said_with_its_place_and_what_the_whole_says_once() -> None:
    kids = {"match": {"min_quality": 20, "enabled": True}}
    assert [text[:24] for text in warned(apps={"kids": kids})] == ["apps.kids: match.min_qua"]
    texts = warned(match={"min_quality": 20}, apps={"kids": {"budget_ms": 300}}, tenants={"t": {}})
    assert len(texts) == 1


def test_overrides_that_are_the_same_are_resolved_once_and_named_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolved: list[tuple[str | None, str | None]] = []
    resolve = Policy._resolved

    def counted(self: Policy, app: str | None, tenant: str | None) -> Policy:
        resolved.append((app, tenant))
        return resolve(self, app, tenant)

    monkeypatch.setattr(Policy, "_resolved", counted)
    never = {"match": {"enabled": False}, "categories": {"fight": None}}
    policy = Policy.model_validate(
        {
            "apps": {f"app{number}": never for number in range(32)},
            "tenants": {f"tenant{number}": {"tiers": {"burst_ms": 200}} for number in range(31)},
        }
    )
    assert len(resolved) <= 8, "four, and each is whole by itself"
    resolved.clear()
    texts = policy_warnings(policy, {"fight"})
    assert len(resolved) <= 9
    assert sum("nothing is ever cut" in text for text in texts) == 32 * 32


def test_fields_of_earlier_versions_are_named() -> None:
    [text] = warned(categories={"fight": {"cut_samples": 9, "flag_samples": 2}})
    assert text.startswith("categories.fight.flag_samples, cut_samples: ")
    assert warned(apps={"a": {"categories": {"fight": {"cut_span_ms": 0}}}})[0].startswith("apps.a: ")


def test_limits_that_no_belief_can_reach_are_named() -> None:
    [text] = warned(categories={"fight": {"cut_at": 0.9999}})
    assert text.startswith("categories.fight.cut_at: a belief reaches 0.98")
    assert warned(categories={"fight": {"cut_at": 1}}) == (), "nothing is to be cut"
    [text] = warned(categories={"fight": {"release_at": 0.1, "belief": {"neutral": -1.0}}})
    assert text.startswith("categories.fight.release_at: ")
