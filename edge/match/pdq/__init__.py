"""PDQ, a perceptual hash of pictures, computed from a decoder's luma plane."""
