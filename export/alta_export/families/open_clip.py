"""The layout of open_clip that BiomedCLIP uses: timm's vision transformer and PubMedBERT.

It was published for softmax across labels, without negatives; the pair of a plain label is ALTA's.
"""

from alta_training.families.open_clip import OPEN_CLIP

ASKING = OPEN_CLIP.asking
