"""Notices: the messages for broadcasters, in English and Arabic."""

from edge.notices.catalogue import own_messages, use_messages
from edge.notices.notice import Notice, block_notice

__all__ = ["Notice", "block_notice", "own_messages", "use_messages"]
