"""The wire contract: generated protobuf code, and conversions to and from the domain types."""
