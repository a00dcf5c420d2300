"""Compile oxidbm._core with mypyc; all other settings live in pyproject.toml.

OXIDBM_PURE=1        build without compiled modules
OXIDBM_OPT=0|1|2|3   C optimization level (default 3; 0 halves the compile time)
OXIDBM_CFLAGS=...    extra C compiler flags, placed last
OXIDBM_ANNOTATE=FILE write mypyc's HTML report of slow operations
"""

import os
import shlex
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
CORE = ROOT / "oxidbm" / "_core"
TARGET = f"build/mypyc-{sys.implementation.cache_tag}"  # builds for two Pythons do not meet
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
BUILD_COMMANDS = {"build", "build_ext", "bdist_wheel", "editable_wheel", "develop", "install"}
STARTED = time.time()


class build_core(build_ext):  # noqa: N801 (a command's class is named like the command)
    """build_ext that notices changed flags and leaves nothing stale behind an in-place build."""

    def run(self) -> None:
        """Build, and for an in-place build bring the libraries in the source tree up to date."""
        flags = " ".join([os.environ.get("OXIDBM_OPT", "3"), os.environ.get("OXIDBM_CFLAGS", "")])
        record = Path(self.build_temp) / "flags"
        if not record.is_file() or record.read_text() != flags:
            self.force = True
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text("unfinished")
        in_place = self.inplace
        super().run()
        record.write_text(flags)
        if in_place:
            self.refresh()

    def refresh(self) -> None:
        """Date the libraries from the moment the sources were read, and delete those that lost their source.

        tests/conftest.py compares these dates with the sources': an edit made during the build is newer.
        """
        for library in CORE.rglob(f"*{SUFFIX}"):
            name = library.name.removesuffix(SUFFIX)
            if name.endswith("__mypyc") or (library.parent / f"{name}.py").exists():
                os.utime(library, (STARTED, STARTED))
            else:
                library.unlink()


def extensions() -> list[Any]:
    """Return the extension modules of the core; none when nothing is to be compiled."""
    if os.environ.get("OXIDBM_PURE", "0") not in ("", "0"):
        return []
    if not BUILD_COMMANDS.intersection(sys.argv[1:]):  # PEP 517 runs this file two or three times
        return []
    from mypyc.build import mypycify

    os.chdir(ROOT)
    arguments = sorted(str(path.relative_to(ROOT)) for path in CORE.glob("**/*.py") if path.name != "__init__.py")
    if not arguments:
        return []
    if report := os.environ.get("OXIDBM_ANNOTATE"):
        arguments += ["-a", report]
    modules = mypycify(
        arguments,
        opt_level=os.environ.get("OXIDBM_OPT", "3"),
        strict_dunder_typing=True,
        group_name="oxidbm._core.native",  # dotted: the library lands inside the package
        target_dir=TARGET,
    )
    flags = ["-fvisibility=hidden"] if sys.platform != "win32" else []  # GCC inlines only what is not exported
    flags += shlex.split(os.environ.get("OXIDBM_CFLAGS", ""))
    for module in modules:
        module.extra_compile_args = [*module.extra_compile_args, *flags]  # mypycify shares one list among them
    return modules


setup(ext_modules=extensions(), cmdclass={"build_ext": build_core})
