"""How long `import alta_sdk` takes in a fresh process, how many modules it loads, and which cost most.

    python benchmarks/import_time.py [--rounds 9]

An empty Python is started in turn with it. The tests bound the number of modules: time differs with the machine's
load, the modules do not.
"""

import statistics
import subprocess
import sys

import click

from alta_sdk.bench.timing import time_in_turn
from alta_sdk.cli.terminal import print_table

COUNT = "import sys; before = len(sys.modules); import alta_sdk; print(len(sys.modules) - before)"
COSTLIEST = 8


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh Python and return what it printed."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


def find_costliest() -> list[tuple[str, str]]:
    """Return the modules that cost most by themselves, with milliseconds."""
    lines = run_python("-X", "importtime", "-c", "import alta_sdk").stderr.splitlines()[1:]
    rows = [line.removeprefix("import time:").split("|") for line in lines if line.startswith("import time:")]
    rows = [row for row in rows if row[0].strip().isdigit()]
    return [(name.strip(), f"{int(own) / 1000:.1f}") for own, _, name in sorted(rows, key=lambda row: -int(row[0]))]


@click.command()
@click.option("--rounds", default=9, show_default=True, help="Fresh processes of each kind.")
def main(rounds: int) -> None:
    """Print the median time of both, the number of modules, and the costliest of them."""
    programs = {"empty Python": "pass", "import alta_sdk": "import alta_sdk"}
    times = time_in_turn({name: lambda code=code: run_python("-c", code) for name, code in programs.items()}, rounds)
    rows = [
        (name, *(f"{1e3 * pick(own):.0f}" for pick in (statistics.median, min, max))) for name, own in times.items()
    ]
    print_table("Fresh processes", ["program", "median ms", "min", "max"], rows)
    click.echo(f"modules loaded by alta_sdk: {run_python('-c', COUNT).stdout.strip()}")
    print_table("Costliest modules", ["module", "ms of its own"], find_costliest()[:COSTLIEST])


if __name__ == "__main__":
    main()
