"""ALTA's towers with their adapters, their checkpoints, their training and its evaluation."""
