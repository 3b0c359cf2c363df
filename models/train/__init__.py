"""Training of the violence detector: index, cache, features, head, quantisation, export, evaluation."""
