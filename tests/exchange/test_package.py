"""The package that some kinds stand on is optional, and its log is not ours."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from edge.errors import ConfigError, InvalidInput
from edge.exchange.package import package
from edge.exchange.registry import kinds
from tests.exchange.exchanges import added, run


def test_without_the_package_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "threatexchange"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "threatexchange", None)
    secret = tmp_path / "secret"
    secret.write_text("a,b")
    secret.chmod(0o600)
    assert "stopncii" in kinds(), "listing the kinds needs no package"
    with pytest.raises(ConfigError, match=r"edge-gate\[exchange\]"):
        run(tmp_path / "banks", added(tmp_path / "banks", "stopncii", credentials=secret))


def test_what_the_package_logs_of_hashes_is_dropped() -> None:
    package("clients.stopncii.api")
    ours = logging.getLogger().makeRecord(
        "root", logging.ERROR, "/x/threatexchange/a.py", 1, "hash", (), None
    )
    assert not logging.getLogger().filter(ours)


def test_a_wrong_option_is_named_when_an_exchange_is_added(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="option privacy_group"):
        added(tmp_path, "threatexchange", options={"privacy_group": "x"}, credentials=tmp_path / "secret")
    with pytest.raises(InvalidInput, match="credentials"):
        added(tmp_path, "threatexchange", options={"privacy_group": "1"})
    with pytest.raises(InvalidInput, match="is none of file, http"):
        added(tmp_path, "nothing")
    with pytest.raises(InvalidInput, match="option nothing"):
        added(tmp_path, "file", options={"path": "/x", "nothing": "1"})
