"""Publishers that request a second publish on their RTMP connection, as no encoder does."""

from __future__ import annotations

from edge.ingest import amf
from edge.ingest.rtmp_client import RtmpPublisher


class PublishesAgain(RtmpPublisher):
    def publish(self, name: str) -> None:
        """Requests another name and ignores the server's answer."""
        self._command(self._stream_id, "publish", 6.0, None, name, "live")


class PublishesTwo(PublishesAgain):
    """Requests ``second`` together with the first."""

    second = "second?user=other"

    def _command(self, stream_id: int, *values: amf.AmfValue) -> None:
        super()._command(stream_id, *values)
        if values[0] == "publish" and values[3] != self.second:
            self.publish(self.second)
