"""The demo's display: a table of streams that follows their events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from edge.cli.output import PlainConsole
from edge.contract.gen import gate_pb2
from edge.ingest import Admitted, Closed, CutConfirmed, Event, Judged, Refused, TierChanged
from edge.printable import printable

_WORDS = {
    gate_pb2.ACTION_PASS: Text("PASS", "green"),
    gate_pb2.ACTION_FLAG: Text("FLAG", "yellow"),
    gate_pb2.ACTION_CUT: Text("CUT", "bold red"),
}


@dataclass(slots=True)
class _PublisherRow:
    publisher: str
    stream: str = ""
    tier: str = ""
    score: float | None = None
    verdict: Text | None = None
    at_ms: int = 0
    state: Text | str = ""


class DemoView:
    """Shows a live table on a terminal, one line a step elsewhere, and nothing when quiet."""

    def __init__(self, console: PlainConsole, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._rows: dict[str, _PublisherRow] = {}
        self._spinner = Spinner("dots", "")
        self._step = ""
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._step = ""
        if self._live is not None:
            self._live.stop()

    def step(self, text: str) -> None:
        """Announces the demo's next step."""
        if text == self._step:
            return
        self._step = text
        self._spinner.update(text=Text(printable(text)))
        if self._live is None and not self._quiet:
            self._console.print(text, soft_wrap=True)

    def show(self, event: Event) -> None:
        """Adds an event to the table."""
        match event:
            case Admitted(publish=publish):
                self._rows[event.connection] = _PublisherRow(
                    f"{publish.app}/{publish.name}", event.stream_id, state="live"
                )
            case Refused(publish=publish):
                self._rows[event.connection] = _PublisherRow(
                    f"{publish.app}/{publish.name}", state=Text("refused", "red")
                )
            case TierChanged(tier=tier):
                self._row(event.connection).tier = tier.value
            case Judged(verdict=verdict):
                row = self._row(event.connection)
                row.score, row.at_ms = verdict.score, verdict.pts_ms
                row.verdict = _WORDS.get(verdict.action)
            case CutConfirmed(time_to_cut_ms=time_to_cut_ms):
                self._row(event.connection).state = Text.assemble(
                    ("cut", "red"), f", confirmed in {time_to_cut_ms:.0f} ms"
                )
            case Closed(reason=reason):
                row = self._row(event.connection)
                if row.state == "live":
                    row.state = f"closed: {reason}"

    def _row(self, connection: str) -> _PublisherRow:
        return self._rows.setdefault(connection, _PublisherRow("?"))

    def _render(self) -> Group:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("publisher", "stream", "tier", "score", "verdict", "at", "state"):
            table.add_column(column, no_wrap=True)
        for row in self._rows.values():
            table.add_row(
                row.publisher,
                row.stream[-8:],
                row.tier,
                "" if row.score is None else f"{row.score:.2f}",
                row.verdict or "",
                f"{row.at_ms / 1000:.1f} s" if row.verdict else "",
                row.state,
            )
        return Group(table, self._spinner) if self._step else Group(table)
