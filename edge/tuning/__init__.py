"""From labelled footage to thresholds and persistence, and to what they are worth."""
