"""The frame model that ships keeps its word."""

from __future__ import annotations

from edge.detect import default_model_directory, read_pack
from edge.detect.default_policy import policy_for
from edge.detect.sight.frame_model import FrameModel
from edge.domain import Action
from tests.detect.audio.tiny_audio_model import tiny_spec


def test_the_shipped_pack_sees_and_keeps_its_word() -> None:
    pack = read_pack(default_model_directory())
    model = FrameModel.of(pack)
    assert model is not None
    assert model.categories == ("firearm",)
    (only,) = model.spec.categories
    assert only.thresholds.flag is not None
    assert only.thresholds.cut is None
    assert only.persistence.k >= 2, "one frame alone flags nothing"
    assert len(pack.models[model.spec.model.file]) < 5_000_000
    assert max(model.missed_by().values()) <= 0.01
    assert (pack.directory / model.spec.card).is_file()


def test_by_default_a_firearm_flags_alone_and_cuts_with_gunfire() -> None:
    manifest = read_pack(default_model_directory()).manifest
    assert manifest.motion is not None
    models = (manifest.motion, *manifest.frames, tiny_spec())
    policy = policy_for(manifest.model_copy(update={"models": models}))
    assert policy.categories["firearm"].alone is Action.FLAG
    rules = {rule.name: rule for rule in policy.rules}
    rule = rules["gunfire-and-firearm"]
    assert (rule.then, rule.within_ms, rule.not_in) == (Action.CUT, 10_000, ("games",))
    asked = {one.category: one.at_least for one in rule.when.conditions}
    assert asked == {name: policy.categories[name].flag_at for name in ("gunfire", "firearm")}
