"""Sight: from decoded frames to RGB frames that a frame model judges, and from its scores to signals."""
