"""Compile oxidbm._core with mypyc; all other settings live in pyproject.toml.

OXIDBM_PURE=1        build without compiled modules
OXIDBM_OPT=0|1|2|3   C optimization level (default 3); 0 compiles in a fifth of the time, with symbols for a debugger
OXIDBM_CFLAGS=...    extra C compiler flags, placed last
OXIDBM_ANNOTATE=FILE write mypyc's HTML report of slow operations

A build in place has a directory for each Python and optimization level, build/mypyc-<tag>-<level>, with the C files,
the objects and the libraries. Where nothing that goes into the libraries has changed since they were made there,
they are copied beside the sources, and neither mypy nor the C compiler runs.
"""

import filecmp
import hashlib
import os
import shlex
import shutil
import sys
import sysconfig
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "oxidbm"
CORE = PACKAGE / "_core"
PURE = os.environ.get("OXIDBM_PURE", "0") not in ("", "0")
LEVEL = os.environ.get("OXIDBM_OPT", "3")
EXTRA = os.environ.get("OXIDBM_CFLAGS", "")
ANNOTATE = os.environ.get("OXIDBM_ANNOTATE")
PLACE = Path("build", f"mypyc-{sys.implementation.cache_tag}-{LEVEL}")  # relative: mypyc's C files say where they are
BUILT = PLACE / "lib" / "built"  # the fingerprint of what the libraries in that directory were made from
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
BUILD_COMMANDS = {"build", "build_ext", "bdist_wheel", "editable_wheel", "develop", "install"}
IN_PLACE = "build_ext" in sys.argv and not {"--inplace", "-i"}.isdisjoint(sys.argv)
STARTED = time.time()


def fingerprint() -> str:
    """Return a hash of all that goes into the libraries: sources, settings, tools and flags."""
    tools = [sys.version, version("mypy"), version("setuptools"), os.environ.get("CC", ""), EXTRA]
    known = hashlib.sha256("\0".join(tools).encode())
    settings = [ROOT / "setup.py", ROOT / "pyproject.toml"]
    for path in [*settings, *sorted(PACKAGE.glob("*.py*")), *sorted(CORE.rglob("*.py*"))]:
        content = path.read_bytes()
        known.update(f"{path.relative_to(ROOT).as_posix()} {len(content)}\n".encode() + content)
    return known.hexdigest()


def text_of(path: Path) -> str:
    """Return what a small file says; nothing where it is not there."""
    return path.read_text() if path.is_file() else ""


class build_core(build_ext):  # noqa: N801 (a command's class is named like the command)
    """build_ext that notices changed flags, and in place keeps the libraries of each level apart."""

    def finalize_options(self) -> None:
        """Give a build in place its own directories."""
        if IN_PLACE:
            self.build_temp = self.build_temp or str(PLACE / "temp")
            self.build_lib = self.build_lib or str(PLACE / "lib")
        super().finalize_options()

    def run(self) -> None:
        """Build what has changed, and remember what was built with which flags and from what."""
        if PURE:
            return
        if self.extensions:
            BUILT.unlink(missing_ok=True)
            flags = " ".join(self.extensions[0].extra_compile_args)
            record = Path(self.build_temp) / "flags"
            if text_of(record) != flags:
                self.force = True
                record.parent.mkdir(parents=True, exist_ok=True)
                record.write_text("unfinished")
            super().run()
            record.write_text(flags)
            if IN_PLACE and fingerprint() == FOUND:  # not where a source was edited meanwhile
                BUILT.write_text(FOUND)
        else:
            super().run()

    def copy_extensions_to_source(self) -> None:
        """Bring the libraries beside the sources up to date, and delete those that lost their source.

        They are dated from the moment the sources were read: tests/conftest.py compares these dates with the
        sources', and an edit made during the build is newer. A library is replaced, not written over: a process that
        has loaded it keeps what it has.
        """
        built = Path(self.build_lib) / CORE.relative_to(ROOT)
        for directory in (built, CORE):
            for library in directory.rglob(f"*{SUFFIX}"):
                module = library.relative_to(directory).as_posix().removesuffix(SUFFIX)
                if not module.endswith("__mypyc") and not (CORE / f"{module}.py").exists():
                    library.unlink()
        for library in built.rglob(f"*{SUFFIX}"):
            target = CORE / library.relative_to(built)
            if not target.exists() or not filecmp.cmp(library, target, shallow=False):
                partial = target.with_name(f"{target.name}.new")
                shutil.copy(library, partial)
                partial.replace(target)
            os.utime(target, (STARTED, STARTED))


def extensions() -> list[Any]:
    """Return the extension modules of the core; none when nothing is to be compiled."""
    if PURE or not BUILD_COMMANDS.intersection(sys.argv[1:]):  # PEP 517 runs this file two or three times
        return []
    if IN_PLACE and not ANNOTATE and text_of(BUILT) == FOUND:
        return []
    from mypyc.build import mypycify

    os.chdir(ROOT)
    arguments = sorted(str(path.relative_to(ROOT)) for path in CORE.glob("**/*.py") if path.name != "__init__.py")
    if not arguments:
        return []
    if ANNOTATE:
        arguments += ["-a", ANNOTATE]
    modules = mypycify(
        arguments,
        opt_level=LEVEL,
        debug_level="2" if LEVEL == "0" else "1",  # 2 knows the variables; without optimization it costs no time
        strict_dunder_typing=True,
        group_name="oxidbm._core.native",  # dotted: the library lands inside the package
        target_dir=str(PLACE),
    )
    flags = []
    if sys.platform != "win32":
        flags.append("-fvisibility=hidden")  # GCC inlines only what is not exported
        flags.append("-Wno-misleading-indentation")  # on one C file of 150,000 lines GCC spends 8 s on this warning
    flags += shlex.split(EXTRA)
    for module in modules:
        module.extra_compile_args = [*module.extra_compile_args, *flags]  # mypycify shares one list among them
    return modules


FOUND = fingerprint() if IN_PLACE else ""
setup(ext_modules=extensions(), cmdclass={"build_ext": build_core})
