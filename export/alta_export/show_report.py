"""What an export tells a person: sizes, parity, drift, time per radiograph, and where the engine is."""

from alta_sdk.cli.terminal import print_facts, print_table, say
from alta_sdk.engine.card import has_card
from alta_sdk.engine.manifest_content import PATCHES
from alta_sdk.engine.tuning import read_tuning

from .evidence import FEW, SYNTHETIC
from .gate import GateDrift
from .pipeline import CHECKPOINT, ExportReport

SHOW_CARD = "in the engine: alta inspect NAME.alta --card"
NO_CARD = "none: alta-train publish writes one beside the checkpoint, or give --card"
SLOWER = ("slower than FP32", "on this machine: it saves memory alone here")


def show_report(report: ExportReport) -> None:
    """Print sizes, parity, time per radiograph and where the bundle is."""
    manifest = report.manifest
    merging = manifest.merging
    print_table(
        "Merging (one radiograph, one prompt of 32 tokens)",
        ["tower", "parameters before", "after", "multiply-adds before", "after"],
        [
            (
                tower,
                *(
                    f"{merging[f'{tower}_{when}'][what]:,}"
                    for what in ("parameters", "multiply_adds")
                    for when in ("before", "after")
                ),
            )
            for tower in ("image", "text")
        ],
    )
    if "adapters" in merging:
        show_left_out(merging["adapters"])
    told = manifest.verification
    print_table(
        f"Parity with PyTorch float32 on {told['radiographs']} synthetic radiographs and {told['prompts']} prompts",
        ["output", "rows", "worst cosine", "max abs difference", "limit"],
        [
            (d.output, d.rows, f"{d.worst_cosine:.8f}", f"{d.max_abs:.1e}", f"{d.max_abs_limit:.0e}")
            for d in report.drifts
        ],
    )
    show_gate(report)
    show_tuning(report)
    print_table("Files", ["file", "bytes"], [(file.name, f"{file.size:,}") for file in manifest.files])
    for notice in manifest.notices:
        say(notice)
    if report.heads_from != CHECKPOINT:
        say(
            f"image heads: {manifest.sizes['image_heads']}, by {report.heads_from}, since the checkpoint does not "
            "state them: with wrong ones scores are wrong, and no check here can tell; compare with its training"
        )
    print_facts(
        f"Engine {manifest.name}",
        [
            ("precision", manifest.engine["precision"]),
            ("fusion mode", manifest.fusion_mode),
            ("intensity profile", manifest.intensity_profile),
            *((("image heads", manifest.sizes["image_heads"]),) if "image_heads" in manifest.sizes else ()),
            *show_time(report),
            *((SLOWER,) if is_slower(report) else ()),
            ("model card", SHOW_CARD if has_card(manifest) else NO_CARD),
            ("bundle", report.path),
        ],
    )


def show_left_out(adapters: dict[str, int]) -> None:
    """Say how many adapters the engine goes without, if any."""
    if adapters["left_out"]:
        say(f"left out {adapters['left_out']} of {adapters['total']} adapters: they add nothing")


def show_time(report: ExportReport) -> list[tuple[str, str]]:
    """Say how long a radiograph takes, or how the engine gets built."""
    if report.radiograph_s is None:
        return [("not built yet", "on the GPU that will run it: alta-export build NAME.alta")]
    return [("time per radiograph", f"{1000 * report.radiograph_s:.1f} ms on this machine")]


def show_gate(report: ExportReport) -> None:
    """Print what the lower precision costs on the held-out radiographs, and what it brings."""
    lowered = report.lowered
    drift, limits = lowered.drift, lowered.gate["limits"]
    rows = [
        (f"{of} cosine, {kind}", f"{value:.6f}", limits["patch_cosine" if PATCHES in name else f"{kind}_cosine"])
        for name, value in drift.list_cosines().items()
        for of, kind in [name.removesuffix("_cosine").replace("_", " ").rsplit(maxsplit=1)]
    ]
    rows += [("largest shift of a score", f"{drift.max_score_shift:.4f}", limits["score_shift"])]
    rows += [("flipped decisions", f"{100 * drift.flipped_share:.2f} %", f"{100 * limits['flipped_share']:g} %")]
    rows += show_auc(drift, limits["auc_loss"])
    print_table(f"Drift from FP32 on {tell_held_out(report)}", ["figure", "measured", "limit"], rows)
    if lowered.gate["evidence"] == FEW:
        say(f"the gate asks for {limits['radiographs']} held-out radiographs: give more with --held-out")
    elif lowered.gate["evidence"] == SYNTHETIC:
        say(f"no radiographs were held out, and the gate asks for {limits['radiographs']}: give them with --held-out")
    for graph, found in lowered.graphs.items():
        if found.raised:
            say(f"{graph}: kept in FP32, since they drift most: {', '.join(sorted(found.raised))}")


def show_tuning(report: ExportReport) -> None:
    """Print what was measured to run the engine here, the fastest first; nothing of one that was not tuned."""
    tuning = read_tuning(report.manifest)
    if tuning is not None:
        print_table(
            f"One radiograph on this machine, median of {tuning.rounds} runs in turn",
            ["runtime", "threads", "tokens", "ms"],
            [(*way, f"{tuning.median_ms[way]:.1f}") for way in tuning.order],
        )


def show_auc(drift: GateDrift, limit: float) -> list[tuple[str, str, object]]:
    """Return the rows of the AUC and its loss, with its interval; none without truth."""
    if drift.auc_loss is None:
        return []
    drawn = "radiograph" if drift.patients is None else "patient"
    loss = f"{drift.auc_loss:.4f} ({drift.auc_loss_low:.4f} to {drift.auc_loss_high:.4f})"
    return [
        ("AUC, FP32 and this engine", f"{drift.auc_reference:.4f}, {drift.auc_engine:.4f}", "-"),
        (f"AUC loss (95 % interval by {drawn})", loss, limit),
    ]


def tell_held_out(report: ExportReport) -> str:
    """Say what the drift was measured on: radiographs, patients, prompts, decisions."""
    drift, gate = report.lowered.drift, report.lowered.gate
    whose = "patients not told" if drift.patients is None else f"{drift.patients} patients"
    own = [gate["held_out"], *([] if gate["evidence"] == SYNTHETIC or "synthetic" in gate["held_out"] else [whose])]
    return f"{drift.radiographs} radiographs ({'; '.join(own)}), {drift.prompts} prompts, {drift.decisions} decisions"


def is_slower(report: ExportReport) -> bool:
    """Tell whether an engine of lower precision is not faster than FP32 on this machine."""
    times, precision = report.lowered.milliseconds, report.manifest.engine["precision"]
    return bool(precision != "fp32" and times and times[precision] >= times["fp32"])
