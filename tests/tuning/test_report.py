"""The page is self-contained, and file names cannot inject anything into it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

from edge.policy import CategoryPolicy
from edge.tuning.charts import WIDTH, Axis, Line, Mark, chart
from edge.tuning.guarantee import Guarantee
from edge.tuning.report import html
from edge.tuning.result import result
from edge.tuning.simulate import Simulator
from edge.tuning.study import Study
from edge.tuning.tuning import tune
from edge.tuning.verify import compare
from tests.tuning.conftest import footage, track

EVIL = '<script>alert(1)</script>"&\udcff.mp4'


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not any(name in ("src", "href") or name.startswith("on") for name, _ in attrs)


def test_report_of_a_tuning(simulator: Simulator) -> None:
    study = Study(
        simulator,
        [
            *((footage(f"v{EVIL}{i}", True), track([0.1] * 3 + [0.9 - 0.2 * i] * 9)) for i in range(4)),
            *((footage(f"c{EVIL}{i}", False), track([0.1 + 0.2 * i] * 12)) for i in range(4)),
        ],
    )
    now = CategoryPolicy()
    found = tune(study, Guarantee(false_cuts_per_hour=2), now, 0.9, lambda _: None)
    reports = {row: {"first_flag_s": None, "first_cut_s": 1.0} for row in study.rows}
    check = compare(study, found.proposal.part, reports)
    assert check.files == 8
    assert 0 < check.alike < 8
    values = result(study, found, now, check, [{"path": EVIL, "error": "broken"}])
    json.dumps(values, allow_nan=False).encode()
    json.dumps(values, ensure_ascii=False).encode()
    assert values["data"]["failed"][0]["error"] == "broken"
    assert len(values["warnings"]) >= 2
    page = html(study, found, values, "Tuning of <b>", [EVIL.replace("\udcff", "")])
    tags = Tags()
    tags.feed(page)
    assert not tags.seen & {"script", "img", "link", "iframe", "b\\"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(charts) == 4
    for svg in charts:
        ElementTree.fromstring(svg)


def test_a_chart_escapes_and_stays_inside() -> None:
    line = Line(EVIL[:-5], [(0.0, 0.0), (50.0, 2.0)], hints=["<x>", "y"])
    svg = chart("<t>", Axis("x", 0, 10, root=True), Axis("y", 0, 1), [line], [Mark("m", None, 0.5)])
    tree = ElementTree.fromstring(svg)
    circles = [node for node in tree.iter() if node.tag == "circle"]
    assert [float(node.get("cx", "")) for node in circles] == [56.0, 544.0]
    assert "<script>" not in svg


def test_the_name_of_a_point_stays_inside() -> None:
    marks = [Mark("proposed", 10.0, 1.0), Mark("proposed", 0.0, 0.0)]
    tree = ElementTree.fromstring(chart("t", Axis("x", 0, 10), Axis("y", 0, 1), [], marks))
    names = [node for node in tree.iter() if node.text == "proposed" and node.get("class") == "strong"]
    assert [(node.get("text-anchor"), float(node.get("x", ""))) for node in names] == [
        ("end", WIDTH - 16 - 11),
        ("start", 56 + 11),
    ]


def test_empty_curves_are_drawn_as_nothing() -> None:
    ElementTree.fromstring(chart("t", Axis("x", 0, 0), Axis("y", 0, 1), [Line("none", [])]))
