"""Notices: the messages for broadcasters, in English and Arabic."""
