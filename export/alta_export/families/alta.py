"""ALTA: adapters over MRM's image tower and CXR-BERT."""

from .asking import Asking

ASKING = Asking()
