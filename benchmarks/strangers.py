"""What one stranger can do to the gRPC port of a gate that others can reach.

    python -m benchmarks strangers --json
    python -m benchmarks strangers --flood resets --code ../before --json

The gate listens beyond this machine with TLS and wants a token. Innocent callers on this machine ask for
admission, ten times a second, without the flood and with it. The stranger has another address of this machine
and no token. ``resets`` begins calls and resets them at once, ``connections`` connects and hangs up,
``handshakes`` begins TLS handshakes and hangs up.

Goal: every Admit is answered within two seconds, after which the reference ingest takes the gate to be down.
Exits with 1 when one was not. The machine is shared, so compare codes in turn. The flood runs at a lower
priority (``--niceness``). Look at what it did: beside other work it may get no time.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import multiprocessing
import os
import socket
import ssl
import struct
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Final

import grpc
import psutil
import trustme

from benchmarks._percentiles import percentiles
from benchmarks._siege_round import environment
from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.errors import ConfigError
from edge.gate_process import GateProcess

_TOKEN: Final = "a-token-of-an-ingest-server"
_ANSWER_S: Final = 2.0
_EVERY_S: Final = 0.1
_CALM_S: Final = 4.0
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _RESET, _SETTINGS = 1, 3, 4
_FIELDS: Final = {
    ":method": "POST",
    ":scheme": "https",
    ":path": "/edge.gate.v1.Gate/Admit",
    ":authority": "gate",
    "te": "trailers",
    "content-type": "application/grpc",
}
_BATCH: Final = 200

Connect = Callable[[], socket.socket]


def _frame(kind: int, body: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def _literal(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def resets(connect: Connect, done: Synchronized[int]) -> None:
    """Calls on one connection, each of them reset at once."""
    block = b"".join(b"\0" + _literal(name) + _literal(value) for name, value in _FIELDS.items())
    cancel = struct.pack(">I", 8)
    with _secured(connect()) as connection:
        connection.sendall(_PREFACE + _frame(_SETTINGS))
        for first in range(1, 1 << 30, 2 * _BATCH):
            streams = range(first, first + 2 * _BATCH, 2)
            connection.sendall(
                b"".join(
                    _frame(_HEADERS, block, 4, each) + _frame(_RESET, cancel, 0, each) for each in streams
                )
            )
            done.value += _BATCH


def connections(connect: Connect, done: Synchronized[int]) -> None:
    """One connection, without a word of TLS."""
    with connect() as connection:
        connection.sendall(b"P")
        done.value += 1


def handshakes(connect: Connect, done: Synchronized[int]) -> None:
    """One TLS handshake, as far as the server's part of it."""
    hello = _hello()
    with connect() as connection:
        connection.sendall(hello)
        connection.recv(4096)
        done.value += 1


FLOODS: Final[Mapping[str, Callable[[Connect, Synchronized[int]], None]]] = {
    "resets": resets,
    "connections": connections,
    "handshakes": handshakes,
}


@functools.cache
def _hello() -> bytes:
    """What a client says first."""
    out = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        _trusting().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    return out.read()


@functools.cache
def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def _secured(connection: socket.socket) -> ssl.SSLSocket:
    return _trusting().wrap_socket(connection, server_hostname="localhost")


def _attack(flood: str, place: tuple[str, int], niceness: int, done: Synchronized[int]) -> None:
    os.nice(niceness)
    while True:
        with suppress(OSError):
            FLOODS[flood](lambda: socket.create_connection(place, 2), done)


def _until_begun(done: Synchronized[int]) -> None:
    while not done.value:
        time.sleep(_EVERY_S)


def another_address() -> str:
    """An IPv4 address of this machine that is not the loopback's. Raises ConfigError where there is none."""
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family is socket.AF_INET and not each.address.startswith("127."):
                return str(each.address)
    raise ConfigError("this machine has no address but its loopback's")


