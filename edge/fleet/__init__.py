"""How the gates of a fleet ask each other for what only one of them has."""

__all__: list[str] = []
