"""The shipped pack hears: its audio model keeps what its manifest, its card and its figures say."""

from __future__ import annotations

import json

import pytest

from edge.detect import default_model_directory, read_pack
from edge.detect.audio.audio_model import AudioModel
from edge.detect.default_policy import default_policy
from edge.domain import Action
from models.sound_report import goals, main, read_unseen


def test_the_shipped_pack_hears_what_is_flagged_and_a_witness() -> None:
    pack = read_pack(default_model_directory())
    (spec,) = pack.manifest.audio
    assert [one.name for one in spec.categories] == ["gunfire", "explosion", "scream"]
    policy = default_policy(pack.directory)
    assert [policy.categories[one.name].alone for one in spec.categories] == [
        Action.FLAG,
        Action.FLAG,
        Action.PASS,
    ]
    assert spec.licence
    assert (pack.directory / spec.card).is_file()
    assert spec.recorded
    assert len(pack.models[spec.model.file]) < 2_000_000


def test_it_scores_as_recorded_and_takes_a_volley_for_gunfire() -> None:
    model = AudioModel.of(read_pack(default_model_directory()))
    assert model is not None
    assert max(model.missed_by().values()) <= 0.01
    gunfire = {name: scores[0] for name, scores in model.spec.recorded.items()}
    assert max(gunfire["silence"], gunfire["hum"], gunfire["cry"]) < 0.01 < 0.3 < gunfire["volley"]


def test_figures_of_unseen_sources_are_printed_beside_their_goals(capsys: pytest.CaptureFixture[str]) -> None:
    main(as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert {row["measure"].split(" (")[0] for row in printed["goals"]} >= {
        "gunfire AUC",
        "gunfire recall, clean",
        "gunfire recall, noise 10 dB",
        "gunfire recall, AAC 32k",
        "false flags an hour, calm",
        "fireworks flagged as gunfire",
    }
    main(as_json=False)
    assert "missed" in capsys.readouterr().out


def test_a_goal_is_missed_where_its_figure_is_below_it() -> None:
    (network, _) = read_unseen()
    for row in network.rows:
        row["best"] = [0.0, 0.0, 0.0]
    assert {row.measure.split(" (")[0]: row.met for row in goals(list(network.figures()))} == {
        "gunfire AUC": False,
        "gunfire recall, clean": False,
        "gunfire recall, noise 10 dB": True,
        "gunfire recall, AAC 32k": True,
        "false flags an hour, calm": True,
        "fireworks flagged as gunfire": True,
    }
