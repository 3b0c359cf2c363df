"""MediaMTX: its HTTP authentication and its control API."""
