"""One connector per kind of ingest server: ask for a cut, look whether the publisher is live."""
