"""What happens is reported once, as a frozen record; metrics and log lines are backends."""
