"""Speed and drift of engines on this machine."""
