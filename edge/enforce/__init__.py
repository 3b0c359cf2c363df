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
from edge.enforce.cutting import CallerGone, CutOutcome, Cutter, retry_delay_ms
from edge.enforce.ladder import Sanction, Term, block_until, sanction_of, term_of
from edge.enforce.notices import Notice, block_notice, notice

__all__ = [
    "CallerConnector",
    "CallerGone",
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
    "Sanction",
    "SrsConnector",
    "StatPage",
    "Term",
    "ZlMediaKitConnector",
    "block_notice",
    "block_until",
    "notice",
    "retry_delay_ms",
    "sanction_of",
    "term_of",
]
