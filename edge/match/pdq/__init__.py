"""PDQ, a perceptual hash of frames, computed from a decoder's luma plane."""
