"""OvenMediaEngine: its signed admission webhook and its stream API."""
