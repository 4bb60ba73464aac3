"""Where every command begins: before anything else of ours is imported, so that nothing can fail in a traceback.

Importing the SDK takes a quarter of a second, torch several: Ctrl-C, a full table of open files or a lack of memory
may come in the middle of it. Nothing has been written by then, so the process may end at once, in one line. Nothing is
imported at the top but what the interpreter has in it or has loaded for itself, and this module lies outside of the
packages, since importing a module of a package imports the package first. What comes before its first line is the
interpreter's.
"""

import _signal  # type: ignore[import-not-found]  # what `signal` wraps: that one reads a dozen files
import os
import sys

INTERRUPTED = 130
DEBUG_VARIABLE = "ALTA_DEBUG"


def alta() -> None:
    """Run `alta`."""
    begin()
    from alta_sdk.cli import main

    main()


def alta_export() -> None:
    """Run `alta-export`."""
    begin()
    from alta_export.cli import main

    main()


def alta_train() -> None:
    """Run `alta-train`."""
    begin()
    from alta_training.cli import main

    main()


def begin(name: str = "__main__") -> None:
    """Let Ctrl-C, and any error that nobody catches, end this process in one line without a path.

    name: of the module that the program is. A process that multiprocessing starts for it imports it as "__mp_main__":
    Ctrl-C reaches that one, too, which ends without a word.
    For programs alone: it changes what the whole process does. Commands handle both by themselves while they work.
    """
    sys.excepthook = end_failed
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # else somebody has Ctrl-C ignored
        _signal.signal(_signal.SIGINT, end_interrupted if name == "__main__" else end_worker)
    if not os.environ.get(DEBUG_VARIABLE):
        sys.unraisablehook = be_silent  # of objects that are taken apart at the exit
        import threading

        threading.excepthook = be_silent  # who waits for the thread is told


def end_interrupted(_number: int = 0, _frame: object = None) -> None:
    """End the process: for the time before a command works, and behind it."""
    _write("interrupted: nothing was left half-written\n")
    os._exit(INTERRUPTED)


def end_worker(_number: int, _frame: object) -> None:
    """End a process that works for another, which says why."""
    os._exit(INTERRUPTED)


def end_failed(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """Say in one line what nobody caught; the exit code is Python's 1."""
    if issubclass(kind, KeyboardInterrupt):
        end_interrupted()
    if os.environ.get(DEBUG_VARIABLE):
        sys.__excepthook__(kind, error, error.__traceback__)
    reason = ""
    if isinstance(error, OSError) and isinstance(error.errno, int):
        reason = f": {os.strerror(error.errno)}"
    if isinstance(error, ImportError) and error.name:
        reason = f": {error.name} cannot be imported"
    _write(f"{kind.__name__}: alta-sdk could not start{reason}; {DEBUG_VARIABLE}=1 in the environment shows where\n")


def be_silent(_: object) -> None:
    """Say nothing."""


def _write(line: str) -> None:
    try:
        os.write(2, line.encode("ascii", "replace"))
    except OSError:  # nobody can be told
        pass
