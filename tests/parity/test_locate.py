"""The similarity behind heat maps, in numpy, gives the published local loss."""

import numpy as np
from tolerances import PARITY

from alta_sdk.locate.phrase import match_words


def test_local_contrastive_loss_of_the_sdk(golden, published):
    scales = [getattr(published, f"logit_scale_local{number}").exp().item() for number in (1, 2, 3)]
    studies = golden["patch_local"]
    lengths = golden["attention_mask"][: len(studies)].sum(axis=1) - 1  # without [CLS]
    reports = [words[:length] for words, length in zip(golden["word_local"], lengths, strict=False)]
    logits = scales[2] * np.array(
        [
            [np.log(np.exp(scales[1] * match_words(study, words, scales[0]).cosines).sum()) for words in reports]
            for study in studies
        ]
    )
    losses = [np.log(np.exp(one).sum(axis=1)) - np.diag(one) for one in (logits, logits.T)]
    np.testing.assert_allclose(np.mean(losses), golden["local_contrastive_loss"], **PARITY)
