"""What was published on the use of CheXzero and of OpenAI's CLIP: it goes into every engine made of them.

CheXzero's repository states a licence and no intended use; that of CLIP, from which it was trained, is its model
card's, word for word, without headings and links.
"""

LICENCE = "MIT"
CLIP_USE = (
    "The model is intended as a research output for research communities. We hope that this model will enable "
    "researchers to better understand and explore zero-shot, arbitrary image classification. We also hope it can be "
    "used for interdisciplinary studies of the potential impact of such models - the CLIP paper includes a discussion "
    "of potential downstream impacts to provide an example for this sort of analysis. The primary intended users of "
    "these models are AI researchers. Any deployed use case of the model - whether commercial or not - is currently "
    "out of scope."
)
CHEXZERO_USE = (
    "CheXzero's authors state no intended use; it was trained from OpenAI's CLIP, whose model card says: "
    f'"{CLIP_USE}" Not for clinical use: not a medical device.'
)
