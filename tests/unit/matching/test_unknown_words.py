"""Prompts of words that the engine does not know, and prompts that are no text, at every way in."""

import html
import json
import logging

import numpy as np
import pytest
from click.testing import CliRunner

from alta_sdk import EngineError, Label, Matcher, PromptError, Study
from alta_sdk.cli import main
from alta_sdk.index.reports import index_reports
from alta_sdk.study.key import SiteKey

UNREAD, PARTLY = "肺炎", "qxvz"
NOT_TEXT = [None, float("nan"), b"edema", np.array("edema"), 7, "\ud800"]


@pytest.fixture(scope="module")
def studies():
    rng = np.random.default_rng(6)
    images = [np.clip(rng.normal(90 + 60 * (n % 2), 30, (240, 240)), 0, 255).astype(np.uint8) for n in range(8)]
    return [Study.from_images(image) for image in images]


WAYS_IN = {
    "zero_shot": lambda matcher, studies, text: matcher.zero_shot(studies[0], [text]),
    "zero_shot, with others": lambda matcher, studies, text: matcher.zero_shot(studies[0], ["edema", text]),
    "zero_shot, a list": lambda matcher, studies, text: list(matcher.iter_zero_shot(studies, [text])),
    "zero_shot, prompts": lambda matcher, studies, text: matcher.zero_shot(studies[0], {"a": [text], "b": ["edema"]}),
    "zero_shot, negative": lambda matcher, studies, text: matcher.zero_shot(
        studies[0], {"a": Label(["edema"], ["no edema", text])}
    ),
    "score": lambda matcher, studies, text: matcher.score(studies[0], ["edema", text]),
    "embed_text": lambda matcher, studies, text: matcher.embed_text([text, "edema"]),
    "locate": lambda matcher, studies, text: matcher.locate(studies[0], text),
    "compare": lambda matcher, studies, text: matcher.compare(studies[0], studies[1], [text]),
    "calibrate": lambda matcher, studies, text: matcher.calibrate([studies[0]] * 40, [True, False] * 20, text),
    "fit_few_shot": lambda matcher, studies, text: matcher.fit_few_shot(text, studies[1::2], studies[::2]),
    "few-shot label": lambda matcher, studies, text: matcher.fit_few_shot(
        Label([text], ["no edema"]), studies[1::2], studies[::2]
    ),
    "rank": lambda matcher, studies, text: matcher.rank(studies[0], [text, text]),
}


@pytest.mark.parametrize("way", WAYS_IN)
def test_words_that_are_all_unread_are_refused(matcher, studies, way):
    for text in (UNREAD, f"{UNREAD} 3", "пневмония", f"there is evidence of {UNREAD}"):
        with pytest.raises(PromptError, match="word that this engine knows") as refused:
            WAYS_IN[way](matcher, studies, text)
        assert not any(word in str(refused.value) for word in text.split() if word not in ("is", "of", "3"))


NO_WORDS = [
    "-",
    "123",
    "...",
    "the",
    "There is no",
    "no evidence of",
    "\x00",
    "\u200b",
    "\ufeff\u2060",
    "3-4",
    "12 %",
    "½ +",
    "z z z z",
    "p n e u m o n i a",
    "e. d. e. m. a.",
]


@pytest.mark.parametrize("way", WAYS_IN)
@pytest.mark.parametrize("text", NO_WORDS, ids=ascii)
def test_a_prompt_without_a_word_that_says_something_is_refused(matcher, studies, way, text):
    with pytest.raises(PromptError, match="no word|is empty|has a word that this engine knows") as refused:
        WAYS_IN[way](matcher, studies, text)
    assert text in ("-", "...", "the") or text not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "T4 vertebra",
        "T wave",
        "vitamin D",
        "5 mm nodule",
        "no finding",
        "normal",
        "COVID-19",
        "2.3 cm",
        "a mass",
        "edema.",
    ],
)
def test_digits_signs_and_small_words_beside_a_finding_are_lawful(matcher, studies, text):
    assert 0 < matcher.zero_shot(studies[0], [text]).scores[text] < 1
    assert np.isfinite(matcher.score(studies[0], [text])).all()


