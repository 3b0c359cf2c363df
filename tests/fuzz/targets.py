"""What is fuzzed in this process: each parser of bytes from outside, with its seeds.

A parser takes any bytes. It returns, or raises an error of ``edge.errors``. Anything else is a finding.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import math
import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any, Final

import httpx

from edge.annexb import framing_of
from edge.detect.importing.tflite_file import read_tflite
from edge.domain import AccessUnit, Codec
from edge.errors import GateError
from edge.evidence.fragments import FragmentWriter
from edge.ingest import amf
from edge.ingest.audio_bundle import AudioBundle
from edge.ingest.chunks import ChunkReader
from edge.ingest.flv import parse_video
from edge.ingest.message import MessageType
from edge.match.bank.array_file import MAGIC, VERSION
from edge.match.bank.manifest import read_manifest
from edge.match.bank.segment import Segment
from edge.match.footage_message import footage_of_bytes
from edge.match.formats.hash_lists import HashListFormat, Import, sniff
from edge.policy import parse_policy
from edge.pullers.pull_url import PullUrl
from edge.reconfiguration import Reconfiguration, equivalent, same_framing
from edge.servers.doubles import GatekeeperDouble
from edge.servers.hook_body import address_of, argument, parse_query, stream_name
from edge.servers.http_app import create_app
from edge.servers.nginx_rtmp.stat_page import parse_stat
from edge.servers.registry import FOLDERS
from edge.stream.frame_size_limit import coded_sizes
from edge.workers import ipc_framing
from tests.fuzz import seeds
from tests.fuzz.mutation import mutated

_MESSAGE_BYTES: Final = 4 * 1024 * 1024
_PREFIX: Final = struct.Struct("<8sII32s")
_HOOKS_ANEW: Final = 500
"""Calls of one app. It keeps what it follows."""


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    seeds: tuple[bytes, ...]
    parse: Callable[[bytes], object]
    mutate: Callable[[Random, bytes, Sequence[bytes]], bytes] = mutated

    def input(self, random: Random) -> bytes:
        return self.mutate(random, random.choice(self.seeds), self.seeds)


def run(target: Target, data: bytes) -> str:
    """Runs one input. Returns what is wrong with the outcome, or an empty text."""
    try:
        target.parse(data)
    except GateError:
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]
    return ""


@cache
def targets() -> tuple[Target, ...]:
    scratch = Path(mkdtemp(prefix="edge-fuzz-"))
    manifest, segments = seeds.bank(scratch)
    units = seeds.units()
    return (
        Target("amf", tuple(seeds.amf_values()), amf.decode),
        Target("rtmp", tuple(seeds.chunks()), _rtmp),
        Target("flv-video", tuple(seeds.flv_video()), parse_video),
        Target("flv-audio", tuple(seeds.flv_audio()), lambda data: AudioBundle().add_payload(data, 0)),
        Target("extradata", tuple(seeds.extradata()), _extradata),
        Target("access-unit", tuple(units), _access_unit),
        Target("policy", tuple(seeds.policies()), parse_policy),
        Target("stat-page", (seeds.STAT,), parse_stat),
        Target("query", (b"user=u&key=k&token=t", b"?a=%41+b&user=anna"), _query),
        Target("pull-url", (b"rtmp://h:1935/live/a?key=k", b"https://[::1]:8443/a.flv", b"srt://h:9"), _url),
        Target("footage-message", tuple(seeds.footage_messages()), footage_of_bytes),
        Target("pulled", tuple(_frames(units)), _pulled),
        Target("bank-manifest", (manifest,), _file(scratch / "x.bank", read_manifest)),
        *_importing_models(scratch / "x.tflite"),
        Target("bank-segment", tuple(segments), _file(scratch / "x.seg", _segment), _resigned),
        *(
            Target(f"hash-list-{form}", tuple(found), _file(scratch / f"x.{form}", _importing(form)))
            for form, found in seeds.hash_lists().items()
        ),
        *(_hooks(folder) for folder in FOLDERS),
    )


def _importing_models(path: Path) -> tuple[Target, ...]:
    if find_spec("tflite") is None and not os.environ.get("CI"):
        return ()  # an extra that is not installed
    return (Target("tflite", seeds.tflite_files(), _file(path, read_tflite)),)


def _rtmp(data: bytes) -> None:
    reader = ChunkReader(_MESSAGE_BYTES)
    audio = AudioBundle()
    for at in range(0, len(data), 4096):
        reader.feed(data[at : at + 4096])
        while (message := reader.read()) is not None:
            match message.type_id:
                case MessageType.VIDEO:
                    with suppress(GateError):
                        parse_video(message.payload)
                case MessageType.AUDIO:
                    audio.add_payload(message.payload, message.timestamp)
                case MessageType.COMMAND | MessageType.DATA:
                    amf.decode(message.payload)


def _extradata(data: bytes) -> None:
    for codec in Codec:
        for other in seeds.extradata():
            equivalent(codec, data, other)
            same_framing(codec, data, other)
        with suppress(GateError):
            for unit in seeds.units()[:3]:
                Reconfiguration(codec, data).apply(unit, data, keyframe=True)
        if codec in (Codec.H264, Codec.HEVC):
            with suppress(GateError):
                framing = framing_of(codec, data)
                list(coded_sizes(codec, framing.parameter_sets, 0))
        _shown(codec, data, seeds.units()[0])


def _shown(codec: Codec, extradata: bytes, data: bytes) -> None:
    """Writes it as people see it."""
    unit = AccessUnit(0, 0, True, data, 0.0)
    with suppress(GateError):
        FragmentWriter(codec.value, extradata, unit).fragment([unit], 40)


def _access_unit(data: bytes) -> None:
    for codec in Codec:
        _shown(codec, b"", data)
    for codec in (Codec.H264, Codec.HEVC):
        for prefix in (0, 1, 2, 4):
            list(coded_sizes(codec, data, prefix))
        for record in seeds.extradata():
            with suppress(GateError):
                framing_of(codec, record).annexb(data, keyframe=True)


def _query(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    address_of(text)
    fields = parse_query(text)
    for field in ("user", "key", "token"):
        with suppress(GateError):
            argument(fields, field)
        with suppress(GateError):
            stream_name(fields, field)


def _url(data: bytes) -> None:
    url = PullUrl.parse(data.decode(errors="replace"))
    url.options("p")
    url.at("192.0.2.1")


def _frames(units: Sequence[bytes]) -> list[bytes]:
    from edge.contract.gen import worker_pb2
    from edge.domain import AccessUnit

    opened = worker_pb2.FromPuller(opened=worker_pb2.PullOpened(codec="h264", extradata=b"x"))
    return [
        ipc_framing.frame(opened),
        ipc_framing.media_frame("st_1", AccessUnit(40, 40, True, units[0][:200], 0.0)),
    ]


def _pulled(data: bytes) -> None:
    async def read() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        while await ipc_framing.read_pulled(reader, 1 << 20) is not None:
            pass

    _loop().run_until_complete(read())


def _file(path: Path, parse: Callable[[Path], object]) -> Callable[[bytes], object]:
    def parse_content(data: bytes) -> object:
        path.write_bytes(data)
        return parse(path)

    return parse_content


def _importing(form: HashListFormat) -> Callable[[Path], object]:
    def read(path: Path) -> None:
        with suppress(GateError):
            sniff(path)
        for _ in Import(path, form):
            pass

    return read


def _segment(path: Path) -> None:
    segment = Segment.open(path)
    for position in range(min(len(segment), 8)):
        list(itertools.islice(segment.references(position), 8))
        segment.search(segment.codes[position], 31)
    for number in range(min(segment.entries, 4)):
        segment.entry(number)


def _resigned(random: Random, seed: bytes, others: Sequence[bytes]) -> bytes:
    """Mutates what a segment holds and makes its checksums right again, as its writer could."""
    if random.random() < 0.2:
        return mutated(random, seed, others)
    length = _PREFIX.unpack_from(seed)[2]
    header = json.loads(seed[_PREFIX.size : _PREFIX.size + length])
    base = -(-(_PREFIX.size + length) // 64) * 64
    body = bytearray(seed[base:])
    for section in random.sample(header["sections"], random.randint(1, 3)):
        start, end = _extent(section)
        changed = mutated(random, bytes(body[start:end]), [bytes(body[start:end])])
        body[start:end] = changed[: end - start].ljust(end - start, b"\0")
    for section in header["sections"]:
        start, end = _extent(section)
        section["sha256"] = hashlib.sha256(body[start:end]).hexdigest()
    raw = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    if random.random() < 0.5:
        raw = mutated(random, raw, [raw])
    start = -(-(_PREFIX.size + len(raw)) // 64) * 64
    prefix = _PREFIX.pack(MAGIC, VERSION, len(raw), hashlib.sha256(raw).digest())
    return (prefix + raw).ljust(start, b"\0") + body


def _extent(section: dict[str, Any]) -> tuple[int, int]:
    """Where a section of a segment's arrays lies."""
    size = {"|u1": 1, "<u4": 4, "<u8": 8}[section["dtype"]] * math.prod(section["shape"])
    return section["offset"], section["offset"] + size


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


