"""The sections of a model card: figures in, Markdown out, each with its heading and how it was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from alta_sdk.statistics.intervals import RESAMPLES

from .baselines import BASELINE_COMPONENTS, BASELINE_PX
from .card_figures import OtherHospital, SplitFigures
from .metrics import Figures
from .other_hospital import DIRECTIONS, RECALLED
from .zero_shot import FEWEST

VIEWS_NOTE = (
    "The view alone separates the two classes on this data with the AUC in the row “view alone”: read the "
    "figures within each view before you take the whole for recognition of a finding."
)
BY_PATIENT = f"95 % intervals by {RESAMPLES:,} bootstrap draws of whole patients."
CURVE_HEADING = "## Validation over the epochs"


def show_zero_shot(named: str, table: str, taught: str, splits: Sequence[SplitFigures]) -> str:
    """Return the main finding's section: model and baselines, all and within each view."""
    rows = [row for split in splits for row in _compare(split)]
    has_views = any("auc_view_alone" in split.model for split in splits)
    return "\n".join(
        [
            f"## Zero-shot AUC: “There is {named}” / “There is no {named}”",
            "",
            taught,
            "",
            f"Against No Finding, frontal mode, on {table}, measured on the stored file. {BY_PATIENT} Both baselines "
            "are logistic regressions (C = 1e-3) fitted on the labels of the train split:",
            "",
            f"- pixel baseline: on {BASELINE_COMPONENTS} principal components of the standardised "
            f"{BASELINE_PX} × {BASELINE_PX} pixels;",
            "- frozen features: on what the model's image tower makes of a radiograph with its adapters switched off "
            "(CLS token and mean of the patch tokens, standardised; layer norms and tokens as trained).",
            "",
            *_table(
                ["split", "radiographs (positive)", "patients", "what", "model", "pixel baseline", "frozen features"],
                rows,
            ),
            *(("", VIEWS_NOTE) if has_views else ()),
        ]
    )


def show_findings(main: str, splits: Sequence[SplitFigures]) -> str:
    """Return the section of the other findings, or "" if the table has none."""
    measured = [(split.split, one) for split in splits for one in split.findings]
    left = [
        f"{split.split}: {', '.join(f'{name} ({count})' for name, count in split.left_out.items())}"
        for split in splits
        if split.left_out
    ]
    if not measured and not left:
        return ""
    views = sorted({view for _, one in measured for view in list_views(one.figures)})
    rows = [
        [
            one.finding,
            split,
            f"{one.figures['positive']}{_by_view(one.by_view)}",
            str(one.with_main),
            *(spell_interval(one.figures, key) for key in ("auc", *(f"auc_{view}" for view in views))),
        ]
        for split, one in measured
    ]
    heads = ["finding", "split", "positive", f"of these with {main}", "all", *(f"within {view}" for view in views)]
    lines = ["## Zero-shot AUC of the other findings", ""]
    if measured:
        lines += [
            "Each against No Finding, by “There is …” / “There is no …”, as above. Where nearly all positives of a "
            f"finding have {main} as well, its AUC may be that of {main}, or of anything abnormal.",
            "",
            *_table(heads, rows),
            "",
        ]
    if left:
        lines += [f"Left out, with fewer than {FEWEST} positives in the split: {'; '.join(left)}."]
    return "\n".join(lines).rstrip()


def show_calibration(named: str, splits: Sequence[SplitFigures]) -> str:
    """Return the section that says whether scores are probabilities; bins of the last split."""
    errors = " and ".join(
        f"{split.calibration.error:.3f} on {split.split} ({split.calibration.by_chance:.3f} by chance alone)"
        for split in splits
    )
    last = splits[-1]
    share = last.model["positive"] / last.model["radiographs"]
    return "\n".join(
        [
            "## Are the scores probabilities?",
            "",
            f"A score is a softmax over the two cosines, and no probability of {named} unless the table below says so. "
            f"Expected calibration error in {len(last.calibration.bins)} bins of equal count: {errors}; by chance "
            "alone is what true probabilities would show on as few radiographs. The table is of the "
            f"{last.split} split, where {100 * share:.0f} % are positive: elsewhere it will be another.",
            "",
            *_table(
                ["mean score", "observed share", "radiographs"],
                [[f"{one.score:.3f}", f"{one.observed:.3f}", str(one.count)] for one in last.calibration.bins],
            ),
        ]
    )


