"""ZLMediaKit: its webhooks and its session API."""
