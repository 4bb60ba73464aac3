"""From a verified bundle to its two graphs, loaded: in which back end, and why in that one.

The text graph of an engine that keeps the vectors of its own prompts is looked into here, and loaded when it is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass

from alta_runtimes import Session, choose_runtime, load
from alta_runtimes.graph_check import Lengths, check_graph
from alta_runtimes.openvino_session import NAME as OPENVINO

from ..errors import RuntimeUnavailable
from .beside import CPU, ReadCompiled
from .bundle import HEAD, IMAGE_GRAPH, PROMPT_VECTORS, PROMPTS, SELF_TEST, TEXT_GRAPH, TOKENIZER, Bundle, Kept
from .manifest import Manifest
from .manifest_content import FUSE, IMAGE, TEXT, compute_type
from .plans import RUNTIME as TENSORRT
from .plans import is_for_tensorrt, list_plans, open_plans
from .text_encoder import TEXT_ROWS
from .tuning import ELSEWHERE, choose_image_graph, read_tuning

# What opening an engine loads; the others are proven and not kept.
LOADED = (HEAD, TOKENIZER, PROMPTS, SELF_TEST)
IMAGE_ROWS = 16  # radiographs in one run; a study has at most four
PORTABLE = "onnx"  # the runtime of an engine that any back end may run


@dataclass(frozen=True)
class LoadedGraphs:
    """An engine's graphs in a back end, and why in that one.

    text: None for an engine that keeps the vectors of its own prompts: it is loaded when others are asked. fuse: a
    TensorRT plan; others are loaded when they are asked. read_compiled: of GraphBeside. open_streams: loads the image
    graph again, for so many runs at once on one thread each; None on a GPU.
    """

    image: Session
    text: Session | None
    reason: str
    fuse: Session | None = None
    read_compiled: ReadCompiled | None = None
    open_streams: Callable[[int], Session] | None = None


def list_kept(manifest: Manifest) -> Kept:
    """Return the files of a bundle that opening it uses, and so keeps in memory between proof and use.

    Of the text graph the outline, if it is not loaded then.
    """
    if is_for_tensorrt(manifest):
        return Kept((*LOADED, *list_plans(manifest).values()))
    beside = (manifest.graphs[FUSE].file,) if FUSE in manifest.graphs else ()
    tuning = read_tuning(manifest)
    image = choose_image_graph(manifest, *tuning.order[0][:2]) if tuning else IMAGE_GRAPH  # as a rule
    if manifest.lists(PROMPT_VECTORS):
        return Kept((*LOADED, image, *beside, PROMPT_VECTORS), (TEXT_GRAPH,))
    return Kept((*LOADED, image, TEXT_GRAPH, *beside))


def open_sessions(bundle: Bundle, device: str, runtime: str | None, threads: int | None) -> LoadedGraphs:
    """Load what a verified bundle needs at its start.

    Raises RuntimeUnavailable for a device or back end that does not work here, or cannot run this engine.
    """
    if is_for_tensorrt(bundle.manifest):
        plans = open_plans(bundle, device=device, runtime=runtime)
        return LoadedGraphs(plans[IMAGE], plans[TEXT], "the engine was exported for it", plans.get(FUSE))
    if runtime == TENSORRT:
        raise RuntimeUnavailable(f"this bundle holds no {TENSORRT} engine: export --engine trt")
    compute = compute_type(bundle.manifest.engine["precision"])
    chosen, reason, tuned_threads = _choose(bundle.manifest, runtime, compute, device)
    read_compiled, told = _find_compiled(bundle) if chosen == OPENVINO else (None, "")
    reason = f"{reason}; {told}" if told else reason
    threads = tuned_threads if threads is None else threads

    def open_graph(name: str, longest: Lengths) -> Session:
        with bundle.copy(name) as graph:
            return load(
                graph,
                name=name,
                device=device,
                threads=threads,
                runtime=chosen,
                compute=compute,
                longest=longest,
                compiled=read_compiled(name) if read_compiled else None,
            )

    def open_streams(count: int) -> Session:
        with bundle.copy(IMAGE_GRAPH) as graph:  # proven again: it may have changed since
            return load(
                graph,
                name=IMAGE_GRAPH,
                device=CPU,
                threads=1,
                runtime=chosen,
                compute=compute,
                longest=(1, 1),
                streams=count,
            )

    image_graph = choose_image_graph(bundle.manifest, chosen, threads)
    image = open_graph(image_graph, (IMAGE_ROWS, 1))
    streams = open_streams if image.info.device == CPU else None
    longest_text = (TEXT_ROWS, bundle.manifest.sizes["max_tokens"])
    if not bundle.manifest.lists(PROMPT_VECTORS):
        return LoadedGraphs(image, open_graph(TEXT_GRAPH, longest_text), reason, None, read_compiled, streams)
    check_graph(bundle.outline(TEXT_GRAPH), TEXT_GRAPH, longest_text)  # one that would be refused later is refused now
    return LoadedGraphs(image, None, reason, None, read_compiled, streams)


def _find_compiled(bundle: Bundle) -> tuple[ReadCompiled | None, str]:
    """Return what reads an engine's compiled form, if it is used, and what is to be told of it."""
    from .compiled import find_compiled  # with the site's key and all that it takes: few engines have such a form

    form, told = find_compiled(bundle)
    return (form.read if form else None), told


def _choose(manifest: Manifest, runtime: str | None, compute: str, device: str) -> tuple[str, str, int | None]:
    """Return the back end for an engine, why, and its threads, if they are known.

    It is the caller's word, the engine's, what was measured to be the fastest on such a processor, or what usually is.
    """
    if runtime is not None:
        return runtime, "asked for", None
    tuning = read_tuning(manifest)
    here = tuning if tuning is not None and tuning.is_of_here else None
    if manifest.engine["runtime"] != PORTABLE:
        chosen, reason = manifest.engine["runtime"], "the engine was exported for it"
    else:
        chosen, reason = choose_runtime(compute, device, here.runtimes if here else ())
        reason = f"{reason}; {ELSEWHERE}" if tuning and not here else reason
    return chosen, reason, here.find_threads(chosen) if here else None
