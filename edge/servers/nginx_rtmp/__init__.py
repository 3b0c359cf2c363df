"""nginx-rtmp: its form-encoded hooks, its stat page and control API, pulls from its workers."""
