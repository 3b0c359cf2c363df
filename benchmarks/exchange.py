"""An exchange of a million hashes, fetched in one clean run and in runs that are killed at random.

    python -m benchmarks exchange --entries 1000000 --kills 20 --json

The server speaks StopNCII's API over a socket. Both folders must hold the same in the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from edge.exchange.definition import make_definition, write_definition
from edge.exchange.filling import banks_of
from edge.match import Bank, BankPurpose
from edge.policy import DEFAULT_EXCHANGES

_PAGE = 1000
_FIRST_S = 1_700_000_000
_TABLE = json.dumps([rule.model_dump(mode="json", exclude_unset=True) for rule in DEFAULT_EXCHANGES])


def serve(entries: int, port: Any) -> None:
    """Serves the feed. Every tenth hash of the first half is withdrawn in the second."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            since = max(int(query["startTimestamp"]) - _FIRST_S, 0)
            start = since + int(query.get("nextPageToken") or 0)
            numbers = range(start, min(start + _PAGE, entries))
            more = numbers.stop < entries
            content = json.dumps(
                {
                    "count": len(numbers),
                    "nextPageToken": str(numbers.stop - since) if more else None,
                    "nextSetTimestamp": _FIRST_S + max(numbers.stop - 1, 0),
                    "hasMoreRecords": more,
                    "hashRecords": [record(number, entries) for number in numbers],
                }
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Killed clients break their connections."""

    server = Server(("127.0.0.1", 0), Handler)
    port.send(server.server_address[1])
    server.serve_forever()


def record(number: int, entries: int) -> dict[str, Any]:
    half = entries // 2
    gone = number >= half and number % 10 == 0
    named = number - half if gone else number
    said = "NotBlocked" if named % 100 == 0 else "Blocked"
    return {
        "lastModtimestamp": _FIRST_S + number,
        "signalType": "ImagePDQ",
        "hashValue": hashlib.sha256(str(named).encode()).hexdigest(),
        "hashStatus": "Withdrawn" if gone else "Active",
        "caseNumbers": {},
        "CSPFeedbacks": [{"feedbackValue": said, "tags": [], "source": "a"}],
    }


def prepare(folder: Path, url: str) -> Path:
    secret = folder / "secret"
    secret.write_text("fetch-key,subscription")
    secret.chmod(0o600)
    banks = folder / "banks"
    options = {"url": url}
    definition = make_definition(
        name="partner", kind="stopncii", options=options, credentials=secret, purpose=BankPurpose.VIOLATING
    )
    write_definition(banks, definition)
    return banks / "partner"


def run(path: Path, kill_after_s: float | None) -> tuple[bool, float]:
    """One run in a process. Returns whether it ended well, and its most memory in megabytes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edge.exchange.process", str(path), "3600000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(_TABLE)
    process.stdin.close()
    most_kb, end = 0, None if kill_after_s is None else time.monotonic() + kill_after_s
    while process.poll() is None:
        most_kb = max(most_kb, high_water_kb(process.pid))
        if end is not None and time.monotonic() > end:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return False, most_kb / 1024
        time.sleep(0.05)
    return process.returncode == 0, most_kb / 1024


def high_water_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def content(folder: Path) -> dict[str, str]:
    """A digest of the entries of each bank."""
    found = {}
    for path in banks_of(folder, "partner"):
        ids = sorted(entry.id for entry, _ in Bank.open(path).entries())
        found[path.stem] = f"{len(ids)} {hashlib.sha256(''.join(ids).encode()).hexdigest()[:16]}"
    return found


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks exchange", description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(given.entries, there), daemon=True
    )
    server.start()
    url, chance = f"http://127.0.0.1:{here.recv()}", random.Random(given.seed)
    try:
        with tempfile.TemporaryDirectory() as clean, tempfile.TemporaryDirectory() as killed:
            path = prepare(Path(clean), url)
            began = time.monotonic()
            whole, clean_mb = run(path, None)
            clean_s = time.monotonic() - began
            path = prepare(Path(killed), url)
            began, most_mb, kills, done = time.monotonic(), 0.0, 0, False
            while not done:
                limit = (
                    None if kills >= given.kills else chance.uniform(0.0, 2.5 * clean_s / max(given.kills, 1))
                )
                done, used_mb = run(path, limit)
                kills += not done
                most_mb = max(most_mb, used_mb)
            killed_s = time.monotonic() - began
            same = whole and content(Path(clean) / "banks") == content(Path(killed) / "banks")
            found = {
                "entries": given.entries,
                "kills": kills,
                "equal": same,
                "clean_s": round(clean_s, 1),
                "killed_s": round(killed_s, 1),
                "most_mb": round(max(clean_mb, most_mb)),
                "banks": content(Path(clean) / "banks"),
            }
    finally:
        server.kill()
    print(json.dumps(found) if given.json else "\n".join(f"{name}: {value}" for name, value in found.items()))
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
