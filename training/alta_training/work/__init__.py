"""What the commands do once their usage is right; here torch is imported."""
