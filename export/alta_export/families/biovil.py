"""BioViL-T and BioViL: ResNet-50, with and without a prior, and CXR-BERT."""

from alta_training.families.biovil import BIOVIL

ASKING = BIOVIL.asking
