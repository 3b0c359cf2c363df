"""Warns about valid policies that their author may not have meant. Pure."""

from __future__ import annotations

from collections.abc import Collection

from edge.domain import Action
from edge.match import MIN_QUALITY
from edge.policy import CategoryPolicy, Mode, Policy, probability_of


def policy_warnings(policy: Policy, judged: Collection[str] | None) -> tuple[str, ...]:
    """One text per problem, with the field and the way out. Problems of an override begin with its path.

    ``judged`` holds the categories that the model judges. None means that no model is known.
    """
    said = _of_one(policy.for_patterns(None, None), judged)
    found = dict.fromkeys(said)
    texts: dict[tuple[str, str], list[str]] = {}
    for app, tenant, alike in policy.pairs():
        place = ", ".join(f"{field}.{name}" for field, name in (("apps", app), ("tenants", tenant)) if name)
        if alike not in texts:
            texts[alike] = _of_one(policy.for_patterns(app, tenant), judged)
        for text in texts[alike]:
            if text not in said:
                found[f"{place}: {text}"] = None
    return tuple(found)


def _of_one(policy: Policy, judged: Collection[str] | None) -> list[str]:
    texts = []
    if judged is not None:
        known = ", ".join(sorted(judged))
        texts += [
            f"categories.{name}: the model judges no such category, only {known}"
            for name in sorted(policy.categories.keys() - set(judged))
        ]
        texts += [
            f"categories: {name} is missing, so what the model finds of it is neither flagged nor cut"
            for name in sorted(set(judged) - policy.categories.keys())
        ]
    for name, part in policy.categories.items():
        texts += _of_category(f"categories.{name}", part)
    match = policy.match
    cutting = policy.categories.keys() if judged is None else policy.categories.keys() & set(judged)
    by_match = match.enabled and match.action is Action.CUT
    if not cutting and not by_match:
        texts.append("nothing is ever cut: no category is judged, and match.action is not cut")
    elif policy.mode is Mode.KNOWN_FOOTAGE and not by_match:
        texts.append(
            "nothing is ever cut: mode known_footage acts on known footage alone, and match.action is not cut"
        )
    if match.enabled and match.min_quality < MIN_QUALITY:
        texts.append(
            f"match.min_quality: {match.min_quality} has no effect: frames under {MIN_QUALITY} never match"
        )
    span_ms = (match.k - 1) * policy.tiers.alert_interval_ms
    if match.enabled and span_ms > match.span_ms:
        texts.append(
            f"match.k: {match.k} samples every tiers.alert_interval_ms of {policy.tiers.alert_interval_ms} "
            f"take {span_ms} ms, and a match counts within match.span_ms of {match.span_ms}: it never does"
        )
    return texts


def _of_category(where: str, part: CategoryPolicy) -> list[str]:
    texts = []
    if part.outdated:
        texts.append(
            f"{where}.{', '.join(part.outdated)}: without effect since windows are gathered by `belief`. "
            "flag_at and cut_at are held against that; `edge-gate model show` says what the model suggests"
        )
    highest = part.belief.highest
    if part.alone is Action.CUT and highest < part.cut_at < 1.0:
        texts.append(
            f"{where}.cut_at: a belief reaches {highest:.3f} at most, so windows never reach "
            f"{part.cut_at:g}; set 1 if nothing is to be cut"
        )
    if part.release_at <= probability_of(part.belief.neutral) and part.release_at > 0.0:
        texts.append(
            f"{where}.release_at: {part.release_at:g} is not over a belief of nothing "
            f"({probability_of(part.belief.neutral):.3f}), so a stream stays raised until windows speak "
            "against it"
        )
    return texts
