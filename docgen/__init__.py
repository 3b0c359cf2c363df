"""Reference pages that are made from the code when the documentation is built, so that none goes stale."""