def show_other_hospital(named: str, table: str, other: OtherHospital | None) -> str:
    """Return the section of the radiographs from elsewhere, which says so if there are none."""
    if other is None:
        return "## Another hospital\n\nNone has been tried."
    pairs, shift = other.pairs, other.shift
    rows = [
        [str(k), *(cell for way in DIRECTIONS for cell in _spell_recall(pairs, f"{way}_r{k}"))]
        for k in RECALLED
        if f"{DIRECTIONS[0]}_r{k}" in pairs
    ]
    return "\n".join(
        [
            f"## Another hospital: {other.name}",
            "",
            f"The {other.split} split: {pairs['pairs']} radiographs of {pairs['patients']} patients with the words "
            f"that were published with them ({pairs['captions']} different captions). A hit is a candidate with the "
            f"query's own words among the k nearest of all {pairs['pairs']}; behind it what blind choice would reach. "
            f"{BY_PATIENT}",
            "",
            *_table(["recall at", "radiograph to caption", "chance", "caption to radiograph", "chance"], rows),
            "",
            f"AUC of the {shift['positive']} radiographs of {shift['positive_patients']} patients that its table calls "
            f"{named}, by name or cause, against the {shift['normal']} No Finding radiographs of {table} "
            f"({other.split} split): {spell_interval(shift, 'auc')}. They come from other scanners, cropped in another "
            f"way, so this may be the scanner's difference and not the {named}'s.",
        ]
    )


def show_curve(curve: Sequence[Mapping[str, Any]]) -> str:
    """Return the section of the validations, or "" if there was none."""
    if not curve:
        return ""
    rows = [[str(v["epoch"]), f"{v['auc']:.3f}", f"{v['auc_low']:.3f} to {v['auc_high']:.3f}"] for v in curve]
    return "\n".join([CURVE_HEADING, "", *_table(["epoch", "AUC", "95 % interval"], rows)])


def spell_interval(figures: Figures, key: str) -> str:
    """Write a figure with its interval: 0.850 (0.790 to 0.905); a dash if it was not measured."""
    if key not in figures:
        return "–"
    return f"{figures[key]:.3f} ({figures[f'{key}_low']:.3f} to {figures[f'{key}_high']:.3f})"


def _compare(split: SplitFigures) -> list[list[str]]:
    model = split.model
    start = [split.split, f"{model['radiographs']} ({model['positive']})", str(model["patients"])]
    keys = {"auc": "all", **{f"auc_{view}": f"within {view}" for view in list_views(model)}}
    rows = [
        [*start, what, *(spell_interval(one, key) for one in (model, split.pixels, split.frozen))]
        for key, what in keys.items()
    ]
    if "auc_view_alone" in model:
        rows.append([*start, "view alone", f"{model['auc_view_alone']:.3f}", "", ""])
    return rows


def list_views(figures: Figures) -> list[str]:
    """Return the views that an AUC was measured within."""
    return [
        key.removeprefix("auc_").removesuffix("_low") for key in figures if key.endswith("_low") and key != "auc_low"
    ]


def _spell_recall(figures: Figures, key: str) -> tuple[str, str]:
    return spell_interval(figures, key), f"{figures[f'{key}_chance']:.3f}"


def _by_view(counts: Mapping[str, int]) -> str:
    """Write (20 AP, 14 PA), or nothing for a table without views."""
    named = [f"{counts[view]} {view}" for view in sorted(counts) if view]
    return f" ({', '.join(named)})" if named else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
