"""Audio: from 16 kHz samples to windows that an audio model judges, and from its scores to signals."""
