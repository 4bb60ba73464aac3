"""The two files of a published model card: one set of figures, a head that card readers take, the same bytes again."""

import json

import pytest
from huggingface_hub import ModelCard as HubCard

from alta_sdk.engine.card import ModelCard
from alta_sdk.statistics.calibration import Bin, Calibration
from alta_training.evaluation.card_content import describe_card, render_content
from alta_training.evaluation.card_figures import OtherHospital, SplitFigures
from alta_training.evaluation.card_files import write_card
from alta_training.evaluation.card_head import has_head, name_licence, render_head
from alta_training.evaluation.model_card import CardFacts, render_card
from alta_training.evaluation.zero_shot import FindingFigures

AUC = {"auc": 0.8123456789, "auc_low": 0.7, "auc_high": 0.9}
FIGURES = {"protocol": "x", "radiographs": 20, "positive": 10, "patients": 15, **AUC}
AP = {"auc_AP": 0.75, "auc_AP_low": 0.6, "auc_AP_high": 0.85, "auc_view_alone": 0.65}
MASS = FindingFigures("Pleural_Thickening", {**FIGURES, **AP}, {"PA": 6, "AP": 4}, 9)
CALIBRATION = Calibration(0.12, 0.08, (Bin(0.25, 0.1, 10), Bin(0.75, 0.9, 10)))
SPLIT = SplitFigures("test", {**FIGURES, **AP}, FIGURES, FIGURES, CALIBRATION, [MASS], {"Hernia": 3})
STATED = {
    "notice": "DEMO: small.",
    "training_data": 'twelve radiographs: "x"\\n---',
    "licence": "Apache-2.0; with weights of others",
    "epoch": "4",
}
FACTS = CardFacts("small", STATED, "Edema", "nih", "1 of 2", 1_000_000, "float16", {"embedding": 128}, True, "ab" * 32)
CURVE = [{"kind": "validation", "epoch": 1, "auc": 0.8, "auc_low": 0.7, "auc_high": 0.9}]
OTHER = OtherHospital(
    "covid",
    "test",
    {"pairs": 43, "patients": 23, "captions": 40},
    {"positive": 5, "normal": 8, "positive_patients": 4, **AUC},
)


def test_a_reader_of_cards_finds_licence_task_data_and_every_auc(tmp_path):
    write_card(tmp_path, FACTS, [SPLIT], CURVE)
    card = HubCard((tmp_path / "README.md").read_text("utf-8"))
    told = card.data.to_dict()
    assert (told["license"], told["language"], told["library_name"]) == ("apache-2.0", "en", "alta-sdk")
    assert told["pipeline_tag"] == "zero-shot-image-classification" and "chest-x-ray" in told["tags"]
    assert told["datasets"] == ["nih"] and told["metrics"] == ["roc_auc"]
    main, mass = card.data.eval_results
    assert (main.dataset_split, main.metric_type, main.metric_value) == ("test", "roc_auc", 0.812346)
    expected = {"interval_95": [0.7, 0.9], "radiographs": 20, "positive": 10, "patients": 15}
    assert main.metric_args == expected and main.task_name == "edema against No Finding"
    assert (main.dataset_config, mass.dataset_config) == ("Edema", "Pleural_Thickening")
    assert mass.task_name == "pleural thickening against No Finding"
    assert card.text.lstrip() == render_card(FACTS, [SPLIT], CURVE)


def test_the_content_has_data_intervals_views_and_patients(tmp_path):
    content = describe_card(FACTS, [SPLIT], CURVE, OTHER)
    (split,) = content["splits"]
    assert split["auc"] == {"value": 0.812346, "low": 0.7, "high": 0.9}
    assert split["views"] == {"AP": {"value": 0.75, "low": 0.6, "high": 0.85}} and split["view_alone"] == 0.65
    assert (split["radiographs"], split["positive"], split["patients"]) == (20, 10, 15)
    assert split["findings"][0]["positive_by_view"] == {"PA": 6, "AP": 4} and split["left_out"] == {"Hernia": 3}
    assert split["calibration"]["bins"][0] == {"score": 0.25, "observed": 0.1, "count": 10}
    assert content["weights_sha256"] == "ab" * 32 and content["training_data"] == STATED["training_data"]
    assert content["other_hospital"]["shift"]["auc"] == 0.812346 and content["chosen"]["by"] == "validation"
    assert ModelCard.parse(b"x", render_content(content)).content == json.loads(render_content(content))


def test_the_same_figures_give_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_card(tmp_path / name, FACTS, [SPLIT], CURVE, OTHER, ["## More\n\nwords"])
    for file in ("README.md", "card.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
    assert (tmp_path / "one" / "README.md").read_text("utf-8").endswith("## More\n\nwords\n")


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("Apache-2.0; with weights of others", {"license": "apache-2.0"}),
        ("MIT, like its code", {"license": "mit"}),
        ("PhysioNet Credentialed", {"license": "other", "license_name": "PhysioNet Credentialed"}),
        ("apache-2.0\n---\nx: y", {"license": "other", "license_name": "apache-2.0\n---\nx: y"}),
    ],
)
def test_a_licence_that_readers_do_not_know_is_said_in_its_own_words(stated, told):
    assert name_licence(stated) == told
    head = render_head({"name": "x", "licence": stated})
    assert has_head(head + "# x\n") and HubCard(head + "# x\n").data.to_dict().items() >= told.items()


def test_a_card_without_figures_claims_none():
    told = HubCard(render_head({"name": "x", "licence": "MIT"}) + "# x\n").data.to_dict()
    assert "model-index" not in told and "metrics" not in told and "datasets" not in told
    assert not has_head("# x\n") and not has_head("---\n# x\n")
