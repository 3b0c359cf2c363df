"""Hash lists of others, read and written, and how far an import got."""
