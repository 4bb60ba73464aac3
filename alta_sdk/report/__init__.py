"""What a run leaves for a person: rows, a CSV file, a page."""
