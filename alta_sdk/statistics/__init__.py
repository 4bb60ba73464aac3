"""Figures and how sure they are, of numbers alone: this room knows of no study."""
