"""Trains the model that sees firearms in single images."""
