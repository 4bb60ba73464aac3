"""BioViL-T and BioViL: ResNet-50, with and without a prior, and CXR-BERT."""

from alta_sdk.engine.label_sets import Label

from .asking import Asking

# The prompts of the published zero-shot classification of pneumonia, four a side (hi-ml-multimodal).
PNEUMONIA = Label(
    positive=(
        "Findings consistent with pneumonia",
        "Findings suggesting pneumonia",
        "This opacity can represent pneumonia",
        "Findings are most compatible with pneumonia",
    ),
    negative=(
        "There is no pneumonia",
        "No evidence of pneumonia",
        "No evidence of acute pneumonia",
        "No signs of pneumonia",
    ),
)
ASKING = Asking(
    logit_scale_note=(
        "1, as published: the checkpoint stores none, so scores near 0.5 are usual; calibrate a threshold on your own "
        "studies"
    ),
    more_sets={"rsna-ensemble": {"pneumonia": PNEUMONIA}},
)
