"""An engine's graphs as OpenVINO has compiled them on this machine: beside the bundle, so that it opens sooner.

Compiling takes most of the time in which an engine opens with OpenVINO. `alta engine compile` does it once and keeps
what came out in NAME.alta.compiled; nothing else ever writes there. The threat: such a file is more machine than data,
nobody has signed it, and a back end trusts it. So it is bound to the engine's hash, to OpenVINO's version and to the
processor, its files are hashed, and all of it is sealed with this site's secret (HMAC-SHA256, RFC 2104): what another
user or another machine has made is not used, and what was changed is refused. Proven are the bytes that are loaded.
"""

import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alta_runtimes import available
from alta_runtimes.openvino_session import NAME as OPENVINO
from alta_runtimes.openvino_session import CompiledGraph, compile_graph

from ..errors import EngineError, IntegrityError
from ..files.folders import check_folder, new_folder
from ..files.opening import read_bytes
from ..study.key import SiteKey, open_existing_key
from .bundle import Bundle, copy_blocks, read_proven
from .manifest import BundleFile, Manifest
from .manifest_content import FILE_NAME, SHA256, TEXT, compute_type
from .processor import list_instruction_sets, processor_name
from .schema import choice, integer, listing, mapping, parse_json, record, text
from .tuning import choose_image_graph

SUFFIX = ".compiled"
MANIFEST = "compiled.json"
MAX_BYTES = 1 << 16
AGAIN = "make it again with alta engine compile --overwrite, or remove it"
NAMES = listing(text(100), 16, 1)
GRAPH = record({"size": integer(1, 1 << 40), "sha256": SHA256, "inputs": NAMES, "outputs": NAMES})
CONTENT = record(
    {
        "schema_version": integer(1, 1),
        "engine_sha256": SHA256,
        "runtime": choice(OPENVINO),
        "version": text(100),
        "processor": text(300),
        "instruction_sets": listing(text(50), 100),
        "graphs": mapping(GRAPH, 4),
        "seal": SHA256,
    }
)


@dataclass(frozen=True)
class CompiledForm:
    """What was compiled for an engine here. graphs: what is told of each, by the name of its file in the bundle."""

    folder: Path
    graphs: Mapping[str, Mapping[str, Any]]

    def read(self, graph: str) -> CompiledGraph | None:
        """Return a compiled graph, proven; None for one that was not compiled. Raises IntegrityError."""
        told = self.graphs.get(graph)
        if told is None:
            return None
        name = name_blob(graph)
        data = copy_blocks(read_proven(self.folder / name, BundleFile(name, told["size"], told["sha256"]), AGAIN), name)
        return CompiledGraph(data, tuple(told["inputs"]), tuple(told["outputs"]))


def name_blob(graph: str) -> str:
    """Return the file of a compiled graph; graph: its file in the bundle."""
    return f"{graph}.blob"


def find_folder(bundle: Bundle) -> Path:
    """Return where an engine's compiled form lies, if there is one."""
    folder = bundle.folder.resolve()
    return folder.with_name(folder.name + SUFFIX)


def find_compiled(bundle: Bundle) -> tuple[CompiledForm | None, str]:
    """Return an engine's compiled form, and what is to be told of it: that it is used, or why it is not; "" if none.

    Raises IntegrityError for one of this site that was changed.
    """
    folder = find_folder(bundle)
    if not os.path.isdir(folder):  # nor where the name of an engine leaves no room for one
        return None, ""
    content = _read_content(folder)
    site_key = open_existing_key()
    if site_key is None:
        return None, "its compiled form is not used, since there is no site key here to prove it with"
    if not hmac.compare_digest(content["seal"], _seal(content, site_key)):
        return None, "its compiled form is not used, since it does not bear this site's seal"
    wanted = describe_here(bundle.manifest)
    differs = [name.replace("_", " ") for name, value in wanted.items() if content[name] != value]
    if differs:
        return None, f"its compiled form is not used, since it is for another {', '.join(differs)}"
    return CompiledForm(folder, content["graphs"]), "its compiled form"


def compile_engine(bundle: Bundle, site_key: SiteKey, *, threads: int, overwrite: bool) -> Path:
    """Compile the graphs that an engine loads at its start, and write them beside it; return the folder.

    bundle: not of a TensorRT engine. Raises EngineError for an engine that OpenVINO does not run or a folder that is in
    the way.
    """
    manifest = bundle.manifest
    compute, folder = compute_type(manifest.engine["precision"]), find_folder(bundle)
    if os.path.lexists(folder) and not overwrite:
        raise EngineError(f"{folder.name} exists: replace it with --overwrite")
    check_folder(folder, overwrite=overwrite, list_own=list_own_files, by="alta engine compile", error=EngineError)
    graphs: dict[str, Any] = {}
    with new_folder(folder, overwrite=overwrite, list_own=list_own_files) as new:
        for name in (choose_image_graph(manifest, OPENVINO, threads), manifest.graphs[TEXT].file):
            with bundle.copy(name) as graph:
                compiled = compile_graph(graph.source, name=name, threads=threads, compute=compute)
            data = bytes(compiled.data.view())
            (new / name_blob(name)).write_bytes(data)
            listed = asdict(BundleFile.of(name_blob(name), data))
            listed.pop("name")
            graphs[name] = {**listed, "inputs": list(compiled.inputs), "outputs": list(compiled.outputs)}
        content = {"schema_version": 1, **describe_here(manifest), "graphs": graphs}
        (new / MANIFEST).write_text(json.dumps({**content, "seal": _seal(content, site_key)}, indent=1) + "\n")
    return folder


def describe_here(manifest: Manifest) -> dict[str, Any]:
    """Return what a compiled form of an engine is bound to, as it is on this machine."""
    version = next(info.version for info in available() if info.name == OPENVINO)
    return {
        "engine_sha256": manifest.sha256,
        "runtime": OPENVINO,
        "version": version or "",
        "processor": processor_name(),
        "instruction_sets": list(list_instruction_sets()),
    }


def list_own_files(folder: Path) -> set[str]:
    """Return the files of a compiled form; none if the folder is no such form."""
    try:
        content = _read_content(folder)
    except IntegrityError:
        return set()
    return {MANIFEST, *map(name_blob, content["graphs"])}


def _read_content(folder: Path) -> dict[str, Any]:
    try:
        data = read_bytes(folder / MANIFEST, MAX_BYTES)
        content = parse_json(data)
        CONTENT(content, "")
        for graph in content["graphs"]:  # files of these names are deleted when a form is replaced
            FILE_NAME(graph, "graphs")
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{folder.name} is no compiled form of an engine: {AGAIN}") from error
    return dict(content)


def _seal(content: Mapping[str, Any], site_key: SiteKey) -> str:
    sealed = {name: value for name, value in content.items() if name != "seal"}
    told = json.dumps(sealed, sort_keys=True, separators=(",", ":")).encode("ascii")
    return hmac.new(site_key.secret, b"alta-sdk compiled form:" + told, "sha256").hexdigest()
