"""Score a follow-up study beside its prior and tell what became of findings: an engine that reads priors, BioViL-T's.

alta-export --checkpoint biovil_t_image_model_proj_size_128.pt --text-model BiomedVLP-BioViL-T --output biovil-t.alta
python examples/02_write_dicom_study.py examples/data/00001299_000.jpg build/demo/study
python examples/02_write_dicom_study.py examples/data/00001637_001.jpg build/demo/earlier 20250601
python examples/07_follow_up_study.py biovil-t.alta build/demo/study build/demo/earlier
"""

import sys

from alta_sdk import Matcher, Study

engine, path, prior_path = sys.argv[1:]
matcher = Matcher(engine, fusion_mode="prior")
profile = matcher.engine.manifest.intensity_profile
alone = Study.from_dicom(path, intensity_profile=profile)
study = Study.from_dicom(path, prior_path, intensity_profile=profile)  # one patient, and earlier, or refused
findings = ["pneumonia", "pleural effusion"]

# The image tower looks at both radiographs. Each is encoded once, whichever question asks for it.
for name, given in (("alone", alone), ("beside its prior", study)):
    result = matcher.zero_shot(given, findings)
    shown = {finding: round(score, 3) for finding, score in result.scores.items()}
    print(f"{name}: {shown}, mode {result.provenance['fusion_mode']} of {', '.join(result.provenance['slots'])}")

for finding in findings:  # a softmax over three groups of prompts; they say what changed, not how sure it is
    told = matcher.progression(study, finding)
    shares = f"improving {told.improving:.3f}, stable {told.stable:.3f}, worsening {told.worsening:.3f}"
    print(f"{finding}: {shares}; largest: {told.top}")

# Something else: each study scored by itself, and subtracted. It needs no engine that reads priors.
change = matcher.compare(path, prior_path, findings).change
print("difference of two single scores:", {finding: round(value, 3) for finding, value in change.items()})
for notice in matcher.engine.manifest.notices:
    print(notice)
