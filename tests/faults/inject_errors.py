"""Let each call of each command that reaches for a file or for memory fail: one line, no path, exit code 1.

python tests/faults/inject_errors.py --engine NAME.alta --times 2000

A library that is preloaded (fail_calls.c, so a C compiler is needed; Linux) makes the n-th call of the C library fail,
once or from then on: with EACCES, ENOSPC, EIO, EMFILE or ENAMETOOLONG, or, of large allocations, with ENOMEM; or it
sends SIGINT there. A trial passes if the command ends as without it, output and all, or with exit code 1 and an error
of ours in one line, 130 for SIGINT; never with a traceback, a path, a signal, another result or no end. Most trials
fork a process that has the modules imported already; --starts run whole ones, imports and exit included.
"""

import argparse
import contextlib
import ctypes
import errno
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from faults.injected_commands import (  # noqa: E402
    MARK,
    SLOW,
    find_program,
    import_modules,
    list_commands,
    make_data,
    start_command,
    write_checkpoint,
)

FAILURES = {name: getattr(errno, name) for name in ("EACCES", "ENOSPC", "EIO", "EMFILE", "ENAMETOOLONG")}
MEMORY, INTERRUPT = "ENOMEM", "SIGINT"
KINDS = (*FAILURES, MEMORY, INTERRUPT)
LINE = re.compile(r"(study \d+( of \d+)?: )?[A-Z]\w+: .|interrupted: ")
NUMBER = re.compile(r"\d+")
TRACES = ("Traceback", 'File "', MARK, "/tmp", "site-packages", "Exception ignored", "Fatal Python error")
BAR = "━"  # of the export's progress
LIMIT_S = 300
UNEQUAL = ("doctor", "export")  # what they print says how fast the machine is, and which decoders can be loaded


@dataclass(frozen=True)
class Trial:
    """What is made to fail in which command: the n-th call (0: none, only counted), once or from then on."""

    command: str
    kind: str = MEMORY
    call: int = 0
    lasting: bool = False
    is_start: bool = False

    @property
    def settings(self) -> tuple[int, int, int, int]:
        """The arguments of `fail_calls_begin`."""
        number = {**FAILURES, MEMORY: errno.ENOMEM, INTERRUPT: 0}[self.kind]
        return self.call, number, int(self.lasting), int(self.kind == MEMORY)


@dataclass(frozen=True)
class End:
    """How a command ended: exit code, or minus the signal; what it printed; calls that were counted."""

    code: int
    stdout: str
    stderr: str
    calls: int = 0


class Runner:
    """Runs trials: by fork from this process, or as processes of their own."""

    def __init__(self, engine: Path, data: Path, library: Path) -> None:
        """Take the engine, the data that commands read and the preloaded library."""
        self.engine, self.data, self.library = engine, data, library
        self.ends: dict[tuple[str, bool], End] = {}

    def run(self, trial: Trial) -> End:
        """Run a trial in a folder of its own."""
        with tempfile.TemporaryDirectory(prefix=MARK, dir=self.data.parent) as name:
            out = Path(name)
            arguments = list_commands(self.engine, self.data, out)[trial.command]
            if trial.command == "calibrate":
                shutil.copytree(self.engine, out / "own.alta")
            return (self._start if trial.is_start else self._fork)(trial, arguments, out)

    def _fork(self, trial: Trial, arguments: list[str], out: Path) -> End:
        names = [out / "stdout", out / "stderr", out / "calls"]
        child = os.fork()
        if child == 0:
            code = 99
            try:
                for descriptor, path in enumerate(names[:2], start=1):
                    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
                calls = os.open(names[2], os.O_WRONLY | os.O_CREAT)
                code = _run_armed(trial, arguments)
                os.write(calls, str(ctypes.CDLL(None).fail_calls_count()).encode())
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(_wait(child))
        shown = [path.read_text(encoding="utf-8", errors="replace") for path in names]
        return End(code, shown[0], shown[1], int(shown[2] or 0))

    def _start(self, trial: Trial, arguments: list[str], out: Path) -> End:
        more = {"LD_PRELOAD": str(self.library), "FAIL_CALLS": " ".join(map(str, trial.settings))}
        with (out / "stdout").open("wb") as stdout, (out / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                start_command(trial.command, arguments), stdout=stdout, stderr=stderr, env={**os.environ, **more}
            )
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LIMIT_S)
            process.kill()
            process.wait()
        shown = [(out / name).read_text(encoding="utf-8", errors="replace") for name in ("stdout", "stderr")]
        return End(process.returncode, *shown)

    def find_end(self, command: str, is_start: bool) -> End:
        """Return how a command ends when nothing fails, and how many of its calls can."""
        if (command, is_start) not in self.ends:
            end = self.run(Trial(command, "EIO", is_start=is_start))
            if end.code:
                raise RuntimeError(f"{command} fails by itself: {end.stderr}")
            self.ends[command, is_start] = end
        return self.ends[command, is_start]


