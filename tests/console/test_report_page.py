"""The report's page: the figures of a period, in every language, and as files."""

from __future__ import annotations

import json
import re
from pathlib import Path

from edge.console.words import languages
from edge.report.languages import LANGUAGES
from tests.console.browser import console, flagged

SCRIPT = "<script>alert(1)</script>"


async def test_the_report_of_a_period_is_shown_and_downloaded_in_every_language(tmp_path: Path) -> None:
    assert set(LANGUAGES) >= set(languages())
    async with console(tmp_path, "viewer") as (bench, browser):
        await flagged(bench)
        bench.gate.settings.data_dir.joinpath("edge.db").symlink_to(tmp_path / "ledger.db")
        for language, title in (("en", "What was decided"), ("ar", "ما تقرر")):
            await browser.get(f"/language/{language}")
            page = await browser.get("/report")
            assert page.status_code == 200, page.text
            assert title in page.text
            assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=|<style|javascript:", page.text)
        whole = await browser.get("/report.html")
        assert '<html lang="ar" dir="rtl">' in whole.text
        assert title in whole.text
        assert "attachment" in whole.headers["content-disposition"]
        assert "sandbox" in whole.headers["content-security-policy"]
        assert "script-src" not in whole.headers["content-security-policy"]
        said = json.loads((await browser.get("/report.json")).text)
        assert said["flags"] == 1
        assert (
            json.loads((await browser.get("/report.json?since=2020-01-01&until=2020-01-31")).text)["flags"]
            == 0
        )
        for wrong in ("since=x", "since=2026-02-30", "until=0001-01-01", "since=2026-02-01&until=2026-01-01"):
            assert (await browser.get(f"/report?{wrong}")).status_code == 400, wrong
