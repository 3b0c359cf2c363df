"""Which settings change while the gate runs."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from edge.config import LimitsSection, Settings, load_settings
from edge.reloading import LIVE, changes, merged
from edge.sharing.settings import ShareSection


def test_what_can_change_changes_and_the_rest_is_named() -> None:
    before = load_settings(None, {"data_dir": "/a", "limits": {"max_streams": 5, "cut_limit_ms": 1000}})
    now = load_settings(
        None,
        {
            "data_dir": "/b",
            "log_level": "debug",
            "limits": {"max_streams": 6, "cut_limit_ms": 2000},
            "workers": {"count": 7},
        },
    )
    taken = merged(before, now)
    assert set(changes(before, taken)) == {"limits.max_streams", "log_level"}
    assert set(changes(taken, now)) == {"data_dir", "limits.cut_limit_ms", "workers.count"}
    assert taken.limits.max_streams == 6
    assert (taken.limits.cut_limit_ms, taken.workers) == (1000, before.workers)
    assert list(changes(before, before)) == []


def test_a_section_that_comes_or_goes_is_named() -> None:
    section = {"control_url": "http://localhost/control", "stat_url": "http://localhost/stat"}
    without, with_it = load_settings(), load_settings(None, {"nginx_rtmp": section})
    assert list(changes(without, with_it)) == list(changes(with_it, without)) == ["nginx_rtmp"]


@pytest.mark.parametrize("name", sorted(LIVE))
def test_every_live_setting_exists(name: str) -> None:
    section, _, field = name.rpartition(".")
    sections: dict[str, type[BaseModel]] = {"limits": LimitsSection, "share": ShareSection, "": Settings}
    assert field in sections[section].model_fields
