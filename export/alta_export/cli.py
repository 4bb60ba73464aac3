"""The `alta-export` command."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click
from click.core import ParameterSource

from alta_sdk import __version__
from alta_sdk.cli.option_groups import CONTEXT, PATH, debug_option, overwrite_option, trust_option
from alta_sdk.cli.program import ProgramGroup
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, say, show_debug_log
from alta_sdk.engine.bundle import read_manifest
from alta_sdk.engine.plans import RUNTIME as TENSORRT
from alta_sdk.engine.plans import build_bundle
from alta_sdk.engine.signature import choose_trust

from .command_options import export_options
from .options import ExportOptions, read_stated_date
from .sign import sign_engine

NEEDS = ("torch", "onnx", "onnxscript", "timm", "transformers", "safetensors")


@click.group(
    cls=ProgramGroup,
    invoke_without_command=True,
    context_settings=CONTEXT,
    subcommand_metavar="[build|sign NAME.alta]",
)
@click.version_option(__version__, prog_name="alta-export")
@export_options
@debug_option("Show where an error comes from.")
@click.pass_context
@fail_in_one_line
def main(context: click.Context, /, debug: bool, make_options: Callable[[], ExportOptions]) -> None:
    """Merge a checkpoint's adapters and write an engine that the SDK runs without torch.

    Without --checkpoint the small demo model of the repository is exported.

    The graphs are compared with PyTorch before anything is written; an engine that differs is not.
    """
    if debug:
        show_debug_log()
    if context.invoked_subcommand is not None:
        refuse_options(context)
        return
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        say(f"ExportError: {', '.join(missing)} not installed: pip install 'alta-sdk[export]'")
        sys.exit(1)
    read_stated_date()  # refused here, since numpy reads it as well, when what comes next imports all of it
    from .pipeline import export_engine
    from .show_report import show_report

    show_report(export_engine(make_options(), show_stage))


def refuse_options(context: click.Context) -> None:
    """Raise UsageError if an option of the export stands before a subcommand, which would not see it."""
    given = [name for name in context.params if context.get_parameter_source(name) == ParameterSource.COMMANDLINE]
    if set(given) - {"debug"}:
        raise click.UsageError(f"{context.invoked_subcommand} takes no option of the export")


@main.command()
@click.argument("engine", metavar="NAME.alta", type=PATH)
@click.option("--rebuild", is_flag=True, help="Build again: for another GPU, or another TensorRT.")
@trust_option
@fail_in_one_line
def build(engine: Path, rebuild: bool, trust: str | None) -> None:
    """Build a TensorRT engine whose build was deferred, on the GPU that will run it.

    Who comes second finds it built. A signed one has to be signed again. Needs no torch: pip install
    'alta-sdk[trt-build]'.
    """
    trusted = choose_trust(trust)
    with show_stage("Build TensorRT engine"):
        manifest = build_bundle(engine, rebuild=rebuild, trusted=trusted)
    built = manifest.engine[TENSORRT]["built"]
    print_facts(
        f"Engine {manifest.name}",
        [
            ("precision", manifest.engine["precision"]),
            *(
                (f"{name} layers", ", ".join(f"{count} {kind}" for kind, count in layers.items()))
                for name, layers in built["layers"].items()
            ),
            *built["origin"].items(),
            ("engine sha256", manifest.sha256),
        ],
    )


@main.command()
@click.argument("engine", metavar="NAME.alta", type=PATH)
@click.option("--key", required=True, type=PATH, help="The private key, which alta keygen made.")
@overwrite_option("a signature that is")
@fail_in_one_line
def sign(engine: Path, key: Path, overwrite: bool) -> None:
    """Sign an engine after verifying every file, so that sites which trust the key open it.

    Needs no torch. The signature is of the manifest, which holds every file's hash, and lies beside it.
    """
    signer = sign_engine(engine, key, overwrite=overwrite)
    print_facts(f"Engine {read_manifest(engine).name}", [("signed by", signer)])


@contextmanager
def show_stage(name: str) -> Iterator[None]:
    """Show a progress bar on standard error as long as a stage lasts."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=None)
        yield
        progress.update(task, total=1, completed=1)
