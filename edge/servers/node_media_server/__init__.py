"""Node-Media-Server 4: its notify hook and its session API."""
