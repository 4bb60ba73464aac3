"""Checkpoints: reading and writing weights, and starting from a backbone."""
