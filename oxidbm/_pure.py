"""Pure mode: run the core's sources instead of its compiled modules.

`OXIDBM_PURE=1` in the environment makes `import oxidbm` load `oxidbm._core.*` from the .py files, also where compiled
modules lie beside them: for coverage, debugging, and to show that both write the same bytes. It is 15 to 120 times
slower. `install()` has to run before the first import of a core module, and is called by `oxidbm/__init__.py`.
An installation without compiled modules runs pure without being asked, and warns.

Compiled code keeps the GIL until it blocks, and the core rests on that: an operation that does not read or write a file
is atomic. The interpreter takes the GIL away between any two lines, at the request of a thread that has waited for the
switch interval. So pure mode sets that interval (`sys.setswitchinterval`) to a year, for the whole process: a thread
gives the GIL up where it blocks (files, locks, `time.sleep`), and after a call of a store, a session or an iterator
when the others have waited long enough. A thread that computes without either keeps the other threads of the process
waiting, so pure mode is not for production; and whoever sets the interval back lets stores be damaged by threads.
"""

import _thread
import functools
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import FunctionType, ModuleType
from typing import Any, Final

CORE = "oxidbm._core"
NATIVE = "oxidbm._core.native__mypyc"  # the library of the mypyc group: every compiled module loads it first
NEVER_SECONDS: Final = 365.0 * 86400
GIVEN_SECONDS: Final = 1e-4  # of less the thread may come back before a waiting one has woken


class SourceFinder:
    """Finds the modules of `oxidbm._core` as sources only; its folders are sources anyway and left to the others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a core module's .py file; raise ModuleNotFoundError where there is only a library."""
        if not fullname.startswith(CORE + "."):
            return None
        name = fullname.rpartition(".")[2]
        from importlib.util import spec_from_file_location  # here, since importing it asks this finder too

        for directory in path or ():
            if os.path.isfile(os.path.join(directory, name, "__init__.py")):
                return None
            source = os.path.join(directory, f"{name}.py")
            if os.path.isfile(source):
                return spec_from_file_location(fullname, source, loader=SourceFileLoader(fullname, source))
        raise ModuleNotFoundError(f"No module named {fullname!r} (pure mode: sources only)", name=fullname)


def to_compile(platform: str) -> str:
    """Return what has to be installed on a platform, a value of `sys.platform`, for the core to be compiled."""
    if platform == "win32":
        return "the Visual Studio Build Tools, with 'Desktop development with C++'"
    if platform == "darwin":
        return "Xcode's command line tools (xcode-select --install)"
    return (
        "a C compiler and Python's headers (Debian, Ubuntu: apt install gcc python3-dev; Fedora: dnf install gcc "
        "python3-devel; Alpine: apk add gcc musl-dev python3-dev)"
    )


def requested() -> bool:
    """Return whether the environment asks for pure mode."""
    return os.environ.get("OXIDBM_PURE", "0") not in ("", "0")


def in_main_interpreter() -> bool:
    """Return whether this is the process's first interpreter; true where Python has no way to tell."""
    tell: Callable[[], bool] | None = getattr(_thread, "_is_main_interpreter", None)  # since Python 3.12
    if tell is not None:
        return tell()
    for name in ("_interpreters", "_xxsubinterpreters"):  # mypy knows neither
        try:
            interpreters = import_module(name)
        except ImportError:
            continue
        here: bool = interpreters.get_current() == interpreters.get_main()
        return here
    return True


def refuse_subinterpreter() -> None:
    """Raise ImportError in a subinterpreter, before a compiled module is loaded there.

    Compiled modules keep their objects in variables of the process: one that a second interpreter loads, or takes with
    it when it ends, is broken for the first one too. In pure mode the interpreters would share what `atexit`, locks
    and `os.register_at_fork` know of a store even so.
    """
    if not in_main_interpreter():
        raise ImportError(
            "oxidbm works in the main interpreter of a process only, and this is a subinterpreter: it would break the "
            "stores of the others. Import it in the main interpreter, or use a process of its own (in mod_wsgi: "
            "WSGIApplicationGroup %{GLOBAL})",
            name="oxidbm",
        )


def install() -> None:
    """Put the finder in front of all others when pure mode is asked for; once, however often it is called.

    However pure mode came about, no thread is asked for the GIL any more. Where nobody asked for it, it is said, on the
    line that imports the package: what was installed without a compiler works, and would only be found slow.
    """
    if requested() and not any(isinstance(finder, SourceFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, SourceFinder())
    if compiled():
        return
    if not requested():
        warnings.warn(
            "oxidbm is not compiled for this Python, and 15 to 120 times slower so. Install "
            f"{to_compile(sys.platform)}, then oxidbm again, with pip's --force-reinstall --no-cache-dir, or in a "
            "clone with make build. OXIDBM_PURE=1 in the environment says that it is meant to be so",
            RuntimeWarning,
            stacklevel=3,
        )
    sys.setswitchinterval(NEVER_SECONDS)


def compiled() -> bool:
    """Return whether the core runs compiled; before its first module is loaded, whether it would."""
    if NATIVE in sys.modules:
        return True
    if requested() or any(name.startswith(CORE + ".") for name in sys.modules):
        return False
    core = sys.modules.get(CORE)
    path = core.__path__ if core is not None else [os.path.join(os.path.dirname(__file__), "_core")]
    return PathFinder.find_spec(NATIVE, path) is not None


class Turns:
    """When the thread that holds the GIL in pure mode gives it to others."""

    def __init__(self) -> None:
        self.seconds = 0.001  # how long it may keep it over calls that do not block
        self.since = time.monotonic()
        self.expected = False

    def expect(self) -> None:
        """Take note that a thread was started, which is not counted before it has run for the first time."""
        self.expected = True

    def give(self) -> None:
        """Let the other threads run, if they have waited long enough."""
        if time.monotonic() - self.since >= self.seconds and (self.expected or _thread._count() > 0):
            time.sleep(GIVEN_SECONDS)
            self.since = time.monotonic()
            self.expected = self.expected and _thread._count() == 0


turns = Turns()


def giving_turns(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of the core that gives the others a turn at its end, unless the core itself has called it."""

    @functools.wraps(function)
    def method(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        finally:
            if not sys._getframe(1).f_globals.get("__name__", "").startswith(CORE):
                turns.give()

    return method


def give_turns(*classes: type) -> None:
    """In pure mode, have the methods of these classes of the core give the others a turn; not their finalizers."""
    if compiled():
        return
    for owner in classes:
        for name, method in list(vars(owner).items()):
            if isinstance(method, FunctionType) and name != "__del__":
                setattr(owner, name, giving_turns(method))
