"""How commands begin: Ctrl-C and errors while they are imported end in one line, and the commands start here."""

import ast
import os
import signal
import subprocess
import sys

import pytest
from conftest import ROOT, load_program

from alta_sdk.cli.program import Program

PROGRAMS = sorted(path.name for path in (ROOT / "training").glob("*.py"))
INTERRUPTED = "interrupted: nothing was left half-written\n"


@pytest.fixture(autouse=True)
def no_ignored_ctrl_c():
    """A shell lets what it starts in the background ignore Ctrl-C, and so would what is started here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def run_python(code, *arguments, **environment):
    command = [sys.executable, "-c", code, *arguments]
    environment = {**{name: value for name, value in os.environ.items() if name != "ALTA_DEBUG"}, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


# A module that the command imports early on, replaced by what happens in it.
SLOW = """
import importlib.abc, os, signal, sys, time
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name == {module!r}:
            {happening}
sys.meta_path.insert(0, Finder())
import alta_start
alta_start.alta()
"""
INTERRUPT = "os.kill(os.getpid(), signal.SIGINT); time.sleep(5)"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("module", ["alta_sdk", "numpy", "click", "alta_sdk.cli.program", "alta_sdk.cli.doctor"])
def test_ctrl_c_while_modules_are_imported_is_one_line(module):
    done = run_python(SLOW.format(module=module, happening=INTERRUPT), "doctor")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", INTERRUPTED)


@pytest.mark.parametrize(
    ("happening", "line"),
    [
        ("raise OSError(24, 'Too many open files', '/home/DOE_JANE')", "OSError: alta-sdk could not start: Too many"),
        ("raise MemoryError", "MemoryError: alta-sdk could not start; ALTA_DEBUG=1"),
        ("import absent_module", "ModuleNotFoundError: alta-sdk could not start: absent_module cannot be imported"),
        ("raise ImportError('DOE_JANE')", "ImportError: alta-sdk could not start; ALTA_DEBUG=1 in the environment"),
    ],
)
def test_an_error_while_modules_are_imported_is_one_line(happening, line):
    done = run_python(SLOW.format(module="alta_sdk.cli.program", happening=happening), "doctor")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(line) and done.stderr.count("\n") == 1 and "DOE_JANE" not in done.stderr
    shown = run_python(SLOW.format(module="alta_sdk.cli.program", happening=happening), "doctor", ALTA_DEBUG="1")
    assert "Traceback" in shown.stderr


@pytest.mark.parametrize(
    ("happening", "line"),
    [
        ("raise OSError(24, 'Too many open files', '/home/DOE_JANE')", "OSError: a file cannot be read"),
        ("raise MemoryError", "MemoryError: not enough memory here"),
        ("import absent_module", "ModuleNotFoundError: absent_module cannot be imported"),
        ("raise ImportError('DOE_JANE')", "ImportError: not foreseen; ALTA_DEBUG=1 in the environment"),
    ],
)
def test_an_error_while_the_command_is_imported_is_one_line(happening, line):
    done = run_python(SLOW.format(module="alta_sdk.cli.doctor", happening=happening), "doctor")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(line) and done.stderr.count("\n") == 1 and "DOE_JANE" not in done.stderr


def test_a_command_imports_no_other():
    code = (
        "import sys; from alta_sdk.cli import COMMANDS, main; main(['keygen', '--help'], standalone_mode=False);"
        "print([name for name in COMMANDS if f'alta_sdk.cli.{name}' in sys.modules])"
    )
    assert run_python(code).stdout.splitlines()[-1] == "['keygen']"


def test_ctrl_c_that_is_ignored_stays_ignored():
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import alta_start; alta_start.begin();"
        "print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    )
    assert run_python(code).stdout == "True\n"


def test_a_command_raises_on_ctrl_c_and_ends_at_once_before_and_behind_it():
    code = """
import signal, alta_start, click
alta_start.begin()
from alta_sdk.cli.program import Program
@click.command(cls=Program)
def work():
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
try:
    work([])
except SystemExit as end:
    print(end.code, signal.getsignal(signal.SIGINT) is alta_start.end_interrupted)
"""
    assert run_python(code).stdout == "True\n0 True\n"


WORKERS = """
if __name__ in ("__main__", "__mp_main__"):
    import alta_start
    alta_start.begin(__name__)
import os, signal, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import click
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line
def tell_and_wait(number):
    print("works", flush=True)
    time.sleep(600)
@click.command(cls=Program)
@fail_in_one_line
def main():
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(tell_and_wait, range(2)))
if __name__ == "__main__":
    main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
def test_ctrl_c_of_a_command_with_workers_is_one_line(tmp_path):
    (tmp_path / "program.py").write_text(WORKERS, encoding="utf-8")
    command = [sys.executable, tmp_path / "program.py"]
    kinds = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, **kinds) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["works\n"] * 2
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, stderr = process.communicate()
    assert (process.returncode, stderr) == (130, INTERRUPTED)


def test_importing_the_sdk_leaves_signals_and_hooks_alone():
    code = (
        "import signal, sys; before = signal.getsignal(signal.SIGINT), sys.excepthook;"
        "import alta_start, alta_sdk.cli; print((signal.getsignal(signal.SIGINT), sys.excepthook) == before)"
    )
    assert run_python(code).stdout == "True\n"


def test_the_start_imports_nothing_but_small_modules():
    code = "import sys; before = set(sys.modules); import alta_start; print(sorted(set(sys.modules) - before))"
    loaded = run_python(code).stdout
    assert loaded == "['alta_start']\n"


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_training_program_begins_there(name):
    text = (ROOT / "training" / name).read_text(encoding="utf-8")
    statements = ast.parse(text).body
    assert ast.unparse(statements[1]).startswith("if __name__ in ('__main__', '__mp_main__'):\n    import alta_start\n")
    assert isinstance(load_program(ROOT / "training" / name).main, Program)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_while_torch_is_imported_is_one_line(tmp_path):
    code = SLOW.format(module="torch", happening=INTERRUPT).replace("alta_start.alta()", "alta_start.alta_train()")
    arguments = ("evaluate", tmp_path, "--protocol", "rsna", "--data", tmp_path)
    done = run_python(code, *map(str, arguments))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", INTERRUPTED)
