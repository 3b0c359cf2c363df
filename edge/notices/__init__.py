"""What broadcasters are told, in English and Arabic."""
