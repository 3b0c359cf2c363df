"""A policy is accepted as a whole or refused, and the refusal names the field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import Publish, SignalSource
from edge.errors import InvalidInput, LimitExceeded
from edge.policy import (
    MAX_OVERRIDES,
    MAX_POLICY_BYTES,
    CategoryPolicy,
    Mode,
    Policy,
    explain_category,
    parse_policy,
    rates_of,
)


def test_default_policy_survives_its_own_json() -> None:
    assert parse_policy(Policy().model_dump_json()) == Policy()


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_thresholds_are_accepted_only_in_order(values: list[float]) -> None:
    release, raised, flag, cut = values
    json = CategoryPolicy.model_construct(
        release_at=release, raise_at=raised, flag_at=flag, cut_at=cut
    ).model_dump_json()
    text = f'{{"categories": {{"fight": {json}}}}}'
    if values == sorted(values):
        assert parse_policy(text).categories["fight"].cut_at == cut
    else:
        with pytest.raises(InvalidInput, match="ordered"):
            parse_policy(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"budget_ms": 1}', "policy.budget_ms"),
        ('{"categories": {"fight": {"cut_at": 1.5}}}', "policy.categories.fight.cut_at"),
        ('{"ladder": {"steps_ms": []}}', "policy.ladder.steps_ms"),
        ('{"match": {"span_ms": 100}}', "policy.match.span_ms"),
        ('{"no_such": 1}', "policy.no_such"),
        ("[", "policy"),
        ('{"apps": {"live": {"tiers": {"burst_ms": 1}}}}', "policy.apps.live.tiers.burst_ms"),
        ('{"apps": {"live": {"tiers": 7}}}', "policy.apps.live.tiers"),
        ('{"apps": {"live": {"apps": {}}}}', "policy.apps.live.apps"),
        ('{"apps": {"live": {"no_such": 1}}}', "policy.apps.live.no_such"),
        ('{"apps": {"": {}}}', "policy.apps..[key]"),
        ('{"tenants": {"acme": {"version": 2}}}', "policy.tenants.acme.version"),
        (
            '{"apps": {"a": {"categories": {"fight": {"cut_at": 0.6}}}},'
            ' "tenants": {"t": {"categories": {"fight": {"flag_at": 0.7}}}}}',
            "policy.tenants.t.categories.fight",
        ),
    ],
)
def test_error_names_the_field(text: str, named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_policy(text)
    assert caught.value.field == named


def test_size_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match=str(MAX_POLICY_BYTES)):
        parse_policy(" " * (MAX_POLICY_BYTES + 1))


OVERRIDDEN = """{
  "version": 7,
  "categories": {"fight": {"cut_at": 0.9}},
  "apps": {
    "live": {"tiers": {"burst_ms": 300}, "budget_ms": 400},
    "live-*": {"categories": {"fight": {"flag_at": 0.6}, "other": {}}},
    "live-kids*": {"mode": "shadow", "ladder": {"steps_ms": [1000]}},
    "*": {"failure": {"on_blind": "flag"}}
  },
  "tenants": {"acme": {"budget_ms": 100, "tiers": null}}
}"""


def test_an_app_has_the_policy_but_for_what_differs() -> None:
    policy = parse_policy(OVERRIDDEN)
    live = policy.for_app("live")
    assert (live.tiers.burst_ms, live.budget_ms) == (300, 400)
    assert live == policy.model_copy(
        update={
            "apps": {},
            "tenants": {},
            "budget_ms": 400,
            "tiers": policy.tiers.model_copy(update={"burst_ms": 300}),
        }
    )
    wide = policy.for_app("live-sport")
    assert (wide.categories["fight"].flag_at, wide.categories["fight"].cut_at) == (0.6, 0.9)
    assert wide.categories["other"] == CategoryPolicy()
    assert wide.version == policy.version


def test_the_name_goes_before_globs_and_the_closer_glob_before_the_wider() -> None:
    policy = parse_policy(OVERRIDDEN)
    kids = policy.for_app("live-kids-2")
    assert (kids.mode.value, kids.ladder.steps_ms) == ("shadow", (1000,))
    assert kids.categories["fight"].flag_at == CategoryPolicy().flag_at
    assert policy.for_app("vod").failure.on_blind.value == "flag"
    assert policy.for_app("live").failure.on_blind.value == "pass"
    assert policy.for_app("Live").budget_ms == policy.budget_ms, "names are case-sensitive"


def test_a_tenant_is_laid_over_its_app_and_null_is_the_default() -> None:
    acme = parse_policy(OVERRIDDEN).for_app("live", "acme")
    assert (acme.budget_ms, acme.tiers.burst_ms) == (100, Policy().tiers.burst_ms)


def test_the_tenant_is_an_attribute_of_the_publish() -> None:
    policy = parse_policy(OVERRIDDEN)
    publish = Publish("grpc", "1", app="live", name="a", broadcaster="b", attributes={"tenant": "acme"})
    assert policy.for_publish(publish) == policy.for_app("live", "acme") != policy.for_app("live")


def test_what_is_resolved_resolves_to_itself_and_survives_its_json() -> None:
    policy = parse_policy(OVERRIDDEN)
    assert parse_policy(policy.model_dump_json()) == policy
    live = parse_policy(policy.for_app("live", "acme").model_dump_json())
    assert live.for_app("vod", "acme") is live


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_name_has_a_policy(app: str, tenant: str) -> None:
    resolved = parse_policy(OVERRIDDEN).for_app(app, tenant)
    assert (resolved.apps, resolved.tenants) == ({}, {})


def test_overrides_are_bounded() -> None:
    many = ", ".join(f'"a{number}": {{}}' for number in range(MAX_OVERRIDES + 1))
    with pytest.raises(InvalidInput) as caught:
        parse_policy(f'{{"apps": {{{many}}}}}')
    assert caught.value.field == "policy.apps"


def test_policies_stored_before_votes_went_by_time_are_read() -> None:
    policy = parse_policy('{"match": {"k": 4, "n": 6}, "apps": {"a": {"match": {"n": 9}}}}')
    assert (policy.match.k, policy.match.span_ms) == (4, 20_000)
    assert policy.for_app("a").match == policy.match


def test_a_policy_acts_on_the_detector_only_if_it_says_so() -> None:
    assert Policy().mode is Mode.KNOWN_FOOTAGE
    assert [Mode.KNOWN_FOOTAGE.acts_on(source) for source in SignalSource] == [
        source is not SignalSource.DETECT for source in SignalSource
    ]
    assert all(Mode.ENFORCE.acts_on(source) for source in SignalSource)
    assert not any(Mode.SHADOW.acts_on(source) for source in SignalSource)


def test_a_stored_policy_of_an_earlier_version_keeps_its_mode() -> None:
    assert parse_policy('{"mode": "enforce"}').mode is Mode.ENFORCE


def test_a_rate_of_false_flags_sets_the_limit_where_it_was_measured() -> None:
    alarms = {"slope": 1.5, "offset": 3.0, "hours": 1.0}
    part = CategoryPolicy.model_validate({"belief": {"false_alarms": alarms}, "false_flags_per_hour": 2})
    assert part.flag_limit > part.flag_at
    assert part.belief.false_alarms is not None
    assert part.belief.false_alarms.an_hour(part.flag_limit) == pytest.approx(2)
    assert part.model_copy(update={"false_flags_per_hour": 1e4}).flag_limit == part.flag_at
    with pytest.raises(InvalidInput, match="false_alarms"):
        parse_policy('{"categories": {"fight": {"false_flags_per_hour": 2}}}')


def test_a_category_is_explained_with_its_rates() -> None:
    alarms = {"slope": 1.5, "offset": 3.0, "hours": 1.0}
    part = CategoryPolicy.model_validate({"flag_at": 0.5, "cut_at": 0.9, "belief": {"false_alarms": alarms}})
    text = explain_category("fight", part)
    assert text.startswith(
        "category fight: flag from 0.5 (20 an hour of calm footage like the measured), cut"
    )
    assert rates_of(part)["cuts_an_hour"] == pytest.approx(0.74, rel=0.01)
    assert rates_of(CategoryPolicy()) == {"flags_an_hour": None, "cuts_an_hour": None}


def test_stored_policies_of_earlier_versions_are_read() -> None:
    old = (
        '{"categories": {"fight": {"flag_samples": 2, "cut_samples": 3, "cut_span_ms": 400, "cut_at": 0.9}}}'
    )
    part = parse_policy(old).categories["fight"]
    assert part.cut_at == 0.9
    assert part.outdated == ("flag_samples", "cut_samples", "cut_span_ms")
    assert parse_policy(parse_policy(old).model_dump_json()).categories["fight"].outdated == ()