async def ask(channel: grpc.aio.Channel, seconds: float) -> list[float | None]:
    """Admits at a steady pace. Returns how long each took in milliseconds, None without an answer in time."""
    stub: Any = gate_pb2_grpc.GateStub(channel)
    token = (("authorization", f"Bearer {_TOKEN}"),)

    async def one(number: int) -> float | None:
        name, began = f"innocent{number}", time.monotonic()
        asked = gate_pb2.AdmitRequest(server="strangers", connection=name, app="live", name=name)
        try:
            answer = await stub.Admit(asked, timeout=_ANSWER_S, metadata=token)
        except grpc.aio.AioRpcError:
            return None
        took_ms = 1000 * (time.monotonic() - began)
        over = {"stream_id": answer.stream_id, "admission_secret": answer.admission_secret}
        with suppress(grpc.aio.AioRpcError):
            await stub.Detach(
                gate_pb2.DetachRequest(reason="closed", **over), timeout=_ANSWER_S, metadata=token
            )
        return took_ms

    tasks = []
    for number in range(round(seconds / _EVERY_S)):
        tasks.append(asyncio.ensure_future(one(number)))
        await asyncio.sleep(_EVERY_S)
    return list(await asyncio.gather(*tasks))


def figures(times: list[float | None]) -> dict[str, Any]:
    """How many asked, how many were answered, and the times of these in milliseconds."""
    answered = [each for each in times if each is not None]
    return {"asked": len(times), "answered": len(answered), **percentiles(answered)}


def measure(flood: str, given: argparse.Namespace) -> dict[str, Any]:
    """One flood at a fresh gate."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = trustme.CA()
        own = authority.issue_cert("localhost")
        own.cert_chain_pems[0].write_to_path(folder / "server.pem")
        own.private_key_pem.write_to_path(folder / "server.key")
        (folder / "tokens").touch(0o600)
        (folder / "tokens").write_text(f"ingest innocent {_TOKEN}\n")
        config = (
            f'log_level = "warning"\n[grpc]\ntls_cert = "{folder}/server.pem"\n'
            f'tls_key = "{folder}/server.key"\noperator_tokens = "{folder}/tokens"\n[workers]\ncount = 1\n'
        )
        variables = environment(given.code.resolve())
        with GateProcess(folder / "gate", config=config, listen="0.0.0.0:0", environment=variables) as gate:
            port = int(gate.grpc.rpartition(":")[2])
            trusted = grpc.ssl_channel_credentials(authority.cert_pem.bytes())

            async def run() -> dict[str, Any]:
                processes = multiprocessing.get_context("spawn")
                done: Synchronized[int] = processes.Value("q")
                attackers = [
                    processes.Process(
                        target=_attack,
                        args=(flood, (another_address(), port), given.niceness, done),
                        daemon=True,
                    )
                    for _ in range(given.attackers)
                ]
                async with grpc.aio.secure_channel(f"localhost:{port}", trusted) as channel:
                    before = await ask(channel, _CALM_S)
                    for attacker in attackers:
                        attacker.start()
                    await asyncio.to_thread(_until_begun, done)
                    cpu, began = psutil.Process(gate.pid).cpu_times(), time.monotonic()
                    during = await ask(channel, given.seconds)
                    took, cpu_after = time.monotonic() - began, psutil.Process(gate.pid).cpu_times()
                    for attacker in attackers:
                        attacker.kill()
                used = cpu_after.user + cpu_after.system - cpu.user - cpu.system
                return {
                    "without": figures(before),
                    "with": figures(during),
                    "cores": round(used / took, 2),
                    "flood": done.value,
                }

            return asyncio.run(run())


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks strangers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--flood", choices=list(FLOODS), action="append", help="only this one (all)")
    parser.add_argument("--attackers", type=int, default=2, help="processes of the stranger (2)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the flood lasts (20)")
    parser.add_argument("--niceness", type=int, default=19, help="of the flood's processes (19)")
    parser.add_argument(
        "--code", type=Path, default=Path(__file__).parents[1], help="checkout to measure (this)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    found: dict[str, Any] = {}
    for flood in given.flood or list(FLOODS):
        found[flood] = measure(flood, given)
        if not given.json:
            print(flood, json.dumps(found[flood]))
    if given.json:
        print(json.dumps({"seconds": given.seconds, "attackers": given.attackers, "floods": found}))
    return int(any(each["with"]["answered"] < each["with"]["asked"] for each in found.values()))
