"""Hash exchanges: fetches what organisations share into banks of their own.

A kind of exchange is one file, named in ``registry``. It turns an API into pages of changes (``page``).
Everything else is the same for all kinds: ``mirror`` keeps what was fetched, ``filling`` brings it into banks
by the table of the policy, ``sync`` does one run, and ``run_status`` says when the next is due.
"""

__all__: list[str] = []
