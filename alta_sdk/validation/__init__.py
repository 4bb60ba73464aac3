"""Is an engine good enough here? Its scores against a site's own truth, and whether they move while it is in use."""
