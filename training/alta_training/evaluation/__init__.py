"""Measuring a checkpoint or an engine, and telling it in a card."""
