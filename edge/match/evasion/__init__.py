"""Frames that were changed to evade a match: borders, insets, filmed screens, variants."""
