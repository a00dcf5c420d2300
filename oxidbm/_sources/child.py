"""Reading a source in a process of its own, which a damaged file may end; the process that converts goes on.

The child writes to its stdout one line of JSON, {"count": ...}, a frame for each item, and a last frame. A frame is the
lengths of key and value, 4 bytes each, little-endian, the key, the value. The last one's key length is END, and its
value is JSON: what was left out, and the error, if one ended it. A stream without it is that of a child that was ended.
"""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from struct import Struct
from typing import Any, BinaryIO, Final

from oxidbm._sources.native import open_native, reader_of
from oxidbm._sources.source import Pairs, Source, SourceError

LENGTHS: Final = Struct("<II")
END: Final = 0xFFFFFFFF
PROGRAM: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from oxidbm._sources.child import main; main()"
)


@contextmanager
def open_in_child(kind: str, path: str, database: str | None) -> Iterator[Source]:
    """Open a source of a kind that a C library reads; ModuleNotFoundError where that library is missing."""
    reader_of(kind)
    if not sys.executable or getattr(sys, "frozen", False):  # there is no interpreter to start
        with open_native(kind, path, database) as source:
            yield source
        return
    arguments = [sys.executable, "-c", PROGRAM, json.dumps(sys.path), json.dumps([kind, path, database])]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line.endswith(b"\n"):
                raise ended(process, said, path)
            begun = json.loads(line)
            if begun["error"] is not None:
                raise error_from(begun["error"])
            left_out: list[str] = []
            yield Source(begun["count"], child_pairs(process, said, path, left_out), left_out)
        finally:
            process.kill()


def child_pairs(process: "subprocess.Popen[bytes]", said: BinaryIO, path: str, left_out: list[str]) -> Pairs:
    """Yield the items that a child writes."""
    stream = process.stdout
    assert stream is not None
    while True:
        head = stream.read(LENGTHS.size)
        if len(head) < LENGTHS.size:
            raise ended(process, said, path)
        key_length, value_length = LENGTHS.unpack(head)
        key = stream.read(0 if key_length == END else key_length)
        value = stream.read(value_length)
        if len(value) < value_length:
            raise ended(process, said, path)
        if key_length == END:
            end = json.loads(value)
            if end["error"] is not None:
                raise error_from(end["error"])
            left_out += end["left_out"]
            return
        yield key, value


def ended(process: "subprocess.Popen[bytes]", said: BinaryIO, path: str) -> SourceError:
    """Return the error for a child that ended before it was through."""
    code = process.wait()
    said.seek(0)
    words = said.read().decode(errors="replace").split("\n")
    last = next((f" ({line.strip()[:200]})" for line in reversed(words) if line.strip()), "")
    how = f"exit code {code}"
    if code < 0:
        with contextlib.suppress(ValueError):
            how = signal.Signals(-code).name
    return SourceError(f"{path} is damaged: its library ended the process that read it, {how}{last}; restore a copy")


def error_from(said: list[Any]) -> Exception:
    """Return the error that a child has written."""
    kind, number, text, filename = said
    if kind == "OSError":
        return OSError(number, text, filename)
    return SourceError(text)


def error_to(failure: BaseException, path: str) -> list[Any]:
    """Return an error as a child writes it."""
    if isinstance(failure, SourceError):
        return ["SourceError", None, str(failure), None]
    if isinstance(failure, OSError) and failure.errno is not None:
        return ["OSError", failure.errno, failure.strerror, failure.filename and str(failure.filename)]
    return ["SourceError", None, f"{path} cannot be read: {type(failure).__name__}: {failure}", None]


def main() -> None:
    """Write the items of the source that the command line names."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no file for each file that is damaged
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that converts, which ends this one
    kind, path, database = json.loads(sys.argv[2])
    out = sys.stdout.buffer
    begun = False
    try:
        with open_native(kind, path, database) as source:
            out.write(json.dumps({"count": source.count, "error": None}).encode() + b"\n")
            begun = True
            for key, value in source.pairs:
                out.write(LENGTHS.pack(len(key), len(value)))
                out.write(key)
                out.write(value)
        left_out, said = source.left_out, None
    except BrokenPipeError:
        raise SystemExit(1) from None
    except Exception as failure:
        left_out, said = [], error_to(failure, path)
    if begun:
        last = json.dumps({"left_out": left_out, "error": said}).encode()
        out.write(LENGTHS.pack(END, len(last)) + last)
    else:
        out.write(json.dumps({"count": None, "error": said}).encode() + b"\n")
    out.flush()
