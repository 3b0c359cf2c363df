"""A kind of ingest server that the gate does not ship: what somebody adds is a folder like this one."""
