"""`alta engine`: what this machine keeps beside an engine."""

import click

from alta_runtimes import RuntimeUnavailable, available
from alta_runtimes.choose import default_threads
from alta_runtimes.openvino_session import NAME as OPENVINO

from ..engine.bundle import open_bundle
from ..engine.compiled import compile_engine
from ..engine.engine import Engine
from ..engine.plans import is_for_tensorrt
from ..engine.sessions import list_kept
from ..engine.signature import choose_trust
from ..errors import EngineError
from .option_groups import json_option, overwrite_option, threads_option, trust_option
from .site_key import open_key
from .terminal import fail_in_one_line, print_facts, print_object


@click.group()
def engine() -> None:
    """Prepare an engine for this machine."""


@engine.command()
@click.argument("path", metavar="NAME.alta", type=click.Path())
@threads_option
@trust_option
@overwrite_option("a compiled form")
@json_option()
@fail_in_one_line
def compile(path: str, threads: int | None, trust: str | None, overwrite: bool, as_json: bool) -> None:
    """Compile an engine's graphs with OpenVINO for this machine, so that it opens sooner.

    Writes NAME.alta.compiled beside it, and nothing else ever does: bound to this engine, this version of OpenVINO and
    this processor, hashed, and sealed with the site key: that of ALTA_SITE_KEY, else of your settings folder, where
    whoever opens the engine looks. Another machine, or another version, opens the engine as before, and says so.
    """
    require_openvino()
    bundle = open_bundle(path, trusted=choose_trust(trust), keep=list_kept)
    if is_for_tensorrt(bundle.manifest):
        raise EngineError("a TensorRT engine is built, not compiled: alta-export build NAME.alta")
    folder = compile_engine(bundle, open_key(None), threads=threads or default_threads(), overwrite=overwrite)
    with Engine.open(path, runtime="openvino", threads=threads, trust=trust) as opened:
        told = {
            "engine": opened.manifest.name,
            "engine_sha256": opened.manifest.sha256,
            "compiled": folder.name,
            "bytes": sum(file.stat().st_size for file in folder.iterdir()),
            "runtime": opened.provenance["runtime"],
            "runtime_reason": opened.runtime_reason,
        }
    if as_json:
        print_object(told)
    else:
        print_facts("Compiled for this machine", [(name.replace("_", " "), value) for name, value in told.items()])


def require_openvino() -> None:
    """Raise RuntimeUnavailable where OpenVINO is not here."""
    info = next(info for info in available() if info.name == OPENVINO)
    if not info.is_available:
        raise RuntimeUnavailable(f"{OPENVINO} is {info.reason}")
