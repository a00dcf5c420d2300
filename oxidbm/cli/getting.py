"""What `oxidbm get` does, and the short way to it: where nothing but plain arguments is given, without typer.

Importing typer and the other commands takes longer than opening a store of a million keys and reading one. So `at_once`
takes the arguments that it knows for certain, and leaves all else, help, completion and wrong arguments among them, to
the commands. What is read, printed and said of errors is the same code on both ways.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from oxidbm._plain import Plain
from oxidbm.cli import streams
from oxidbm.cli.stores import Given, NoValue, reading
from oxidbm.cli.words import text_of
from oxidbm.codecs import DecodeError

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = {
    "--json": "as_json",
    "--raw": "raw",
    "--base64": "in_base64",
    "--escaped": "escaped",
    "-e": "escaped",
}


def get_value(
    path: str | os.PathLike[str],
    key: str,
    *,
    in_base64: bool = False,
    escaped: bool = False,
    raw: bool = False,
    as_json: bool = False,
    output: "Path | None" = None,
    checkpoint: str | None = None,
) -> None:
    """Print a key's value, or write it to a file; NoValue where it has none."""
    given = Given("key", key, in_base64, escaped)
    with reading(path, checkpoint) as store:
        key_codec, value_codec = Plain(store.key_codec), Plain(store.value_codec)
        name = given.coded(key_codec)
        value = store.get(name)
        if value is None:
            raise NoValue(f"the key {given.name} has no value{given.hint()}")
        text = b""
        line = ""
        try:
            if as_json:
                line = streams.json_text({"key": key_codec.to_json(name), "value": value_codec.to_json(value)})
            elif raw:
                text = value
            else:
                text = value_codec.to_text(value)
                line = text_of(value_codec, value) if output is None and streams.is_terminal() else ""
        except ValueError as failure:
            raise DecodeError(
                f"the value of the key {given.name} cannot be decoded: {failure}; --raw prints its bytes"
            ) from None
    if output is not None:
        from oxidbm.cli.output import output_file

        with output_file(output, path) as file:
            file.write(line.encode() + b"\n" if as_json else text)
    elif as_json or (not raw and streams.is_terminal()):
        streams.print_line(line)
    else:
        streams.write_bytes(text if raw else text + b"\n")


def at_once(arguments: Sequence[str]) -> bool:
    """Print a value, where the arguments ask for that and for nothing else; tell whether they did."""
    if not arguments or arguments[0] != "get" or "_OXIDBM_COMPLETE" in os.environ:
        return False
    flags: dict[str, bool] = {}
    names: list[str] = []
    ended = False
    for argument in arguments[1:]:
        if ended or not argument.startswith("-"):
            names.append(argument)
        elif argument == "--":
            ended = True
        elif argument in FLAGS:
            flags[FLAGS[argument]] = True
        else:
            return False
    if len(names) != 2:
        return False
    from oxidbm.cli import failures

    with failures.ending(store=names[0]):
        get_value(names[0], names[1], **flags)  # type: ignore[arg-type]  # each flag is one of the bools
    return True
