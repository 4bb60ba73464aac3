"""ALTA: adapters over MRM's image tower and CXR-BERT."""

from alta_training.families.alta import ALTA

ASKING = ALTA.asking
