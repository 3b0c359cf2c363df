"""Banks of known footage that companies give each other: hashes, never media, and nothing about people."""

__all__: list[str] = []