class _Hooks:
    """The hooks of one kind of server, beside an API that does not answer."""

    def __init__(self, folder: str) -> None:
        self._kind = import_module(f"{folder}.kind").KIND
        self.double: Any = import_module(f"{folder}.double").DOUBLE()
        connection = self.double.ids[0]
        calls = [
            call(connection, "live", name, "u42")
            for call in (self.double.publish_call, self.double.ended_call)
            for name in ("show", "a-b_c")
        ]
        self.calls = [call for call in calls if call is not None]
        self._used = 0
        self._client: httpx.AsyncClient | None = None
        self._closing: list[Any] = []

    def call(self, data: bytes) -> None:
        """The first byte chooses the hook. The rest is its body."""
        if self._client is None or self._used % _HOOKS_ANEW == 0:
            _loop().run_until_complete(self._open())
        self._used += 1
        chosen = self.calls[(data[0] if data else 0) % len(self.calls)]
        _loop().run_until_complete(self._post(chosen.path, data[1:], dict(chosen.headers)))

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        assert self._client is not None
        async with asyncio.timeout(60):
            response = await self._client.post(path, content=body, headers=headers)
        assert response.status_code < 500, f"status {response.status_code}"

    async def _open(self) -> None:
        if self._client is not None:
            await self._client.aclose()
        for each in self._closing:
            await each.aclose()
        section = self.double.section().model_copy(update={"pull_url": "rtmp://server/{app}/{name}"})
        connector = self._kind.connector(section)
        hooks = self._kind.hooks(GatekeeperDouble(), connector, section, None)
        transport = httpx.ASGITransport(create_app([hooks]))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://gate")
        self._closing = [hooks, connector]


def _hooks(folder: str) -> Target:
    hooks = _Hooks(folder)
    bodies = tuple(bytes((index,)) + call.body for index, call in enumerate(hooks.calls))
    return Target(f"hooks-{folder.rpartition('.')[2].replace('_', '-')}", bodies, hooks.call)
