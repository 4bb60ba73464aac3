"""What the model cards of BioViL-T and BioViL say of their use: it goes into every engine made of them.

Their section "Model Use", word for word, without headings and links.
"""

LICENCE = "MIT"
BIOVIL_USE = (
    "This model is intended to be used solely for (I) future research on visual-language processing and (II) "
    "reproducibility of the experimental results reported in the reference paper. The primary intended use is to "
    "support AI researchers building on top of this work. CXR-BERT and its associated models should be helpful for "
    "exploring various clinical NLP & VLP research questions, especially in the radiology domain. Any deployed use "
    "case of the model --- commercial or otherwise --- is currently out of scope. Although we evaluated the models "
    "using a broad set of publicly-available research benchmarks, the models and evaluations are not intended for "
    "deployed use cases."
)
BIOVIL_T_USE = (
    f"{BIOVIL_USE} Under unprecedented conditions, the models may make inaccurate predictions and display "
    "limitations, which may require additional mitigation strategies. Therefore, we discourage use of the model for "
    "automated diagnosis or in a medical device."
)
