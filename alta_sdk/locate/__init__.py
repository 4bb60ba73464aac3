"""Heat maps: where on a radiograph a phrase matches, and how that is drawn."""
