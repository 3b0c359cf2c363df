"""What contains a process, and what happens where the kernel lacks it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.containment import (
    ContainmentMode,
    Measure,
    contain,
    contained_environment,
    lacking,
    mode_of_environment,
)
from edge.containment.double import KernelDouble
from edge.containment.role import ProcessRole, fingerprint, puller, replay, tuning, worker
from edge.containment.syscalls import rules
from edge.errors import ConfigError, NotContained

PULLER = puller("rtmp://ingest.example/live/a")
roles = st.sampled_from(
    [
        worker([Path("/m")], [Path("/b")], [Path("/e")], 4096),
        PULLER,
        fingerprint(Path("/f")),
        replay([Path("/m")], [], [Path("/f")]),
        tuning([Path("/m")], [Path("/f")]),
    ]
)
measures = st.sets(st.sampled_from(Measure))


@given(roles, measures)
def test_what_there_is_comes_into_force_and_the_rest_is_said(role: ProcessRole, lacks: set[Measure]) -> None:
    kernel = KernelDouble(lacks)
    contained = contain(role, ContainmentMode.TRY, kernel)
    assert list(contained.in_force) == kernel.in_force == [m for m in role.measures if m not in lacks]
    assert contained.missing.keys() == set(role.measures) & lacks
    assert all(f"no {measure}" in why for measure, why in contained.missing.items())


@given(roles, measures)
def test_require_refuses_and_changes_nothing_where_a_measure_is_missing(
    role: ProcessRole, lacks: set[Measure]
) -> None:
    kernel = KernelDouble(lacks)
    needed = set(role.measures) & lacks
    if not needed:
        assert not contain(role, ContainmentMode.REQUIRE, kernel).missing
        return
    with pytest.raises(NotContained) as refused:
        contain(role, ContainmentMode.REQUIRE, kernel)
    assert all(f"{measure}: this kernel has no" in str(refused.value) for measure in needed)
    assert kernel.in_force == []


def test_off_contains_nothing_and_says_so() -> None:
    kernel = KernelDouble()
    contained = contain(PULLER, ContainmentMode.OFF, kernel)
    assert kernel.in_force == []
    assert contained.missing.keys() == set(PULLER.measures)


def test_the_last_measure_is_the_one_that_forbids_the_others() -> None:
    assert PULLER.measures[-1] is Measure.SECCOMP
    assert set(PULLER.measures) == set(Measure)


def test_a_kernel_that_refuses_late_is_refused_too() -> None:
    class Late(KernelDouble):
        def put_in_force(self, measure: Measure, role: ProcessRole) -> None:
            if measure is Measure.LANDLOCK:
                raise OSError(errno.EBUSY, "threads were started before it: 2")
            super().put_in_force(measure, role)

    missing = contain(PULLER, ContainmentMode.TRY, Late()).missing
    assert missing == {Measure.LANDLOCK: "threads were started before it: 2"}
    with pytest.raises(NotContained, match="before it: 2"):
        contain(PULLER, ContainmentMode.REQUIRE, Late())


def test_a_process_with_threads_does_not_call_itself_contained() -> None:
    """A process is as free as its freest thread, and Landlock holds for one."""
    if lacking():
        pytest.skip("this kernel lacks a measure")
    code = (
        "import threading; from pathlib import Path\n"
        "from edge.containment import ContainmentMode, contain\n"
        "from edge.containment.role import fingerprint\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "print(dict(contain(fingerprint(Path('/f')), ContainmentMode.TRY).missing))\n"
        "contain(fingerprint(Path('/f')), ContainmentMode.REQUIRE)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**contained_environment(), "PYTHONPATH": os.getcwd()},
    )
    assert "threads were started before it: 1" in result.stdout
    assert result.returncode != 0


def test_no_library_starts_a_thread_in_the_environment_of_contained_processes() -> None:
    """numpy's and onnxruntime's threads would be outside of Landlock."""
    code = (
        "import os, edge.workers.process, onnxruntime, edge.tuning.scoring\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    environment = {**contained_environment(), "PYTHONPATH": os.getcwd()}
    environment.pop("CI", None)  # onnxruntime takes it for a reason to start none
    assert subprocess.check_output([sys.executable, "-c", code], env=environment, timeout=60) == b"1\n"


@given(roles, st.integers(1, 2**22))
def test_no_role_may_start_a_process_or_reach_another(role: ProcessRole, pid: int) -> None:
    allowed = [rule for rule in rules(role, pid) if rule.allow]
    names = {rule.call for rule in allowed if not rule.conditions}
    assert not names & {"execve", "execveat", "fork", "vfork", "clone", "clone3", "ptrace", "kill", "mmap"}
    assert not names & {"socket", "tgkill", "setpriority", "ioctl", "fcntl", "prctl", "prlimit64", "mprotect"}
    assert {rule.conditions[0].value for rule in allowed if rule.call == "tgkill"} == {pid}
    if not role.network:
        assert not {rule.call for rule in allowed} & {"socket", "connect", "bind", "sendmsg"}


@pytest.mark.parametrize(
    ("url", "ports"),
    [
        ("rtmps://a.example/live/x", {53, 443}),
        ("https://a.example:8443/x.flv", {53, 8443}),
        ("rtmp://192.0.2.1/live/x", {1935}),
        ("http://[2001:db8::1]:8080/x", {8080}),
    ],
)
def test_a_puller_reaches_its_own_port_and_name_servers_where_it_has_a_name(
    url: str, ports: set[int]
) -> None:
    role = puller(url)
    assert role.tcp_ports == frozenset(ports)
    assert role.datagrams == (53 in ports)
    files = {path.name for path in role.read}
    assert ("resolv.conf" in files) == (53 in ports)
    assert ("openssl.cnf" in files) == url.startswith(("https", "rtmps"))


def test_commands_take_the_mode_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGE_CONTAINMENT", raising=False)
    assert mode_of_environment() is ContainmentMode.TRY
    monkeypatch.setenv("EDGE_CONTAINMENT", "require")
    assert mode_of_environment() is ContainmentMode.REQUIRE
    monkeypatch.setenv("EDGE_CONTAINMENT", "sometimes")
    with pytest.raises(ConfigError, match="off, try, require"):
        mode_of_environment()
