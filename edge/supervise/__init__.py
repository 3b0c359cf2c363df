"""The supervisor: one asyncio process that admits, routes media to workers, and enforces."""

from edge.supervise.gate import Gate

__all__ = ["Gate"]
