"""One bank for the fleet: each folder of banks follows the ledger's log of bank changes, and writes it."""

__all__: list[str] = []
