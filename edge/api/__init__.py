"""The gRPC servers of the contract: authentication, bounds, and errors as statuses."""

__all__: list[str] = []
