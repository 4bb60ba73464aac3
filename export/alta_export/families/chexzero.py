"""CheXzero and OpenAI's CLIP: a vision transformer and a causal text transformer."""

from .asking import Asking

ASKING = Asking(
    prompt_pair=("{}", "no {}"),
    logit_scale_note=(
        "1, as published: the score leaves the scale that the checkpoint stores aside, so scores near 0.5 are usual; "
        "calibrate a threshold on your own studies"
    ),
)
