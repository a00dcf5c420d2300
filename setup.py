"""Compile oxidbm._core with mypyc; all other settings live in pyproject.toml.

OXIDBM_PURE=1        build without compiled modules
OXIDBM_PURE=0        compile, and fail where that cannot be done; else, without a C compiler, nothing is compiled
CC=...               the C compiler, instead of the one that built this Python; where that is gone, cc, gcc or clang
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
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "oxidbm"
CORE = PACKAGE / "_core"
ASKED = os.environ.get("OXIDBM_PURE", "")  # for: 1 nothing compiled, 0 all, or what this machine can do
PURE = ASKED not in ("", "0")
CC = os.environ.get("CC", "")
LEVEL = os.environ.get("OXIDBM_OPT", "3")
EXTRA = os.environ.get("OXIDBM_CFLAGS", "")
ANNOTATE = os.environ.get("OXIDBM_ANNOTATE")
PLACE = Path("build", f"mypyc-{sys.implementation.cache_tag}-{LEVEL}")  # relative: mypyc's C files say where they are
BUILT = PLACE / "lib" / "built"  # the fingerprint of what the libraries in that directory were made from
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
BUILD_COMMANDS = {"build", "build_ext", "bdist_wheel", "editable_wheel", "develop", "install"}
IN_PLACE = "build_ext" in sys.argv and not {"--inplace", "-i"}.isdisjoint(sys.argv)
STARTED = time.time()
PROBE = "#include <Python.h>\nint main(void) { return 0; }\n"
MEMORY = {"0": "1 GiB", "3": "2 GiB"}  # what GCC 12 took, rounded up


def fingerprint() -> str:
    """Return a hash of all that goes into the libraries: sources, settings, tools and flags."""
    tools = [sys.version, version("mypy"), version("setuptools"), CC, EXTRA]
    known = hashlib.sha256("\0".join(tools).encode())
    settings = [ROOT / "setup.py", ROOT / "finish_c.py", ROOT / "pyproject.toml"]
    for path in [*settings, *sorted(PACKAGE.glob("*.py*")), *sorted(CORE.rglob("*.py*"))]:
        content = path.read_bytes()
        known.update(f"{path.relative_to(ROOT).as_posix()} {len(content)}\n".encode() + content)
    return known.hexdigest()


def text_of(path: Path) -> str:
    """Return what a small file says; nothing where it is not there."""
    return path.read_text() if path.is_file() else ""


def say(text: str) -> None:
    """Tell whoever builds; pip shows it with -v, and after a failure."""
    sys.stderr.write(f"oxidbm: {text}\n")


def to_compile() -> str:
    """Return what has to be installed for compiling, in the words of the warning that an uncompiled oxidbm gives."""
    words = runpy.run_path(str(PACKAGE / "_pure.py"))["to_compile"](sys.platform)
    assert isinstance(words, str)
    return words


def program(name: str) -> str | None:
    """Return where a program is; None where it is not, or is what macOS has in its place and offers to install it."""
    found = shutil.which(name)
    if found is None or sys.platform != "darwin" or not found.startswith("/usr/bin/"):
        return found
    tools = subprocess.run(["xcode-select", "--print-path"], capture_output=True, check=False)
    return found if tools.returncode == 0 else None


def compiler(named: str, configured: str, where: Callable[[str], str | None] = program) -> tuple[str, ...] | None:
    """Return the words of the C compiler's command: `named`, or else `configured` or a usual one; None for none.

    A Python from elsewhere is configured with a compiler that this machine need not have.
    """
    for command in [named] if named else [configured, "cc", "gcc", "clang"]:
        words = tuple(shlex.split(command))
        if words and where(words[0]):
            return words
    return None


def compiler_of_windows() -> tuple[str, ...] | None:
    """Return a word for the C compiler that setuptools finds by itself; None for none."""
    from distutils.ccompiler import new_compiler  # setuptools' own, also where Python has none any more
    from distutils.errors import DistutilsPlatformError

    try:
        new_compiler().initialize()
    except DistutilsPlatformError:
        return None
    return ("cl",)


def fault_of(words: tuple[str, ...], include: str) -> str | None:
    """Return why a compiler does not compile the smallest extension, with what it said; None where it does."""
    if not Path(include, "Python.h").is_file():
        return f"the headers of this Python are missing, there is no {Path(include, 'Python.h')}"
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "probe.c")
        source.write_text(PROBE)
        command = [*words, f"-I{include}", "-c", str(source), "-o", str(source.with_suffix(".o"))]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as failure:
            return f"the C compiler {shlex.join(words)} does not start: {failure.strerror}"
    if done.returncode == 0:
        return None
    return f"the C compiler {shlex.join(words)} fails at a program of two lines\n{done.stdout}{done.stderr}".rstrip()


def is_to_be_compiled() -> bool:
    """Return whether there is a compiler; SystemExit with what to install, where there is none but one was asked for.

    So is it where there is one that does not work: who has a compiler wants what it makes.
    """
    windows = sys.platform == "win32"
    words = compiler_of_windows() if windows else compiler(CC, sysconfig.get_config_var("CC") or "")
    if words is None and not ASKED and not CC:
        say(f"there is no C compiler, so nothing is compiled. To compile, install {to_compile()}")
        return False
    if words is None:
        fault: str | None = f"there is no C compiler {CC}".rstrip()
    else:
        fault = None if windows else fault_of(words, sysconfig.get_path("include"))
    if fault is not None:
        raise SystemExit(
            f"oxidbm: {fault}\noxidbm: install {to_compile()}; with OXIDBM_PURE=1 in the environment it is installed "
            "uncompiled, which is 15 to 120 times slower"
        )
    if words is not None and not windows and not CC:
        configured = shlex.split(sysconfig.get_config_var("CC") or "")
        if words[0] not in configured[:1]:
            os.environ["CC"] = shlex.join(words)  # setuptools would take the one that is gone
    return True


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

    def build_extensions(self) -> None:
        """Compile, with a word after it, and one for whoever has to find out why it failed."""
        try:
            super().build_extensions()
        except (CompileError, LinkError) as failure:
            say(str(failure))
            need = MEMORY.get(LEVEL, MEMORY["3"])
            less = "" if LEVEL == "0" else f", {MEMORY['0']} with OXIDBM_OPT=0, for a slower core"
            raise CompileError(
                "oxidbm was not compiled, for the reason that the C compiler gives above. It does compile other "
                f"programs; where it was stopped without a reason, memory is short: it needs {need}{less}. With "
                "OXIDBM_PURE=1 nothing is compiled"
            ) from failure
        say(f"compiled in {time.time() - STARTED:.0f} s")

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


def is_whole(source: str) -> bool:
    """Return whether a C file has the core in it; the others only load it, one for each module."""
    return Path(source).name.startswith("__native")


def extensions() -> list[Any]:
    """Return the extension modules of the core; none when nothing is to be compiled."""
    if PURE or not BUILD_COMMANDS.intersection(sys.argv[1:]):  # PEP 517 runs this file two or three times
        return []
    if IN_PLACE and not ANNOTATE and text_of(BUILT) == FOUND:
        return []
    if not is_to_be_compiled():
        return []
    from mypyc.build import mypycify

    os.chdir(ROOT)
    arguments = sorted(str(path.relative_to(ROOT)) for path in CORE.glob("**/*.py") if path.name != "__init__.py")
    if not arguments:
        return []
    effort = "some ten seconds" if LEVEL == "0" else "two to four minutes"
    say(f"compiling {len(arguments)} modules as one C file, with optimization level {LEVEL}: {effort}")
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
    finish = runpy.run_path(str(ROOT / "finish_c.py"))["finish"]
    for module in modules:
        module.sources = [str(finish(Path(path), PACKAGE)) if is_whole(path) else path for path in module.sources]
    flags = []
    if sys.platform != "win32":
        flags.append("-fvisibility=hidden")  # GCC inlines only what is not exported
        flags.append("-Wno-misleading-indentation")  # on one C file of 150,000 lines GCC spends 8 s on this warning
    flags += shlex.split(EXTRA)
    for module in modules:
        module.extra_compile_args = [*module.extra_compile_args, *flags]  # mypycify shares one list among them
    return modules


FOUND = fingerprint() if IN_PLACE else ""
if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": build_core})
