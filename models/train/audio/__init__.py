"""Training of the model that hears gunfire, explosions and screams."""
