"""Blocking and cutting: the strike ladder, notices, and cuts that are proven."""

from edge.enforce.connectors.base import Connector, CutAttempt, CutTarget
from edge.enforce.connectors.caller import CallerConnector
from edge.enforce.connectors.nginx_rtmp import NginxRtmpConnector
from edge.enforce.connectors.nginx_stat import StatPage
from edge.enforce.connectors.node_media_server import NodeMediaServerConnector
from edge.enforce.cutting import CutOutcome, Cutter, retry_delay_ms
from edge.enforce.ladder import block_until
from edge.enforce.notices import Notice, notice

__all__ = [
    "CallerConnector",
    "Connector",
    "CutAttempt",
    "CutOutcome",
    "CutTarget",
    "Cutter",
    "NginxRtmpConnector",
    "NodeMediaServerConnector",
    "Notice",
    "StatPage",
    "block_until",
    "notice",
    "retry_delay_ms",
]
