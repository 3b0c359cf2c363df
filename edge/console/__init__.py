"""The console: the pages on which people review incidents, watch streams and cut them."""

__all__: list[str] = []
