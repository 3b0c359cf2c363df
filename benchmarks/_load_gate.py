"""Resources of a running gate, measured from outside: CPU, memory, and what may leak."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
_GAUGES = {
    "edge_frames_decoded": "decoded",
    "edge_samples_judged": "judged",
}


def processes_of(pid: int) -> list[int]:
    """Returns the gate's process and all its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found = [pid]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def workers_of(pid: int) -> list[int]:
    """Returns the worker processes, oldest first."""
    return [child for child in sorted(processes_of(pid)) if b"edge.workers" in _command(child)]


def pullers_of(pid: int) -> list[int]:
    """Returns the template of the puller processes and all that it has forked."""
    return [child for child in processes_of(pid) if b"edge.pullers.template" in _command(child)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def cpu_s(pid: int, *, ended_children: bool = False) -> float:
    """Returns the CPU seconds that a process has used; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11 : 15 if ended_children else 13])) / TICKS


def resident_mb(pid: int) -> float:
    """Returns resident memory in MiB, mapped files included."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20
    except OSError:
        return 0.0


def proportional_mb(pid: int) -> float:
    """Returns resident memory in MiB. Of a page that processes share, each counts its part."""
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


@dataclass(frozen=True, slots=True)
class Holdings:
    """Resources of a gate that a leak would grow."""

    processes: int
    threads: int
    files: int
    sockets: int
    resident_mb: float

    def as_json(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in self.__slots__}


def holdings(pid: int) -> Holdings:
    """Returns the resources of the gate's process and its workers together."""
    processes = processes_of(pid)
    threads = files = sockets = 0
    for process in processes:
        try:
            threads += len(list(Path(f"/proc/{process}/task").iterdir()))
            for entry in Path(f"/proc/{process}/fd").iterdir():
                files += 1
                sockets += os.readlink(entry).startswith("socket:")
        except OSError:
            continue
    resident = round(sum(map(resident_mb, processes)), 1)
    return Holdings(len(processes), threads, files, sockets, resident)


@dataclass(frozen=True, slots=True)
class Usage:
    """Running totals at one moment."""

    supervisor_cpu_s: float
    worker_cpu_s: dict[int, float]
    puller_cpu_s: float
    puller_mb: float
    resident_mb: float
    decoded: int
    judged: int

    @property
    def cpu_s(self) -> float:
        return self.supervisor_cpu_s + sum(self.worker_cpu_s.values()) + self.puller_cpu_s

    @staticmethod
    def of(pid: int, http: str) -> Usage:
        workers, pullers = workers_of(pid), pullers_of(pid)
        counted = gauges(http)
        puller_mb = sum(map(proportional_mb, pullers))
        return Usage(
            cpu_s(pid),
            {worker: cpu_s(worker) for worker in workers},
            sum(cpu_s(puller, ended_children=True) for puller in pullers),
            puller_mb,
            sum(map(resident_mb, (pid, *workers))) + puller_mb,
            counted["decoded"],
            counted["judged"],
        )


def gauges(http: str) -> dict[str, int]:
    """Returns frames decoded and samples judged so far, as the gate counts them."""
    text = httpx.get(f"http://{http}/metrics", trust_env=False).text
    found = dict(re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE))
    return {word: int(float(found[name])) for name, word in _GAUGES.items()}


def worker_loads(http: str) -> list[dict[str, Any]]:
    """Returns each worker's load as the gate last measured it."""
    text = httpx.get(f"http://{http}/metrics", trust_env=False).text
    loads: dict[str, dict[str, Any]] = {}
    for name, worker, value in re.findall(
        r'^edge_worker_(busy|streams|resident_bytes)\{worker="(\d+)"\} (\S+)$', text, re.MULTILINE
    ):
        load = loads.setdefault(worker, {"worker": int(worker)})
        if name == "resident_bytes":
            load["own_resident_mb"] = round(float(value) / 2**20, 1)
        else:
            load[name] = round(float(value), 3) if name == "busy" else int(float(value))
    return [loads[worker] for worker in sorted(loads, key=int)]
