"""Stored embeddings, searched: made from a folder of studies or from reports."""
