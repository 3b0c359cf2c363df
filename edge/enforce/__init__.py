"""Blocking and cutting: the strike ladder, notices, and cuts that are proven."""

from edge.enforce.connectors.base import Connector, CutAttempt, CutTarget
from edge.enforce.connectors.caller import CallerConnector
from edge.enforce.connectors.mediamtx import MediaMtxConnector
from edge.enforce.connectors.nginx_rtmp import NginxRtmpConnector
from edge.enforce.connectors.nginx_stat import StatPage
from edge.enforce.connectors.node_media_server import NodeMediaServerConnector
from edge.enforce.connectors.ovenmediaengine import OvenMediaEngineConnector
from edge.enforce.connectors.srs import SrsConnector
from edge.enforce.connectors.zlmediakit import ZlMediaKitConnector
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
    "MediaMtxConnector",
    "NginxRtmpConnector",
    "NodeMediaServerConnector",
    "Notice",
    "OvenMediaEngineConnector",
    "SrsConnector",
    "StatPage",
    "ZlMediaKitConnector",
    "block_until",
    "notice",
    "retry_delay_ms",
]
