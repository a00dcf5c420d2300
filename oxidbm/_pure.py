"""Pure mode: run the core's sources instead of its compiled modules.

`OXIDBM_PURE=1` in the environment makes `import oxidbm` load `oxidbm._core.*` from the .py files, also where compiled
modules lie beside them: for coverage, debugging, and to show that both write the same bytes. It is 15 to 120 times
slower. `install()` has to run before the first import of a core module, and is called by `oxidbm/__init__.py`.
An installation without compiled modules runs pure without being asked.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

CORE = "oxidbm._core"
NATIVE = "oxidbm._core.native__mypyc"  # the library of the mypyc group: every compiled module loads it first


class SourceFinder:
    """Finds the modules of `oxidbm._core` as sources only."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a core module's .py file; raise ModuleNotFoundError where there is only a library."""
        from importlib.util import spec_from_file_location  # only in pure mode

        package, _, name = fullname.rpartition(".")
        if package != CORE:
            return None
        for directory in path or ():
            source = os.path.join(directory, f"{name}.py")
            if os.path.isfile(source):
                return spec_from_file_location(fullname, source, loader=SourceFileLoader(fullname, source))
        raise ModuleNotFoundError(f"No module named {fullname!r} (pure mode: sources only)", name=fullname)


def requested() -> bool:
    """Return whether the environment asks for pure mode."""
    return os.environ.get("OXIDBM_PURE", "0") not in ("", "0")


def install() -> None:
    """Put the finder in front of all others when pure mode is asked for; once, however often it is called."""
    if requested() and not any(isinstance(finder, SourceFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, SourceFinder())


def compiled() -> bool:
    """Return whether the core runs compiled; before its first module is loaded, whether it would."""
    if NATIVE in sys.modules:
        return True
    if requested() or any(name.startswith(CORE + ".") for name in sys.modules):
        return False
    core = sys.modules.get(CORE)
    path = core.__path__ if core is not None else [os.path.join(os.path.dirname(__file__), "_core")]
    return PathFinder.find_spec(NATIVE, path) is not None
