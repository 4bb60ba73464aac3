"""One training run: its options, its loop, what it leaves in its folder."""
