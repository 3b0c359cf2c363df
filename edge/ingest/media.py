"""Splits a publisher's messages: access units go to the gate, everything goes to the relay."""

from __future__ import annotations

import asyncio
from collections import Counter

from edge.clock import Clock
from edge.domain import AccessUnit
from edge.errors import UnsupportedCodec
from edge.ingest.audio_bundle import AudioBundle
from edge.ingest.flv import TagKind, VideoTag, is_audio_config, parse_video
from edge.ingest.message import Message, MessageType
from edge.ingest.relay import RelayedMessage
from edge.ingest.rtmp import RtmpSession
from edge.ingest.timeline import Timeline, presentation_ms
from edge.ingest.watch_client import WatchClient
from edge.media_clock import MediaClock


class MediaPath:
    """Carries the media of one publisher until it stops.

    All of it goes through the ``WatchClient``, which passes on to the relay what the gate was offered. Frames
    before their decoder configuration are dropped (``unconfigured_units``). Other codecs end the stream with
    UnsupportedCodec.
    """

    def __init__(
        self,
        session: RtmpSession,
        watcher: WatchClient,
        counters: Counter[str],
        clock: Clock,
        max_lead_ms: int,
    ) -> None:
        self._session = session
        self._watcher = watcher
        self._counters = counters
        self._clock = clock
        self._timeline = Timeline()
        self._audio_bundle = AudioBundle()
        self._video_clock, self._other_clock = MediaClock(max_lead_ms), MediaClock(max_lead_ms)
        self._last_dts_ms = -1

    async def run(self) -> None:
        try:
            await self._receive()
        finally:
            self._counters["time_jumps"] += self._timeline.jumps

    async def _receive(self) -> None:
        async for message in self._session.media():
            if message.type_id == MessageType.VIDEO:
                await self._video(message)
                continue
            stamp, arrival_ms = message.timestamp, self._clock.monotonic_ms()
            self._other_clock.advance(stamp, stamp, arrival_ms, len(message.payload))
            await self._keep_pace(self._other_clock)
            if message.type_id == MessageType.AUDIO:
                config = is_audio_config(message.payload)
                time_ms = 0 if config else self._timeline.media_ms(message.timestamp)
                if (audio := self._audio_bundle.add_payload(message.payload, time_ms)) is not None:
                    self._watcher.push_audio(audio)
                relayed = self._config(message) if config else RelayedMessage(message, time_ms, False, False)
                self._watcher.pass_on(relayed)
            else:
                self._metadata(message)

    async def _video(self, message: Message) -> None:
        if not message.payload:
            self._counters["empty_units"] += 1
            return
        tag = parse_video(message.payload)
        if tag.kind is TagKind.CONFIG:
            self._watcher.configure(tag.codec, tag.data, self._config(message))
        elif tag.kind is TagKind.FRAME:
            await self._frame(message, tag, self._timeline.media_ms(message.timestamp))

    async def _frame(self, message: Message, tag: VideoTag, time_ms: int) -> None:
        if not tag.data:
            self._counters["empty_units"] += 1
            return
        if not self._watcher.configured:
            self._counters["unconfigured_units"] += 1
            return
        if tag.codec is not self._watcher.codec:
            raise UnsupportedCodec("flv.video.codec", f"{tag.codec} without a configuration of its own")
        dts_ms = self._last_dts_ms = max(time_ms, self._last_dts_ms + 1)
        arrival_ms = self._clock.monotonic_ms()
        # What the gate needs of a GOP goes by this time, and viewers go by the publisher's.
        pts_ms, gate_dts_ms = self._video_clock.advance(
            presentation_ms(dts_ms, tag.composition_ms), dts_ms, arrival_ms, len(tag.data)
        )
        unit = AccessUnit(pts_ms, gate_dts_ms, tag.keyframe, tag.data, arrival_ms)
        self._counters["video_units"] += 1
        await self._watcher.push(unit, RelayedMessage(message, dts_ms, False, tag.keyframe))
        await self._keep_pace(self._video_clock)

    async def _keep_pace(self, clock: MediaClock) -> None:
        """Waits until the time of a message has come, or nearly. Meanwhile the publisher is not read."""
        if clock.ahead_ms > 0:
            self._counters["paced_messages"] += 1
            await asyncio.sleep(clock.ahead_ms / 1000)

    def _metadata(self, message: Message) -> None:
        # RTMP wraps the metadata of an FLV file. ``@setDataFrame`` is an instruction to the server only.
        prefix = b"\x02\x00\x0d@setDataFrame"
        payload = message.payload[1:] if message.type_id == MessageType.DATA_AMF3 else message.payload
        if not payload.startswith(prefix):
            return
        plain = Message(MessageType.DATA, message.timestamp, payload.removeprefix(prefix))
        self._watcher.pass_on(self._config(plain))

    def _config(self, message: Message) -> RelayedMessage:
        # A configuration's own timestamp is often 0 in the middle of a stream.
        return RelayedMessage(message, max(self._last_dts_ms, 0), True, False)
