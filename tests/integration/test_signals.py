"""Signals end commands with all that they have started, and SIGHUP has a gate read its files again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import grpc
import pytest
import trustme

from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.gate_process import GateProcess
from tests.integration.calls import TIMEOUT_S, admit, until, write_footage
from tests.running_gate import metrics

LAPS = 600


@pytest.fixture(scope="module")
def long_footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty minutes of the same four seconds: to judge it takes longer than a test waits."""
    folder = tmp_path_factory.mktemp("long")
    write_footage(folder / "short.mp4", seconds=4)
    with av.open(str(folder / "short.mp4")) as source, av.open(str(folder / "long.mkv"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in source.demux() if p.dts is not None]
        base = source.streams.video[0].time_base
        assert base is not None
        for lap in range(LAPS):
            shift = round(4 * lap / base)
            for data, pts, dts, keyframe in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = stream, base, keyframe
                packet.pts, packet.dts = (pts or 0) + shift, (dts or 0) + shift
                out.mux(packet)
    return folder / "long.mkv"


def labels(footage: Path, copies: int) -> Path:
    """A table of labelled footage."""
    rows = [f"{footage},{'fight' if number % 2 else 'calm'}" for number in range(copies)]
    path = footage.with_name("labels.csv")
    path.write_text("\n".join(["path,label", *rows]) + "\n")
    return path


def judging(parent: int) -> list[int]:
    """Processes that judge files for a command: those that have used a second of processor time."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            values = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        used_s = (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")
        if int(values[1]) == parent and b"spawn_main" in (entry / "cmdline").read_bytes() and used_s > 1:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    ("command", "end", "code"),
    [
        ("replay", signal.SIGTERM, 143),
        ("replay", signal.SIGKILL, -9),
        ("tune", signal.SIGTERM, 143),
        ("model evaluate", signal.SIGTERM, 143),
    ],
)
def test_what_a_command_has_started_ends_with_it(
    command: str, end: signal.Signals, code: int, long_footage: Path, tmp_path: Path
) -> None:
    files = [str(long_footage)] if command == "replay" else [str(labels(long_footage, 2))]
    with subprocess.Popen(
        [sys.executable, "-m", "edge.cli", *command.split(), *files, "--jobs", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        try:
            [child] = until(lambda: judging(process.pid) or process.poll() or [], bool)  # type: ignore[misc]
            process.send_signal(end)
            assert process.wait(TIMEOUT_S) == code
            until(lambda: Path(f"/proc/{child}").exists(), lambda there: not there)
            assert process.stderr is not None
            assert b"Traceback" not in process.stderr.read()
        finally:
            process.kill()


def said(gate: GateProcess, event: str) -> list[dict[str, object]]:
    lines = (json.loads(line) for line in gate.log().splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == event]


def write_certificate(folder: Path, authority: trustme.CA) -> None:
    made = authority.issue_cert("localhost")
    (folder / "server.pem").write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    made.private_key_pem.write_to_path(str(folder / "server.key"))


def test_sighup_reloads_settings_tokens_and_certificates_each_whole_or_not_at_all(tmp_path: Path) -> None:
    before, after = trustme.CA(), trustme.CA()
    write_certificate(tmp_path, before)
    fixed = f'[grpc]\ntls_cert = "{tmp_path}/server.pem"\ntls_key = "{tmp_path}/server.key"\n'
    fixed += "[workers]\ncount = 1\nspare = 0\n"
    with GateProcess(tmp_path / "data", config=fixed + "[limits]\nmax_broadcaster_chars = 4\n") as gate:
        config, reloads = tmp_path / "data" / "edge.toml", 0

        def reload() -> None:
            nonlocal reloads
            reloads += 3
            os.kill(gate.pid, signal.SIGHUP)
            both = ("reloaded", "not reloaded, what was in force stays")
            until(lambda: sum(len(said(gate, event)) for event in both), lambda count: count == reloads)

        def channel(trusted: trustme.CA) -> grpc.Channel:
            credentials = grpc.ssl_channel_credentials(trusted.cert_pem.bytes())
            return grpc.secure_channel(f"localhost:{gate.grpc.rpartition(':')[2]}", credentials)

        with channel(before) as open_before:
            stub = gate_pb2_grpc.GateStub(open_before)
            assert admit(stub, "anna").allowed
            with pytest.raises(grpc.RpcError, match="broadcaster"):
                admit(stub, "berta")
            wrong = "[limits]\nmax_broadcaster_chars = 5\njob_ms = 1\n"
            config.write_text('log_level = "debug"\n' + fixed + wrong)
            reload()
            [refused] = said(gate, "not reloaded, what was in force stays")
            assert "limits.job_ms" in str(refused["error"])
            assert 'edge_alarms{part="settings",reason="refused"} 1.0' in metrics(gate)
            with pytest.raises(grpc.RpcError, match="broadcaster"):
                admit(stub, "berta")
            config.write_text(
                'log_level = "debug"\ngate_name = "two"\n' + fixed + "[limits]\nmax_broadcaster_chars = 5\n"
            )
            write_certificate(tmp_path, after)
            gate.tokens.write_text("nonsense\n")
            reload()
            assert said(gate, "reloaded")[-2]["changed"] == ["limits.max_broadcaster_chars", "log_level"]
            [restart] = said(gate, "settings have changed that need a restart")
            assert restart["settings"] == ["gate_name"]
            assert 'edge_alarms{part="settings",reason="refused"} 0.0' in metrics(gate)
            assert 'edge_alarms{part="tokens",reason="refused"} 1.0' in metrics(gate)
            # Who is connected stays so, and who connects gets the new certificate.
            assert admit(stub, "berta").allowed
            with channel(after) as opened:
                assert gate_pb2_grpc.GateStub(opened).Admit(
                    gate_pb2.AdmitRequest(server="test", app="live", name="x"), timeout=TIMEOUT_S
                )
            (tmp_path / "server.key").write_text("no key")
            reload()
            assert "server.key" in str(said(gate, "not reloaded, what was in force stays")[-1]["error"])
            with channel(after) as opened:
                assert gate_pb2_grpc.GateStub(opened).Admit(
                    gate_pb2.AdmitRequest(server="test", app="live", name="x"), timeout=TIMEOUT_S
                )


@pytest.mark.parametrize("command", ["serve", "ingest"])
def test_sighup_before_the_files_are_read_ends_nothing(command: str) -> None:
    script = """
import os, signal, sys
import edge.cli, edge.cli.app
edge.cli.app.app = lambda: os.kill(os.getpid(), signal.SIGHUP)
edge.cli.main()
"""
    assert subprocess.run([sys.executable, "-c", script, command], timeout=TIMEOUT_S).returncode == 0


def test_sighup_has_the_ingest_read_its_secret_again(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s" * 40)
    secret.chmod(0o600)
    command = [sys.executable, "-m", "edge.cli", "ingest", "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen([*command, "--token-secret", str(secret)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None

        def event() -> str:
            assert process.stdout is not None
            return str(json.loads(process.stdout.readline())["event"])

        try:
            assert event() == "ready"
            for content, answer in (("t" * 40, "reloaded"), ("short", "not_reloaded")):
                secret.write_text(content)
                process.send_signal(signal.SIGHUP)
                assert event() == answer
            process.send_signal(signal.SIGTERM)
            assert event() == "stopped"
            assert process.wait(TIMEOUT_S) == 0
        finally:
            process.kill()
