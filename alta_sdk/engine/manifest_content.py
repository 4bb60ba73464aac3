"""What a manifest may hold, by version of its schema, and how a version 1 manifest is read as version 2.

Version 1 knew one family of checkpoints, ALTA, and left unsaid what is the same for all of its engines. Version 2 says
it: which graph gives what, which fusion modes there are, how prompts are read and averaged. What is said in words is
one of a few here: nothing in a manifest is code, and a family's name decides nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ..study.slots import Slot
from .preprocessing import PREPROCESSING
from .schema import Rule, choice, integer, listing, mapping, matching, number, plain, record, require, text

SCHEMA_VERSION = 2
LOCAL_HEADS = "local_heads"  # key of `engine`: what heat maps need; engines of version 0.1 have none
TUNED = "tuned"  # key of `engine`: what was the fastest at the export; only of one that was tuned
MAX_FILES = 64
MAX_FILE_BYTES = 1 << 40

ALTA = "alta"
FRONTAL, PRESENT, PUBLISHED, PRIOR = "frontal", "present", "published", "prior"
FUSION_MODES = (FRONTAL, PRESENT, PUBLISHED)  # of the family alta, and of its training
KNOWN_MODES = (*FUSION_MODES, PRIOR)  # of all families
SLOTS = tuple(slot.name.lower() for slot in Slot)
PRIOR_SLOT = Slot.PRIOR_FRONTAL.name.lower()
AS_IS, STRIP_FINAL_PUNCTUATION = "as-is", "strip-final-punctuation"
PROMPT_RULES = (AS_IS, STRIP_FINAL_PUNCTUATION)
BEFORE_NORMALISATION, AFTER_NORMALISATION = "before-normalisation", "after-normalisation"
PROMPT_AVERAGES = (BEFORE_NORMALISATION, AFTER_NORMALISATION)
WORDS, PHRASE, NO_MATCH = "words", "phrase", "none"
PATCH_MATCHES = (WORDS, PHRASE, NO_MATCH)
MLP, LINEAR, NO_HEAD = "mlp", "linear", "none"
HEAD_KINDS = (MLP, LINEAR, NO_HEAD)
BLANK = "{}"  # in a prompt of `prompt_pair`: the finding
ALTA_PAIR = ("There is {}", "There is no {}")

IMAGE, FUSE, TEXT, PATCHES = "image", "fuse", "text", "patches"
FEATURES, PRIOR_FEATURES = "features", "prior_features"  # what a fuse graph reads: (n, channels, side, side)
# By graph: the inputs that it may have, those that it must give, and what else it may give.
TENSORS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    IMAGE: (("pixels", "slot"), (), ("cls", "tokens", FEATURES, "projection", "patches")),
    FUSE: ((FEATURES, PRIOR_FEATURES), ("projection",), ("patches",)),
    TEXT: (("input_ids", "attention_mask"), ("projection",), ("words",)),
    PATCHES: (("tokens",), ("patches",), ()),
}
ALTA_TENSORS = {
    IMAGE: (("pixels", "slot"), ("cls", "tokens")),
    TEXT: (("input_ids", "attention_mask"), ("projection", "words")),
    PATCHES: (("tokens",), ("patches",)),
}
# Not ours, no device of Windows, and the same name on every system.
FILE_NAME = matching(
    r"(?!(manifest|con|prn|aux|nul|com\d|lpt\d)([.]|$))[a-z0-9]([a-z0-9_.-]{0,62}[a-z0-9_-])?",
    "the plain name of a file",
)
SHA256 = matching("[0-9a-f]{64}", "a SHA-256")
LIMITS = record({"min_cosine": number(-4, 1), "max_abs": number(0, 8)}, other=number(-1e6, 1e6))
WHOLE, SPLIT = "whole", "split"  # forms of the image graph: split, with its tokens in two parts
WAY = {"runtime": text(50), "threads": integer(1, 1 << 16)}
FORM = {"form": choice(WHOLE, SPLIT)}
TUNING = record(
    {
        "processor": text(300),
        "instruction_sets": listing(text(50), 100),
        "processors": integer(1, 1 << 16),
        "rounds": integer(1, 1 << 16),
        "measured": listing(record({**WAY, "median_ms": number(0, 1e9)}, FORM), 100, 1),
        "chosen": record(WAY, FORM),
    },
    {"split_cosine": number(-1, 1.001)},
    plain,
)
# Sections hold more than programs read, and other versions of the SDK wrote more or less of it: that is plain JSON.
OF_EVERY_VERSION: dict[str, Rule] = {
    "sha256": SHA256,
    "name": text(200),
    "created": text(100),
    "sdk_version": text(100),
    "source": mapping(plain),
    "method": text(1000),
    "sizes": record({"embedding": integer(1, 1 << 16), "max_tokens": integer(3, 1 << 16)}, other=integer(0, 1 << 32)),
    "preprocessing": PREPROCESSING,
    "logit_scale": number(1e-6, 1e6),
    "engine": record(
        {
            "runtime": choice("onnx", "openvino", "tensorrt"),
            "precision": choice("fp32", "fp16", "bf16", "int8", "int8-bf16"),
        },
        {
            LOCAL_HEADS: record(
                {"limits": LIMITS, "patch_scale": number(1e-6, 1e6), "precision": text(20)}, other=plain
            ),
            TUNED: TUNING,
        },
        plain,
    ),
    "merging": mapping(plain),
    "verification": record({"limits": LIMITS}, {"patch_limits": LIMITS}, plain),
    "intended_use": text(lines=True),
    "licence": text(lines=True),
    "training_data": text(lines=True),
    "notices": listing(text(), 100),
    "files": listing(
        record(
            {
                "name": FILE_NAME,
                "size": integer(0, MAX_FILE_BYTES),
                "sha256": SHA256,
            }
        ),
        MAX_FILES,
    ),
}


def name_graph_file(graph: str) -> str:
    """Return the file of a graph in a bundle."""
    return f"{graph}.onnx"


def compute_type(precision: str) -> str:
    """Return what a back end has to compute an engine's floating-point products in: "f32" or "bf16"."""
    return "bf16" if precision.endswith("bf16") else "f32"


