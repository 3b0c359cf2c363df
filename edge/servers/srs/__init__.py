"""SRS: its HTTP callbacks and its client API."""
