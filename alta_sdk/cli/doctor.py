"""`alta doctor`: what works on this machine, and whether an engine computes here what was exported."""

import sys
from dataclasses import asdict

import click

from ..engine.engine import Engine
from ..engine.environment import describe_environment
from ..engine.self_test import Drift
from .option_groups import json_option, threads_option, trust_option
from .terminal import fail_in_one_line, print_facts, print_line, print_object, print_table, say


@click.command()
@click.argument("engine", metavar="[NAME.alta]", required=False, type=click.Path())
@threads_option
@trust_option
@json_option("Print one JSON object instead of tables.")
@fail_in_one_line
def doctor(engine: str | None, threads: int | None, trust: str | None, as_json: bool) -> None:
    """List the runtimes and decoders that work here; with an engine, run its self-test.

    Exits with 1 if the engine does not compute here what its export measured.
    """
    if engine is None:
        report_machine(as_json)
    else:
        report_engine(engine, threads, trust, as_json)


def report_machine(as_json: bool) -> None:
    """Print the runtimes, the DICOM decoders and the libraries of this machine."""
    environment = describe_environment()
    if as_json:
        print_object(asdict(environment))
        return
    print_facts("This machine", environment.facts.items())
    print_table(
        "Runtimes",
        ["runtime", "version", "devices", "state"],
        [(r.name, r.version or "-", ", ".join(r.devices) or "-", r.reason or "works") for r in environment.runtimes],
    )
    print_line(f"An ONNX engine runs on {environment.choice}")
    print_table(
        "DICOM transfer syntaxes",
        ["transfer syntax", "state"],
        [(name, state or "works") for name, state in environment.decoders.items()],
    )


def report_engine(path: str, threads: int | None, trust: str | None, as_json: bool) -> None:
    """Run an engine's whole self-test and print how far this machine is from the reference."""
    engine = Engine.open(path, threads=threads, trust=trust)
    drifts = engine.run_self_test()
    passed = all(drift.is_within_limits for drift in drifts)
    if as_json:
        tests = [{**asdict(drift), "passed": drift.is_within_limits} for drift in drifts]
        print_object({"provenance": engine.provenance, "self_test": tests, "passed": passed})
    else:
        print_facts("Engine", engine.provenance.items())
        show_drifts(drifts)
    fail_unless_passed(drifts)


def show_drifts(drifts: list[Drift]) -> None:
    """Print how far this machine is from the reference, a line for each kind of embedding."""
    print_table(
        "Self-test against the PyTorch reference",
        ["embedding", "rows", "worst cosine", "limit", "max abs difference", "limit", "state"],
        [
            (
                d.output,
                d.rows,
                f"{d.worst_cosine:.8f}",
                d.min_cosine,
                f"{d.max_abs:.1e}",
                f"{d.max_abs_limit:.0e}",
                "passed" if d.is_within_limits else "FAILED",
            )
            for d in drifts
        ],
    )


def fail_unless_passed(drifts: list[Drift]) -> None:
    """Exit with 1 if this machine is further from the reference than the engine allows."""
    if not all(drift.is_within_limits for drift in drifts):
        say("EngineError: self-test failed on this machine: do not use this engine here")
        sys.exit(1)
