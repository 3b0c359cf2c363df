"""Reference pages that the documentation build makes from the code, so that none goes stale."""
