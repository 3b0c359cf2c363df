"""The screen of ``edge-gate top``. It needs Textual."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeAlias

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static

from edge.backoff import backoff_ms
from edge.cli.live_table import LiveRow, LiveTable
from edge.clock import SystemClock
from edge.contract.gen import gate_pb2, operator_pb2
from edge.errors import GateError
from edge.printable import printable

Listen: TypeAlias = Callable[
    [
        operator_pb2.WatchStreamsRequest,
        Callable[[operator_pb2.StreamChange], None],
        Callable[[Any], None],
    ],
    None,
]
"""Calls the second with each change until the call breaks, and the third with what cancels the call."""
Cut: TypeAlias = Callable[[str, str, str], str]
"""Cuts a stream by its id, for a reason, and blocks its broadcaster for a time. Returns what was done."""

_EVERY_S: Final = 0.5
_FIRST_MS, _MOST_MS = 500, 10_000
_COLUMNS: Final = ("state", "score", "", "tier", "on air", "samples", "shed", "broadcaster", "stream")
_STYLES: Final = {"cut": "bold red", "flag": "yellow", "being cut": "bold red", "not watched": "dim"}


class CutQuestion(ModalScreen[tuple[str, str] | None]):
    """Asks once before a cut: why, and for a block for how long. Escape ends it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Leave it on air")]
    DEFAULT_CSS = """
    CutQuestion { align: center middle; }
    CutQuestion Vertical { width: 72; height: auto; padding: 1 2; border: thick $error; }
    """

    def __init__(self, row: LiveRow, *, blocks: bool) -> None:
        super().__init__()
        self._row = row
        self._blocks = blocks

    def compose(self) -> ComposeResult:
        one = self._row.stream
        what = f"Cut {one.app}/{one.name} of {one.broadcaster}"
        more = " and block the broadcaster" if self._blocks else "; its publisher may come back"
        with Vertical():
            yield Static(Text(printable(f"{what}{more}?")))
            yield Input(placeholder="Why, for the record", max_length=512, id="reason")
            if self._blocks:
                yield Input("24h", placeholder="90m, 24h, 30d or permanent", id="block")
            yield Static(Text("Enter cuts. Escape leaves it on air.", style="dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        reason = self.query_one("#reason", Input)
        if not reason.value.strip():
            reason.focus()
            return
        self.dismiss((reason.value.strip(), self.query_one("#block", Input).value if self._blocks else ""))


class TopScreen(App[None]):
    """A table that keeps itself up to date."""

    TITLE = "edge-gate top"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "cut(False)", "Cut"),
        Binding("b", "cut(True)", "Cut and block"),
        Binding("slash", "filter", "Filter"),
        Binding("q", "quit", "Quit"),
    ]
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 1; padding: 0 1; }
    #filter { display: none; height: 3; }
    #filter.asked { display: block; }
    DataTable { height: 1fr; }
    """

    def __init__(self, gate: str, listen: Listen, cut: Cut) -> None:
        super().__init__()
        self._gate = gate
        self._listen = listen
        self._cut = cut
        self._lock = threading.Lock()
        self._live = LiveTable()
        self._shown: dict[str, LiveRow] = {}
        self._problem = ""
        self._ended = threading.Event()
        self._call: Any = None

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Input(placeholder="application, name or broadcaster", id="filter")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns(*_COLUMNS)
        table.focus()
        threading.Thread(target=self._follow, daemon=True).start()
        self.set_interval(_EVERY_S, self._show)

    def on_unmount(self) -> None:
        self._ended.set()
        if self._call is not None:
            self._call.cancel()

    def action_filter(self) -> None:
        asked = self.query_one("#filter", Input)
        asked.add_class("asked")
        asked.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if not event.value:
            event.input.remove_class("asked")
        self.query_one(DataTable).focus()
        self._show()

    def action_cut(self, blocks: bool) -> None:
        table = self.query_one(DataTable)
        if not table.row_count:
            return
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value or ""
        if (row := self._shown.get(key)) is None:
            return

        def answered(answer: tuple[str, str] | None) -> None:
            if answer is not None:
                self.run_worker(lambda: self._do_cut(key, *answer), thread=True)

        self.push_screen(CutQuestion(row, blocks=blocks), answered)

    def _do_cut(self, stream_id: str, reason: str, blocked_for: str) -> None:
        try:
            done, severity = self._cut(stream_id, reason, blocked_for), "information"
        except GateError as error:
            done, severity = str(error), "error"
        self.call_from_thread(self.notify, printable(done), severity=severity, markup=False)

    def _follow(self) -> None:
        """Listens to the gate, and connects again after a break. In a thread of its own."""
        request, failures = operator_pb2.WatchStreamsRequest(), 0

        def take(change: operator_pb2.StreamChange) -> None:
            nonlocal failures
            failures = 0
            with self._lock:
                self._problem = ""
                self._live.take(change)

        def opened(call: Any) -> None:
            self._call = call

        while not self._ended.is_set():
            try:
                self._listen(request, take, opened)
            except GateError as error:
                failures += 1
                with self._lock:
                    self._problem = str(error)
            self._ended.wait(backoff_ms(max(failures, 1), _FIRST_MS, _MOST_MS) / 1000)

    def _show(self) -> None:
        wanted = self.query_one("#filter", Input).value
        with self._lock:
            rows = list(self._live.rows(wanted))
            count, problem = len(self._live), self._problem
        now = SystemClock().wall_ms()
        head = Text.assemble((self.TITLE, "bold"), f"  {self._gate}  {count} live")
        if wanted:
            head.append(f", {len(rows)} with {printable(wanted)!r}")
        if problem:
            head.append(f"  {printable(problem)}; connecting again", style="bold red")
        self.query_one("#head", Static).update(head)
        self._fill(rows, now)

    def _fill(self, rows: list[LiveRow], now_ms: int) -> None:
        """Shows the rows in their order. The cursor stays on its stream."""
        table = self.query_one(DataTable)
        under = ""
        if table.row_count:
            under = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value or ""
        self._shown = {row.stream.stream_id: row for row in rows}
        table.clear()
        for row in rows:
            table.add_row(*_cells(row, now_ms), key=row.stream.stream_id)
        if under in self._shown:
            table.move_cursor(row=table.get_row_index(under), animate=False)


def _cells(row: LiveRow, now_ms: int) -> tuple[Text, ...]:
    one = row.stream
    seconds = max(0, now_ms - one.started_wall_ms) // 1000
    alert = one.tier == gate_pb2.TIER_KIND_ALERT
    return (
        Text(row.state, _STYLES.get(row.state, "")),
        Text(f"{one.score:.2f}", justify="right"),
        Text(row.sparkline),
        Text("alert" if alert else "calm", "yellow" if alert else ""),
        Text(f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}", justify="right"),
        Text(str(one.samples), justify="right"),
        Text(str(one.shed), "red" if one.shed else "", justify="right"),
        Text(printable(one.broadcaster)),
        Text(printable(f"{one.app}/{one.name}")),
    )
