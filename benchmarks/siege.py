"""What strangers can do to others: floods beside innocent streams and a violator.

    python -m benchmarks siege --json
    python -m benchmarks siege --flood oversized --flood fast_watch
    python -m benchmarks siege --code ../before --json

Each flood has a round of its own, with a fresh gate and a fresh reference ingest. Innocent streams are
watched over Watch, in the calm tier, without opportunistic samples. Innocent callers ask for admission and
publish over RTMP. A violator publishes known footage. All of it is observed twice, without the flood and
with it.

Goals: innocent samples kept 95 %, innocent Admits and publishes let in 100 %, time to cut at most twice
that without the flood. Exits with 1 when one is missed.

A flood comes from another machine, and this benchmark has one machine. Floods, innocent streams and gate
share its cores. So a flood runs at a lower priority (``--niceness``, 19), and the processor time of each is
reported, in cores. Look at what the flood did: beside other work it may get no time at that priority, and
then nothing is shown. ``--flood burning`` is the control: as many processes as cores burn all the time that
they get, at the same priority, and call nobody. What it costs in samples is theft of processor time. Innocent
frames are small (320 × 180, 10 a second), so that two cores can judge 20 streams and are not full.

Run it with nothing else: where the innocent streams lose samples or admissions even without the flood, the
round says that the machine is too busy. A worker measures how busy it is by the clock. Other programs on its
core make it look full (``busiest_worker`` over 0.9), and then the gate refuses whoever comes, as CAPACITY.

``--code`` measures the gate and ingest of another checkout with the floods of this one. It must know the
calls Admit and Watch and ``edge-gate ingest --json``, and run with the packages of this environment.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks._media import Loop, Unit, load_loop
from benchmarks._siege_floods import FLOODS
from benchmarks._siege_round import Media, Round, environment, run_round
from edge.cli.demo_footage import demo_footage
from edge.domain import Codec
from edge.errors import ConfigError, GateError
from edge.ingest.test_footage import Part, write_programme
from edge.stream.synthetic import EncodedMedia, encode

GOALS: Final = {"samples_kept": 0.95, "admits_answered": 1.0, "publishes_let_in": 1.0}
"""Least shares."""
CUT_RATIO: Final = 2.0
_LATE_S: Final = 0.5
_STOPPED: Final = 130
"""Exit code after Ctrl-C. What was measured until then is printed."""
CALM_MS, VIOLATING_MS = 2_400, 7_000
_INNOCENT_S: Final = 8.0
_MAKE_BANK: Final = """
import sys
from pathlib import Path
from edge.match import Bank, BankInfo, fingerprint
bank = Bank.create(Path(sys.argv[2]), BankInfo(label="known_footage", runaway_streams=0))
add = getattr(bank, "add_footage", None) or bank.add  # its name before
add([fingerprint(Path(sys.argv[1]), entry_id="known", added_ms=0)])
"""


def prepare(folder: Path, code: Path) -> Media:
    """Encodes what is sent. Raises GateError without footage, and when the code makes no bank."""
    footage = demo_footage(None, None)
    assert footage.known is not None
    calm, violation = footage.calm[0].path, footage.violating[0]
    write_programme((Part(calm, 8_000),), folder / "calm.flv")
    write_programme(
        (Part(calm, CALM_MS), Part(violation.path, VIOLATING_MS, violation.start_ms)),
        folder / "violating.flv",
        keyframe_at_parts=False,
    )
    made = subprocess.run(
        [sys.executable, "-c", _MAKE_BANK, str(footage.known), str(folder / "banks" / "known")],
        env={**os.environ, **environment(code)},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise ConfigError(f"{code}: it makes no bank: {made.stderr[-2000:]}")
    return Media(
        load_loop(calm, width=320, height=180, fps=10, seconds=_INNOCENT_S),
        {"oversized": _oversized(), "costly": _costly()},
        folder / "calm.flv",
        folder / "violating.flv",
        CALM_MS,
        folder / "banks",
    )


def _oversized() -> Loop:
    """8192 × 8192, ten frames a second, at about half a megabit a second."""
    return _loop(encode(frames=8, fps=10, gop=8, size=(8192, 8192), options={"tune": "zerolatency"}), 100)


def _costly() -> Loop:
    """The largest frame that is allowed, ten a second, all of them keyframes full of detail: 170 Mbit/s."""
    random = np.random.default_rng(1)

    def picture(index: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        return random.integers(96, 160, (height, width), dtype=np.uint8)

    options = {"tune": "zerolatency", "qp": "34"}
    media = encode(frames=6, fps=10, gop=1, size=(2304, 4096), picture=picture, options=options)
    return _loop(media, 100)


def _loop(media: EncodedMedia, every_ms: int) -> Loop:
    units = tuple(
        Unit(index * every_ms, index * every_ms, unit.keyframe, unit.data)
        for index, unit in enumerate(media.units)
    )
    return Loop(Codec(media.codec).value, media.extradata, units, len(units) * every_ms)


def too_busy(figures: dict[str, Any]) -> bool:
    """Whether the machine could not even serve the innocent without the flood, or the benchmark was late."""
    starved = figures["samples_without"] < 0.9 * figures["samples_due"]
    return bool(starved or figures["admits_refused_without"] or figures["late_s"] > _LATE_S)


def missed(figures: dict[str, Any]) -> list[str]:
    """Returns the goals that a round has missed."""
    wrong = [name for name, least in GOALS.items() if (figures[name] or 0.0) < least]
    ratio = figures["cut_ratio"]
    return wrong if ratio is not None and ratio <= CUT_RATIO else [*wrong, "cut_ratio"]


def _table(rounds: dict[str, dict[str, Any]]) -> Table:
    table = Table("flood", "samples kept", "Admits", "publishes", "health", "time to cut", "goals")
    for name, figures in rounds.items():
        if "error" in figures:
            table.add_row(name, figures["error"])
            continue
        table.add_row(
            name,
            f"{figures['samples_kept']:.0%} of {figures['samples_without']}",
            *(_percent(figures[key]) for key in ("admits_answered", "publishes_let_in", "health_answered")),
            f"{_ms(figures['cut_ms_without'])} ▶ {_ms(figures['cut_ms'])}",
            "machine too busy" if figures["too_busy"] else ", ".join(figures["missed"]) or "met",
        )
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _ms(ms: float | None) -> str:
    return "not cut" if ms is None else f"{ms / 1000:.2f} s"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks siege",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--flood", choices=list(FLOODS), action="append", help="only this one (all)")
    parser.add_argument("--streams", type=int, default=20, help="innocent streams (20)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each window (10)")
    parser.add_argument("--niceness", type=int, default=19, help="of the flood's process (19)")
    parser.add_argument("--code", type=Path, help="checkout whose gate is measured (this one)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    if given.streams < 1 or given.seconds < 4:
        parser.error("--streams is at least 1, --seconds at least 4")
    if not 0 <= given.niceness <= 19:
        parser.error("--niceness is between 0 and 19")
    code = (given.code or Path(__file__).parents[1]).resolve()
    if not (code / "edge" / "cli").is_dir():
        parser.error(f"--code: {code} has no edge/cli")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it logs each connection that is closed on it
    console = Console(stderr=True)
    rounds: dict[str, dict[str, Any]] = {}
    stopped = False
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=console, disable=not console.is_terminal, transient=True) as progress,
    ):
        floods = given.flood or list(FLOODS)
        task = progress.add_task("encoding", total=len(floods))

        def say(what: str) -> None:
            progress.update(task, description=what)

        try:
            media = prepare(Path(folder), code)
            for flood in floods:
                rounds[flood] = _round(
                    Round(flood, media, given.streams, given.seconds, code, given.niceness), say
                )
                progress.advance(task)
                if not console.is_terminal:
                    console.print(f"{flood}: {rounds[flood]}", markup=False, soft_wrap=True)
        except KeyboardInterrupt:
            stopped = True
        except GateError as error:
            print(error, file=sys.stderr)
            return 2
    if given.json:
        print(json.dumps({"streams": given.streams, "seconds": given.seconds, "floods": rounds}))
    else:
        Console().print(_table(rounds))
    if stopped:
        return _STOPPED
    return 1 if any(figures["missed"] for figures in rounds.values()) else 0


def _round(this: Round, say: Callable[[str], None]) -> dict[str, Any]:
    try:
        found = run_round(this, lambda what: say(f"{this.flood}: {what}"))
    except GateError as error:
        return {"error": str(error), "missed": ["error"]}
    return {**found, "missed": missed(found), "too_busy": too_busy(found)}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
