"""What -h prints: usage, words, arguments, options, examples; plain text as wide as the terminal, headings in bold.

typer's own has boxes, which leave no room for words in a narrow terminal, and whose lines cannot be copied.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Final

from oxidbm.cli.examples import EXAMPLES
from oxidbm.cli.failures import EXIT_CODES

WIDTH_MAX: Final = 100
WIDTH_MIN: Final = 40
LEFT_MAX: Final = 24  # of what is explained; what is longer has a line of its own
SHORT_MAX: Final = 48  # characters of what a list of commands says of each, as far as there are commas
BOLD: Final = "\x1b[1m{}\x1b[0m"
END_OF_SHORT: Final = (";", ":", ".", ", or ", ", as ")


def width() -> int:
    """Return how wide help is."""
    return max(min(shutil.get_terminal_size().columns - 1, WIDTH_MAX), WIDTH_MIN)


def heading(text: str) -> str:
    """Return a heading, bold on a terminal that is to have colors."""
    colored = sys.stdout is not None and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return BOLD.format(text) if colored and os.environ.get("TERM") != "dumb" else text


def paragraphs(text: str) -> list[str]:
    """Return a docstring's paragraphs, each filled, with an empty line between two."""
    lines: list[str] = []
    for part in text.split("\n\n"):
        lines += ["", *textwrap.wrap(" ".join(part.split()), width(), break_on_hyphens=False)]
    return lines[1:]


def table(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return what is explained on the left and the words on the right."""
    left = min(max((len(name) for name, _ in rows), default=0), LEFT_MAX) + 4
    lines = []
    for name, words in rows:
        wrapped = textwrap.wrap(words, max(width() - left, 20), break_on_hyphens=False) or [""]
        if len(name) + 4 > left:
            lines.append(f"  {name}")
        else:
            lines.append(f"  {name:<{left - 2}}{wrapped.pop(0)}".rstrip())
        lines += [" " * left + line for line in wrapped]
    return lines


def is_argument(parameter: Any) -> bool:
    """Tell whether a parameter is an argument, and not an option."""
    return bool(parameter.param_type_name == "argument")


def taken(parameter: Any) -> str:
    """Return what stands behind an option's name."""
    return "" if getattr(parameter, "is_flag", False) else f" {parameter.metavar or parameter.name.upper()}"


def words_of(parameter: Any) -> str:
    """Return what an argument or option is, and what it is where it is not given."""
    default = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    shown = default not in (None, False, True, "", ...) and not callable(default) and parameter.show_default
    default = getattr(default, "value", default)
    return f"{parameter.help or ''}{f' (default: {default})' if shown else ''}"


def usage(ctx: Any) -> str:
    """Return how a command is written."""
    parts = [ctx.command_path]
    if hasattr(ctx.command, "commands"):
        parts.append("COMMAND ...")
    for parameter in ctx.command.params:
        if is_argument(parameter):
            name = parameter.metavar or parameter.name.upper()
            parts.append(name if parameter.required else f"[{name}]")
    if any(not is_argument(parameter) and parameter.name != "help" for parameter in ctx.command.params):
        parts.append("[options]")
    return " ".join(parts)


def short(text: str) -> str:
    """Return the first words of a command's help."""
    line = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    line = line[: min((found for mark in END_OF_SHORT if (found := line.find(mark)) > 0), default=len(line))]
    return line if len(line) <= SHORT_MAX else line.partition(", ")[0]


def help_of(ctx: Any) -> str:
    """Return the help of a command, or of a group of them."""
    command = ctx.command
    lines = [heading("Usage:") + f" {usage(ctx)}", "", *paragraphs(command.help or "")]
    arguments = [
        (parameter.metavar or parameter.name.upper(), words_of(parameter))
        for parameter in command.params
        if is_argument(parameter)
    ]
    options = [(option_names(option), words_of(option)) for option in command.get_params(ctx) if is_shown(option)]
    commands = [(name, short(found.help or "")) for name, found in getattr(command, "commands", {}).items()]
    for title, rows in (("Commands:", commands), ("Arguments:", arguments), ("Options:", options)):
        if rows:
            lines += ["", heading(title), *table(rows)]
    path = tuple(ctx.command_path.split()[1:])
    if path in EXAMPLES:
        lines += ["", heading("Examples:"), *example_lines(EXAMPLES[path])]
    if not path:
        lines += ["", heading("Exit codes:"), *table([(f"{code:>3}", said) for code, said in EXIT_CODES.items()])]
        lines += ["", *paragraphs("`oxidbm COMMAND -h` explains a command, with examples.")]
    return "\n".join(lines) + "\n"


def write_help(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the help of a command; the method `format_help` of those that have this help."""
    formatter.write(help_of(ctx))


def is_shown(parameter: Any) -> bool:
    """Tell whether help names a parameter as an option."""
    return not is_argument(parameter) and not getattr(parameter, "hidden", False)


def option_names(option: Any) -> str:
    """Return the names of an option, the short one first, and what stands behind them; of two long ones the first."""
    short_names = [name for name in option.opts if not name.startswith("--")]
    long_names = [name for name in option.opts if name.startswith("--")][:1]
    return ", ".join(short_names + long_names) + "".join(f"/{name}" for name in option.secondary_opts) + taken(option)


def example_lines(examples: Iterable[tuple[str, str]]) -> list[str]:
    """Return examples: what each does, and below that the command, as it is typed."""
    lines = []
    for words, typed in examples:
        if words:
            lines += textwrap.wrap(f"# {words}", width() - 2, initial_indent="  ", subsequent_indent="  # ")
        lines.append(f"  {typed}")
    return lines