def product_type(precision: str) -> str:
    """Return what an engine's products with a weight are stored in: in "int8-bf16" they are INT8, the rest is BF16."""
    return "int8" if precision == "int8-bf16" else precision


def _graph(name: str) -> Rule:
    inputs, needed, more = TENSORS[name]
    return record(
        {
            "file": choice(name_graph_file(name)),
            "inputs": listing(choice(*inputs), len(inputs), 1),
            "outputs": listing(choice(*needed, *more), len(needed) + len(more), 1),
        }
    )


def _template(value: Any, where: str) -> None:
    text(1000)(value, where)
    require(value.count(BLANK) == 1, where, f"does not say once where the finding stands ({BLANK})")


GRAPHS = {name: _graph(name) for name in TENSORS}
CONTENT_BY_VERSION: dict[int, Rule] = {
    1: record({"schema_version": integer(1, 1), **OF_EVERY_VERSION, "fusion_mode": choice(*FUSION_MODES)}),
    2: record(
        {
            "schema_version": integer(2, 2),
            **OF_EVERY_VERSION,
            "family": matching(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", "the name of a family"),
            "graphs": record({name: GRAPHS[name] for name in (IMAGE, TEXT)}, GRAPHS),
            "head": choice(*HEAD_KINDS),
            "fusion_mode": choice(*KNOWN_MODES),
            "fusion_modes": listing(choice(*KNOWN_MODES), len(KNOWN_MODES), 1),
            "slots": listing(choice(*SLOTS), len(SLOTS), 1),
            "prompt_rule": choice(*PROMPT_RULES),
            "prompt_average": choice(*PROMPT_AVERAGES),
            "prompt_pair": listing(_template, 2, 2),
            "patch_match": choice(*PATCH_MATCHES),
            "logit_scale_note": text(1000),
        }
    ),
}
# What version 2 says beside version 1, as it is for every engine of the family alta.
ALTA_CONTENT: Mapping[str, Any] = {
    "family": ALTA,
    "head": MLP,
    "fusion_modes": FUSION_MODES,
    "slots": SLOTS,
    "prompt_rule": AS_IS,
    "prompt_average": BEFORE_NORMALISATION,
    "prompt_pair": ALTA_PAIR,
    "patch_match": WORDS,
    "logit_scale_note": "",
}
ADDED = frozenset({*ALTA_CONTENT, "graphs"})


def lift_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a version 1 manifest with what version 2 says besides, as an engine of the family alta.

    Its schema version stays 1: what is rendered, hashed and signed of it is what was written.
    """
    listed = {file["name"] for file in content["files"]}
    graphs = describe_alta_graphs(name for name in ALTA_TENSORS if name != PATCHES or name_graph_file(name) in listed)
    return {**content, **ALTA_CONTENT, "graphs": graphs}


def describe_alta_graphs(names: Iterable[str] = tuple(ALTA_TENSORS)) -> dict[str, Any]:
    """Return what a manifest says of ALTA's graphs."""
    return {
        name: {"file": name_graph_file(name), "inputs": ALTA_TENSORS[name][0], "outputs": ALTA_TENSORS[name][1]}
        for name in names
    }


def check_content(content: Any) -> None:
    """Raise ValueError, with the place, unless the content of a manifest, of its own version, keeps the schema."""
    version = content.get("schema_version") if isinstance(content, dict) else None
    known = CONTENT_BY_VERSION.get(version) if type(version) is int else None
    (known or CONTENT_BY_VERSION[SCHEMA_VERSION])(content, "")
    names = [file["name"] for file in content["files"]]
    if len(set(names)) != len(names):
        raise ValueError("files lists one name twice")
    if version != 1:
        _check_agreement(content, names)


def _check_agreement(content: Mapping[str, Any], listed: list[str]) -> None:
    """Raise ValueError unless the graphs give what the head, the modes and the heat maps read."""
    graphs, modes = content["graphs"], content["fusion_modes"]
    given = {name: graph["outputs"] for name, graph in graphs.items()}
    for name, graph in graphs.items():
        inputs, needed, _ = TENSORS[name]
        require(inputs[0] in graph["inputs"], f"graphs.{name}", f"does not read {inputs[0]}")
        require(set(needed) <= set(given[name]), f"graphs.{name}", f"does not give {', '.join(needed)}")
    for place in ("fusion_modes", "slots"):
        require(len(set(content[place])) == len(content[place]), place, "lists one twice")
    require(content["fusion_mode"] in modes, "fusion_mode", "is none of fusion_modes")
    require(FRONTAL in modes, "fusion_modes", "lacks frontal")
    require(SLOTS[0] in content["slots"], "slots", "lacks the current frontal")
    source = "projection" if content["head"] == NO_HEAD else "cls"
    require(source in given[IMAGE], "graphs.image", f"does not give {source}, which the head reads")
    require(PUBLISHED not in modes or content["head"] == MLP, "fusion_modes", "needs the head of ALTA")
    require((PRIOR in modes) == (FUSE in graphs), "fusion_modes", "does not fit the graphs: prior needs fuse")
    require(PRIOR not in modes or PRIOR_SLOT in content["slots"], "slots", "lacks the prior frontal")
    # The bundle asks for the other two itself, and heat maps for patches when the first one is drawn.
    require(FUSE not in graphs or name_graph_file(FUSE) in listed, "graphs.fuse", "is a file that is not listed")
    require(FUSE not in graphs or "features" in given[IMAGE], "graphs.image", "does not give features")
    is_drawn = content["patch_match"] != PHRASE or "patches" in given[IMAGE]
    require(is_drawn, "patch_match", "needs patches of the image graph")
