"""PDQ, the perceptual hash of a picture, from a decoder's luma plane."""
