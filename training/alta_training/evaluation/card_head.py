"""The YAML head of a model card, as programs that list models read it: licence, language, task, data, measured AUCs.

Made by huggingface_hub's own classes, which transformers brings; no hub is asked. The same content gives the same text.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..data.labelled import spell_finding

LIBRARY = "alta-sdk"
TASK = "zero-shot-image-classification"
METRIC = "roc_auc"
TAGS = ("medical", "radiology", "chest-x-ray", "vision-language", "not-for-clinical-use")
# Identifiers that readers of cards know, by what a checkpoint's statement begins with.
LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "cc0-1.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0")
FENCE = "---\n"


def render_head(content: Mapping[str, Any]) -> str:
    """Return the head, between its fences, of what card.json holds."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [EvalResult(**one) for one in list_results(content)]
    told: dict[str, Any] = {**name_licence(str(content.get("licence", "not stated")))}
    if content.get("table"):
        told["datasets"] = [content["table"]]
    if results:
        told |= {"metrics": [METRIC], "model_name": content["name"], "eval_results": results}
    data = ModelCardData(language="en", library_name=LIBRARY, pipeline_tag=TASK, tags=list(TAGS), **told)
    return f"{FENCE}{data.to_yaml(line_break=chr(10))}\n{FENCE}"


def has_head(markdown: str) -> bool:
    """Tell whether a card begins with a YAML head."""
    return markdown.startswith(FENCE) and f"\n{FENCE}" in markdown[len(FENCE) - 1 :]


def name_licence(stated: str) -> dict[str, str]:
    """Return the licence as readers of cards know it; one that they do not know is `other`, with its own words."""
    first = stated.split(";")[0].split(",")[0].strip().lower()
    return {"license": first} if first in LICENCES else {"license": "other", "license_name": stated}


def list_results(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each AUC that was measured, with its interval, as the fields of an EvalResult."""
    for split in content.get("splits", ()):
        for finding, figures in ((content["finding"], split), *((one["finding"], one) for one in split["findings"])):
            auc = figures["auc"]
            counts = {name: figures[name] for name in ("radiographs", "positive", "patients")}
            yield {
                "task_type": TASK,
                "task_name": f"{spell_finding(finding)} against {content['against']}",
                "dataset_type": content["table"],
                "dataset_name": content["table"],
                "dataset_config": finding,  # readers put together what differs in neither of these
                "dataset_split": split["split"],
                "metric_type": METRIC,
                "metric_name": f"AUC, {spell_finding(finding)}, {split['split']}",
                "metric_value": auc["value"],
                "metric_args": {"interval_95": [auc["low"], auc["high"]], **counts},
            }
