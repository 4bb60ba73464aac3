"""A verified bundle, loaded: what turns pixels and prompts into vectors."""
