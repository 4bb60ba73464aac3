"""CheXzero and OpenAI's CLIP: a vision transformer and a causal text transformer."""

from alta_training.families.chexzero import CHEXZERO

ASKING = CHEXZERO.asking
