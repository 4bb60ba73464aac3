"""ALTA's towers with their adapters, their checkpoints, and (later) their training."""
