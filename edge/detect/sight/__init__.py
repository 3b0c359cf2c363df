"""Sight: from decoded frames to RGB pictures that a frame model judges, and from its scores to signals."""