def _run_armed(trial: Trial, arguments: list[str]) -> int:
    """Run a command in this process, which is a forked one, with the failure armed."""
    import alta_start

    main = find_program(trial.command)
    alta_start.begin()
    ctypes.CDLL(None).fail_calls_begin(
        ctypes.c_long(trial.call), *(ctypes.c_int(number) for number in trial.settings[1:])
    )
    try:
        main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 98


def _wait(child: int) -> int:
    """Wait for a forked process, and kill it when it takes too long."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.005)
    os.kill(child, 9)
    return os.waitpid(child, 0)[1]


def judge(trial: Trial, end: End, whole: End) -> str:
    """Say how a trial ended: "same", "told", or what is wrong with it."""
    known = {NUMBER.sub("0", line) for line in whole.stderr.splitlines()}  # how many were read may differ
    lines = [line for line in end.stderr.splitlines() if line.strip() and BAR not in line]
    told = [line for line in lines if NUMBER.sub("0", line) not in known]
    if any(trace in line for trace in TRACES for line in told):
        return "RAW: a traceback or a path"
    if end.code == 0:
        is_same = end.stdout == whole.stdout or trial.command in UNEQUAL
        return "same" if is_same and not told else "same, with a notice" if is_same else "RAW: another result"
    if end.code not in (1, 130) or (end.code == 130) != (trial.kind == INTERRUPT):
        return f"RAW: ended with {end.code}"
    if not all(LINE.match(line) for line in told):
        return "RAW: lines that are none of ours"
    return "told" if told else "told nobody: standard error failed"


def find_library(folder: Path) -> Path:
    """Compile the preloaded library; raise FileNotFoundError where there is no C compiler."""
    library = folder / "fail_calls.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    source = str(FOLDER / "fail_calls.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), source, "-ldl"], check=True)
    return library


def choose_trials(runner: Runner, commands: Sequence[str], times: int, starts: int, seed: int) -> list[Trial]:
    """Draw trials: commands and kinds in turn, the call at random among those that the command makes."""
    generator = random.Random(seed)
    trials = []
    for number in range(times + starts):
        command = commands[number % len(commands)]
        kind = KINDS[number // len(commands) % len(KINDS)]
        is_start = number >= times
        calls = runner.find_end(command, False).calls
        last = START_CALLS if is_start else max(1, calls // 8) if kind == MEMORY else calls
        lasting = kind != INTERRUPT and generator.random() < 0.3
        trials.append(Trial(command, kind, generator.randint(1, last), lasting, is_start))
    return trials


START_CALLS = 4000  # of a whole process: imports make most of them


def main() -> int:
    """Run the trials, say what is wrong with each, and print how often each end was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200, help="trials in forked processes (default 200)")
    parser.add_argument("--starts", type=int, default=20, help="trials of whole processes (default 20)")
    parser.add_argument("--commands", default="", help=f"separated by commas (default: all but {', '.join(SLOW)})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", type=Path, required=True)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background lets it be ignored
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "FAIL_CALLS_LIBRARY" not in os.environ:  # started again with the library in it
            library = find_library(folder)
            more = {"LD_PRELOAD": str(library), "FAIL_CALLS_LIBRARY": str(library), "OMP_NUM_THREADS": "1"}
            return subprocess.run([sys.executable, *sys.argv], env={**os.environ, **more}).returncode
        return run_trials(given, folder, Path(os.environ["FAIL_CALLS_LIBRARY"]))


def run_trials(given: argparse.Namespace, folder: Path, library: Path) -> int:
    """Make the data, run what was asked for and print the table; return the exit code."""
    data, engine = folder / MARK, folder / f"{MARK}.alta"
    data.mkdir()
    shutil.copytree(given.engine, engine)
    make_data(data, engine)
    if "export" in given.commands:
        write_checkpoint(data)
    runner = Runner(engine, data, library)
    known = [name for name in list_commands(engine, data, folder) if name not in SLOW]
    commands = given.commands.split(",") if given.commands else known
    import_modules(commands)
    seen: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # one who stops it sees what was done so far
    try:
        for number, trial in enumerate(choose_trials(runner, commands, given.times, given.starts, given.seed), start=1):
            end = runner.run(trial)
            verdict = judge(trial, end, runner.find_end(trial.command, trial.is_start))
            seen[trial.kind][verdict.partition(":")[0]] += 1
            if verdict.startswith("RAW"):
                print(f"{verdict}: {trial}\n{end.stdout[-300:]}\n{end.stderr[-2000:]}", file=sys.stderr, flush=True)
            if number % 20 == 0:
                print(f"{number} trials", file=sys.stderr, flush=True)
    finally:
        show(seen)
    return int(any(counts["RAW"] for counts in seen.values()))


def show(seen: dict[str, Counter[str]]) -> None:
    """Print how often each end was found."""
    columns = ("told", "told nobody", "same", "same, with a notice", "RAW")
    print(f"{'kind':14}" + "".join(f"{column:>21}" for column in columns))
    for kind, counts in seen.items():
        print(f"{kind:14}" + "".join(f"{counts[column]:21}" for column in columns), flush=True)


if __name__ == "__main__":
    sys.exit(main())