@pytest.mark.parametrize("name", ["", " ", "\x00", "\u200b", "\ufeff", "\u00ad\u2060", "\n"], ids=ascii)
def test_a_label_whose_name_nobody_sees_is_refused_with_prompts_of_its_own_too(matcher, studies, name):
    prompts = Label(["there is edema"], ["there is no edema"])
    for labels in ({name: prompts}, {"edema": prompts, name: prompts}, [name], ["edema", name]):
        with pytest.raises(PromptError):
            matcher.zero_shot(studies[0], labels)


def test_a_report_without_words_is_ranked_with_others_and_refused_alone(matcher, studies):
    ranking = matcher.rank(studies[0], ["there is edema", "there is no"])
    assert {report.row: report.words for report in ranking.reports} == {0: 1, 1: 0}
    for reports in (["123"], ["-", "the"], ["-", UNREAD]):
        with pytest.raises(PromptError, match=f"none of the {len(reports)} reports"):
            matcher.rank(studies[0], reports)


@pytest.mark.parametrize("way", WAYS_IN)
@pytest.mark.parametrize("bad", NOT_TEXT, ids=repr)
def test_what_is_not_text_is_refused(matcher, studies, way, bad):
    with pytest.raises(PromptError):
        WAYS_IN[way](matcher, studies, bad)


def test_results_tell_labels_of_which_some_words_are_unknown(matcher, studies):
    whole = matcher.zero_shot(studies[0], ["edema", "pleural effusion"])
    assert whole.provenance["prompt_reading"] == []
    labels = ["edema", PARTLY, f"edema {UNREAD}"]
    told = matcher.zero_shot(studies[0], labels).as_dict()["provenance"]["prompt_reading"]
    assert [note.partition(":")[0] for note in told] == ["label 2 of 3", "label 3 of 3"]
    assert "1 of 1 words" in told[0] and "2 of 3 words" in told[1]
    assert matcher.compare(studies[0], studies[1], labels).provenance["prompt_reading"] == told
    assert "phrase 1 (1 of 1 words) of 1" in matcher.locate(studies[0], PARTLY).provenance["prompt_reading"][0]
    fitted = matcher.fit_few_shot(PARTLY, studies[1::2], studies[::2])
    assert fitted.provenance["prompt_reading"] == [told[0].replace("2 of 3", "1 of 1", 1)]
    assert PARTLY not in json.dumps([told, fitted.provenance]) and UNREAD not in json.dumps(told, ensure_ascii=False)


def test_where_only_numbers_come_back_the_log_tells(matcher, studies, caplog):
    caplog.set_level(logging.WARNING, "alta_sdk")
    matcher.embed_text(["edema", PARTLY])
    assert [record.message.partition(":")[0] for record in caplog.records] == ["prompt 2 (1 of 1 words) of 2"]
    caplog.clear()
    matcher.score(studies[0], ["edema", "no edema"])
    assert caplog.records == []


def test_reports_are_counted_and_told(matcher, studies, caplog, tmp_path):
    reports = ["there is edema", f"the lungs are {PARTLY} and {UNREAD}", UNREAD]
    ranking = matcher.rank(studies[0], reports)
    by_row = {report.row: (report.words, report.unknown_words) for report in ranking.reports}
    assert by_row == {0: (1, 0), 1: (4, 3), 2: (2, 2)}
    (note,) = ranking.provenance["report_reading"]
    assert note.startswith("reports: 5 of 7 words") and "in 2 of 3 reports; 1 have no word" in note
    index_reports(tmp_path / "r.index", matcher, reports, SiteKey(bytes(32)))
    assert note in [record.message for record in caplog.records]
    with pytest.raises(PromptError, match="none of the 2 reports"):
        index_reports(tmp_path / "no.index", matcher, [UNREAD, UNREAD], SiteKey(bytes(32)))
    assert matcher.rank(studies[0], reports[:1]).provenance["report_reading"] == []


