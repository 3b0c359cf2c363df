"""The wire contract: generated protobuf code, and conversions to and from the domain types."""

__all__: list[str] = []
