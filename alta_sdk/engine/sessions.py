"""From a verified bundle to its two graphs, loaded: in which back end, and why in that one.

The text graph of an engine that keeps the vectors of its own prompts is looked into here, and loaded when it is asked.
"""

from alta_runtimes import Session, choose_runtime, load
from alta_runtimes.graph_check import Lengths, check_graph

from ..errors import RuntimeUnavailable
from .bundle import HEAD, IMAGE_GRAPH, PROMPT_VECTORS, PROMPTS, SELF_TEST, TEXT_GRAPH, TOKENIZER, Bundle
from .manifest import Manifest
from .manifest_content import FUSE, IMAGE, TEXT, compute_type
from .plans import RUNTIME as TENSORRT
from .plans import is_for_tensorrt, list_plans, open_plans
from .text_encoder import TEXT_ROWS

# What opening an engine loads; the others are proven and not kept.
LOADED = (HEAD, TOKENIZER, PROMPTS, SELF_TEST)
IMAGE_ROWS = 16  # radiographs in one run; a study has at most four
Loaded = tuple[Session, Session | None, str, Session | None]
PORTABLE = "onnx"  # the runtime of an engine that any back end may run


def list_loaded(manifest: Manifest) -> tuple[str, ...]:
    """Return the files of a bundle that opening it loads, and so holds in memory between proof and use."""
    if is_for_tensorrt(manifest):
        return (*LOADED, *list_plans(manifest).values())
    beside = (manifest.graphs[FUSE].file,) if FUSE in manifest.graphs else ()
    listed = {file.name for file in manifest.files}
    vectors = (PROMPT_VECTORS,) if PROMPT_VECTORS in listed else ()
    return (*LOADED, IMAGE_GRAPH, TEXT_GRAPH, *beside, *vectors)


def open_sessions(bundle: Bundle, device: str, runtime: str | None, threads: int | None) -> Loaded:
    """Return an engine's loaded image graph, its text graph, why this back end was taken, and its fuse graph's plan.

    Where there is none, the fuse graph is loaded beside the image graph, when it is asked; so is a text graph whose
    prompts' vectors are in the bundle (None here).

    Raises RuntimeUnavailable for a device or back end that does not work here, or cannot run this engine.
    """
    if is_for_tensorrt(bundle.manifest):
        plans = open_plans(bundle, device=device, runtime=runtime)
        return plans[IMAGE], plans[TEXT], "the engine was exported for it", plans.get(FUSE)
    if runtime == TENSORRT:
        raise RuntimeUnavailable(f"this bundle holds no {TENSORRT} engine: export --engine trt")
    compute = compute_type(bundle.manifest.engine["precision"])
    chosen, reason = _choose(bundle.manifest, runtime, compute, device)

    def open_graph(name: str, longest: Lengths) -> Session:
        with bundle.copy(name) as graph:
            return load(
                graph, name=name, device=device, threads=threads, runtime=chosen, compute=compute, longest=longest
            )

    image = open_graph(IMAGE_GRAPH, (IMAGE_ROWS, 1))
    longest_text = (TEXT_ROWS, bundle.manifest.sizes["max_tokens"])
    if not bundle.has(PROMPT_VECTORS):
        return image, open_graph(TEXT_GRAPH, longest_text), reason, None
    with bundle.copy(TEXT_GRAPH) as graph:  # one that would be refused later is refused now
        check_graph(graph.view(), TEXT_GRAPH, longest_text)
    return image, None, reason, None


def _choose(manifest: Manifest, runtime: str | None, compute: str, device: str) -> tuple[str, str]:
    """Return the back end for an engine and why: the caller's word, the engine's, or the fastest here."""
    if runtime is not None:
        return runtime, "asked for"
    if manifest.engine["runtime"] != PORTABLE:
        return manifest.engine["runtime"], "the engine was exported for it"
    return choose_runtime(compute, device)