def run(bundle, command, *arguments):
    return CliRunner().invoke(main, [command, *map(str, arguments), "--engine", str(bundle)])


def test_commands_tell_on_standard_error_in_the_files_and_on_the_page(bundle, radiograph_path, tmp_path):
    files = ["--csv", tmp_path / "s.csv", "--html", tmp_path / "s.html", "--locate", PARTLY]
    scored = run(bundle, "score", radiograph_path, "--labels", f"edema,{PARTLY}", *files)
    assert scored.exit_code == 0, scored.output
    notes = [line for line in scored.stderr.splitlines() if "vocabulary" in line]
    assert [note.partition(" of ")[0] for note in notes] == ["label 2", "phrase 1 (1"]
    for name in ("s.csv", "s.html"):
        text = html.unescape((tmp_path / name).read_text(encoding="utf-8"))
        assert all(note in text for note in notes)
    located = run(bundle, "locate", radiograph_path, "--phrase", PARTLY)
    assert located.exit_code == 0 and notes[1] in located.stderr.splitlines()
    compared = run(bundle, "compare", radiograph_path, radiograph_path, "--labels", f"edema,{PARTLY}")
    assert compared.exit_code == 0 and notes[0] in compared.stderr.splitlines()
    refused = run(
        bundle, "score", radiograph_path, "--labels", "edema,", "--overwrite", *files[2:4], "--locate", UNREAD
    )
    assert refused.exit_code == 1 and refused.stderr.startswith("PromptError: phrase 1 of 1 has no word")


def test_alta_rank_tells_reports_of_unknown_words(bundle, radiograph_path, tmp_path):
    reports = tmp_path / "reports.txt"
    reports.write_text(f"there is edema\nthe lungs are {PARTLY}\n", encoding="utf-8")
    ranked = run(bundle, "rank", radiograph_path, "--reports", reports)
    assert ranked.exit_code == 0 and "1 of 2 words unknown" not in ranked.stderr
    assert "reports: 1 of 3 words are not in the vocabulary" in ranked.stderr
    assert "1 of 2 words unknown" in ranked.stdout
    reports.write_text(f"{UNREAD}\n{UNREAD}\n", encoding="utf-8")
    refused = run(bundle, "rank", radiograph_path, "--reports", reports)
    assert refused.exit_code == 1 and refused.stderr.startswith("PromptError: none of the 2 reports")


class BrokenSession:
    """A graph that gives what is no number."""

    def __init__(self, session, name, value):
        self._session, self._name, self._value = session, name, value
        self.info = session.info

    def run(self, inputs):
        outputs = dict(self._session.run(inputs))
        if self._name in outputs:
            outputs[self._name] = np.full_like(outputs[self._name], self._value)
        return outputs

    def close(self):
        self._session.close()


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("output", ["cls", "projection", "words", "patches"])
def test_numbers_that_are_not_finite_are_an_error(bundle, studies, output, value):
    with Matcher(bundle) as matcher:
        matcher.locate(studies[1], "edema")  # loads the patch graph, and its self-test
        encoder = matcher.engine._images if output == "cls" else matcher.engine._texts
        encoder = matcher.engine.patches._graph if output == "patches" else encoder
        encoder._session = BrokenSession(encoder._session, output, value)
        matcher.engine._texts.clear()  # of what the export has encoded nothing is computed
        ask = matcher.locate if output in ("words", "patches") else lambda study, text: matcher.zero_shot(study, [text])
        with pytest.raises(EngineError, match="not finite"):
            ask(studies[0], "mass")  # a prompt whose vector the bundle does not keep


@pytest.mark.parametrize("temperature", [float("nan"), float("inf"), 0, -1, "1", b"1", [1], 1e-320])
def test_a_temperature_that_gives_no_number_is_refused(matcher, studies, temperature):
    with pytest.raises(PromptError, match="temperature"):
        matcher.zero_shot(studies[0], ["edema"], temperature=temperature)
