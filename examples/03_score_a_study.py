"""Score a study from Python: the radiograph is encoded once, prompts are cheap.

python examples/03_score_a_study.py build/demo.alta build/demo/study
"""

import sys

from alta_sdk import Label, Matcher, Study

engine, path = sys.argv[1:]
matcher = Matcher(engine)
study = Study.from_dicom(path)

result = matcher.zero_shot(study, ["pneumonia", "pleural effusion"])
print("scores:", {name: round(score, 3) for name, score in result.scores.items()}, "top:", result.top)
print("computed by:", result.provenance["runtime"], "fusion:", result.provenance["fusion_mode"])

own = {"large heart": Label(positive=["cardiomegaly", "mildly enlarged heart"], negative=["heart size is normal"])}
print("own prompts:", matcher.zero_shot(study, own).scores)

embedding = matcher.embed(study)  # keep it: other prompts need no second look at the radiograph
print("embedding:", embedding.vector.shape, embedding.mode)
print("cosines:", matcher.score(embedding, ["there is edema", "the lungs are clear"]))
for notice in matcher.engine.manifest.notices:
    print(notice)
