"""A kind of ingest server that the gate does not ship. A contributor adds a folder like this one."""
