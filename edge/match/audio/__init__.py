"""Known audio: Chromaprint fingerprints, their index, and the matcher of a live stream."""
