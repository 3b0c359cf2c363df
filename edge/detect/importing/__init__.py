"""Turns model files that others publish into models of the gate."""
