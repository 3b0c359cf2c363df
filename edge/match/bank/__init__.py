"""Banks of known footage on disk: entries, segments, manifests, updates, reloading."""
