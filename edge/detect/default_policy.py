"""The policy that a model was calibrated for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from edge.detect.pack_files import PackManifest, read_pack
from edge.detect.witness_specs import AloneThresholds, WitnessCategory
from edge.domain import Action
from edge.errors import ConfigError, InvalidInput
from edge.policy import MAX_POLICY_BYTES, CategoryPolicy, Policy, attack_rules, merge_patch, parse_policy
from edge.settings_file import read_settings_text

_RELEASE_OF_RAISE = 0.75
_URGENT: Final = frozenset({"gunfire"})
"""Categories for which a person should look at once."""


def default_policy(model_dir: Path) -> Policy:
    """Returns the default policy with the thresholds from the manifest of a model pack."""
    return policy_for(read_pack(model_dir).manifest)


def policy_for(pack: PackManifest) -> Policy:
    """Returns the default policy with the thresholds from a manifest."""
    found: dict[str, CategoryPolicy] = {}
    for model in pack.models:
        for category in model.categories:
            if isinstance(category, WitnessCategory):
                found[category.name] = _of_witness(category.thresholds, urgent=category.name in _URGENT)
            else:
                at = category.thresholds
                found[category.name] = CategoryPolicy(
                    raise_at=at.raise_tier,
                    release_at=_RELEASE_OF_RAISE * at.raise_tier,
                    flag_at=at.flag,
                    cut_at=at.cut,
                    belief=category.belief,
                )
    gun, firearm, scream = (found.get(name) for name in ("gunfire", "firearm", "scream"))
    if gun is None or firearm is None:
        return Policy(categories=found)
    rules = attack_rules(
        (gun.flag_at, gun.raise_at),
        (firearm.flag_at, firearm.raise_at),
        gun.raise_at if scream is None else scream.raise_at,
    )
    return Policy(categories=found, rules=rules)


def _of_witness(at: AloneThresholds, *, urgent: bool) -> CategoryPolicy:
    """The model's own persistence has counted the frames or windows already, so one score is enough."""
    alone = Action.PASS if at.flag is None else Action.FLAG if at.cut is None else Action.CUT
    return CategoryPolicy(
        alone=alone,
        urgent=urgent,
        raise_at=at.raise_tier,
        release_at=_RELEASE_OF_RAISE * at.raise_tier,
        flag_at=1.0 if at.flag is None else at.flag,
        cut_at=1.0 if at.cut is None else at.cut,
    )


def first_policy(model_dir: Path, patch: Path | None) -> Policy:
    """Returns the policy of a first start: the default one, changed by a JSON Merge Patch in a file.

    Raises ConfigError that names the file and the field.
    """
    policy = default_policy(model_dir)
    if patch is None:
        return policy
    try:
        values = json.loads(read_settings_text(patch, MAX_POLICY_BYTES))
        if not isinstance(values, dict):
            raise InvalidInput("policy", "is no JSON object")
        return parse_policy(json.dumps(merge_patch(policy.model_dump(mode="json"), values)))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"first_policy: {patch}: is no JSON: {error}") from None
    except InvalidInput as error:
        raise ConfigError(f"first_policy: {patch}: {error}") from None
