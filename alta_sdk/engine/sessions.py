"""From a verified bundle to its two graphs, loaded: in which back end, and why in that one."""

from alta_runtimes import Session, choose_runtime, load

from ..errors import RuntimeUnavailable
from .bundle import HEAD, IMAGE_GRAPH, PROMPTS, SELF_TEST, TEXT_GRAPH, TOKENIZER, Bundle
from .manifest import Manifest
from .manifest_content import FUSE, IMAGE, TEXT, compute_type
from .plans import RUNTIME as TENSORRT
from .plans import is_for_tensorrt, list_plans, open_plans
from .text_encoder import TEXT_ROWS

# What opening an engine loads; the others are proven and not kept.
LOADED = (HEAD, TOKENIZER, PROMPTS, SELF_TEST)
IMAGE_ROWS = 16  # radiographs in one run; a study has at most four
Loaded = tuple[Session, Session, str, Session | None]
PORTABLE = "onnx"  # the runtime of an engine that any back end may run


def list_loaded(manifest: Manifest) -> tuple[str, ...]:
    """Return the files of a bundle that opening it loads, and so holds in memory between proof and use."""
    if is_for_tensorrt(manifest):
        return (*LOADED, *list_plans(manifest).values())
    beside = (manifest.graphs[FUSE].file,) if FUSE in manifest.graphs else ()
    return (*LOADED, IMAGE_GRAPH, TEXT_GRAPH, *beside)


def open_sessions(bundle: Bundle, device: str, runtime: str | None, threads: int | None) -> Loaded:
    """Return an engine's loaded image graph, its text graph, why this back end was taken, and its fuse graph's plan.

    Where there is none, the fuse graph is loaded beside the image graph.

    Raises RuntimeUnavailable for a device or back end that does not work here, or cannot run this engine.
    """
    if is_for_tensorrt(bundle.manifest):
        plans = open_plans(bundle, device=device, runtime=runtime)
        return plans[IMAGE], plans[TEXT], "the engine was exported for it", plans.get(FUSE)
    if runtime == TENSORRT:
        raise RuntimeUnavailable(f"this bundle holds no {TENSORRT} engine: export --engine trt")
    compute = compute_type(bundle.manifest.engine["precision"])
    chosen, reason = _choose(bundle.manifest, runtime, compute, device)
    opened = []
    largest = {IMAGE_GRAPH: (IMAGE_ROWS, 1), TEXT_GRAPH: (TEXT_ROWS, bundle.manifest.sizes["max_tokens"])}
    for name, longest in largest.items():
        with bundle.copy(name) as graph:
            opened.append(
                load(
                    graph,
                    name=name,
                    device=device,
                    threads=threads,
                    runtime=chosen,
                    compute=compute,
                    longest=longest,
                )
            )
    return opened[0], opened[1], reason, None


def _choose(manifest: Manifest, runtime: str | None, compute: str, device: str) -> tuple[str, str]:
    """Return the back end for an engine and why: the caller's word, the engine's, or the fastest here."""
    if runtime is not None:
        return runtime, "asked for"
    if manifest.engine["runtime"] != PORTABLE:
        return manifest.engine["runtime"], "the engine was exported for it"
    return choose_runtime(compute, device)
