"""From tables of radiographs and reports to batches."""
