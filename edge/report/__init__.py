"""What a transparency report needs: how much was watched, what was decided, and how often that was wrong."""
