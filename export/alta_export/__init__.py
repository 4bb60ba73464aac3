"""From a checkpoint to an engine: merge the adapters, export the graphs, prove them equal, write a bundle."""
