"""The generated pages cover every interface, and the site loads nothing from another host."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from mkdocs.exceptions import PluginError
from pydantic import BaseModel

from docgen.commands import describe_commands
from docgen.contract import PUBLIC, describe_contract
from docgen.hook import ROOT, on_page_markdown, relinked
from docgen.metrics import describe_metrics
from docgen.settings import describe_policy, describe_section, describe_settings
from edge.config import Settings, settings_model
from edge.policy import Policy
from edge.telemetry.prometheus import PrometheusBackend


@pytest.mark.parametrize("name", PUBLIC)
def test_every_call_and_field_of_the_contract_is_described(name: str) -> None:
    page = describe_contract(name)
    file = importlib.import_module(f"edge.contract.gen.{name}_pb2").DESCRIPTOR
    for service in file.services_by_name.values():
        for method in service.methods:
            assert f"### {method.name} {{ #{service.name}.{method.name} }}" in page
    for message in file.message_types_by_name.values():
        section = page.split(f"### {message.name} {{", 1)[1].split("\n### ", 1)[0]
        for field in message.fields:
            assert re.search(rf"^\| `{field.name}` \| {field.number} \| .+ \| .+ \|$", section, re.MULTILINE)
    for enum in file.enum_types_by_name.values():
        for value in enum.values:
            assert f"| `{value.name}` | {value.number} |" in page


def test_types_of_another_package_lead_to_its_page() -> None:
    assert "[Verdict](gate.md#Verdict)" in describe_contract("operator")
    assert "map of string to string" in describe_contract("gate")
    assert "list of [Signal](#Signal)" in describe_contract("gate")


def _section(annotation: object) -> type[BaseModel] | None:
    kinds = getattr(annotation, "__args__", (annotation,))
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)


def test_every_setting_is_described_with_its_environment_variable() -> None:
    page = describe_settings()
    for key, field in settings_model().model_fields.items():
        section = _section(field.annotation)
        if section is None:
            assert f"`EDGE_{key.upper()}`" in page
            continue
        for inner in section.model_fields:
            assert f"`EDGE_{key.upper()}__{inner.upper()}`" in page


def test_a_setting_has_its_type_default_and_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row.split("`")[1]: row for row in describe_section("nginx_rtmp").splitlines() if "`" in row}
    assert "integer, ≥ 0, ≤ 5000 | `300`" in rows["pull_wait_ms"]
    assert "`allow` or `deny` | `deny`" in rows["upstream_failure"]
    assert "| `jwt_secret` | secret | required |" in describe_section("node_media_server")
    # The variable that the page names takes effect.
    monkeypatch.setenv("EDGE_WORKERS__HANG_MS", "1234")
    assert Settings().workers.hang_ms == 1234


def test_a_secret_shows_no_default() -> None:
    assert "| `api_password` | secret | – |" in describe_section("srs")


def test_every_field_of_the_policy_is_described() -> None:
    page = describe_policy()
    for key, field in Policy.model_fields.items():
        part = _section(field.annotation)
        lists = {name: f"{name}[]" for name in ("rules", "exchanges")}
        prefix = (lists | {"categories": "categories.NAME"}).get(key, key)
        for name in [f"{prefix}.{inner}" for inner in part.model_fields] if part else [key]:
            assert f"| `{name}` |" in page


@pytest.mark.parametrize("page", [describe_settings(), describe_policy()], ids=["settings", "policy"])
def test_every_key_has_its_meaning(page: str) -> None:
    rows = [row for row in page.splitlines() if row.startswith("| `")]
    meanings = {row.split("`")[1]: row.split(" | ")[-1].split("<br>")[0].strip(" |") for row in rows}
    assert len(meanings) > 30
    assert [key for key, meaning in meanings.items() if not meaning] == []


def test_every_command_is_described() -> None:
    page = describe_commands()
    for command in ("serve", "bank import", "incident overturn", "policy set", "check-config"):
        assert f"## `edge-gate {command}`" in page


def test_every_metric_is_described() -> None:
    page = describe_metrics()
    for family in PrometheusBackend().registry.collect():
        assert f"`{family.name}" in page


def test_links_of_an_included_file_lead_to_pages_or_name_the_file() -> None:
    text = "[card](../models/cards/fight-lite0.md#limits), ![plot](latency.svg), [code](../edge/ladder.py), [out](https://e.x/)"
    assert relinked(text, "benchmarks/RESULTS.md", "results.md") == (
        "[card](tune/model-card.md#limits), ![plot](latency.svg), code (`edge/ladder.py`), [out](https://e.x/)"
    )


@pytest.mark.parametrize(
    ("comment", "problem"),
    [
        ("<!-- generate: nothing -->", "no generator 'nothing'"),
        ("<!-- include: LICENSE -->", "not included here"),
    ],
)
def test_a_page_that_asks_for_what_there_is_not_fails_the_build(comment: str, problem: str) -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="index.md"))
    with pytest.raises(PluginError, match=problem):
        on_page_markdown(comment, page=page, config=None, files=None)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, as `make docs` builds it."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(target)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return target


def test_pages_load_nothing_from_another_host(site: Path) -> None:
    loads = re.compile(
        r"<(?:script|img|iframe|source)[^>]+src=\"?(?:https?:)?//|<link[^>]+href=\"?(?:https?:)?//"
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 8
    for page in pages:
        assert loads.search(page.read_text(encoding="utf-8")) is None, page
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.search(r"url\(\"?(?:https?:)?//|@import", styles) is None


def test_no_page_holds_a_diagram_that_the_theme_would_fetch_a_library_for(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert 'class="mermaid"' not in page.read_text(encoding="utf-8")


def test_nothing_is_left_to_fill_in(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<!-- generate:" not in text
        assert "<!-- include:" not in text


def test_every_deploy_page_says_first_what_a_first_start_acts_on() -> None:
    pages = [*(ROOT / "docs" / "integrate").glob("*.md"), *(ROOT / "deploy").glob("*/README.md")]
    assert len(pages) > 12
    for page in (*pages, ROOT / "docs" / "operate" / "index.md"):
        title, first, *_ = page.read_text(encoding="utf-8").split("\n\n")
        assert title.startswith("# "), page
        assert "First start: nobody is cut for what the detector says" in first, page
        assert '"mode": "known_footage"' in first, page
