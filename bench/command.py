"""The command line: `python -m bench [names] [options]`, and what is done with results: chart, table, record, page."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.chart import draw_chart
from bench.engines import ENGINES, select_engines
from bench.loops import empty_loop_figures
from bench.machine import describe_machine
from bench.measures import MEASURES, Figure, Measure, Settings
from bench.page import record, write_pages
from bench.report import (
    FORMAT,
    Report,
    engine_entries,
    figure_entry,
    markdown_report,
    print_report,
    result_entries,
    write_json,
)
from bench.rounds import Case, Result, Workload, run_case
from bench.workloads import WORKLOADS
from bench.ycsb import YCSB

ALL_WORKLOADS = WORKLOADS | YCSB
GROUPS = {
    "workloads": tuple(WORKLOADS),
    "ycsb": tuple(YCSB),
    "measures": tuple(MEASURES),
    "all": (*ALL_WORKLOADS, *MEASURES),
}
CONVERSIONS = ("chart", "table", "record", "page")
DATA_LIMIT = 128 << 20
NUM = 100_000
SMOKE_NUM = 200
SMOKE_SECONDS = 0.05


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m bench",
        description="Benchmarks of oxidbm and its peers.",
        epilog="With results: `chart RESULTS.json OUT.png`, `table RESULTS.json`, `record RESULTS.json NAME`; "
        "`page` writes what is recorded into the documentation.",
    )
    made.add_argument("names", nargs="*", help="workloads, measures or groups of them (--list); default: workloads")
    made.add_argument("--engines", help="comma-separated; also: default, all")
    made.add_argument("--base", default="oxidbm", help="engine that the ratios compare with")
    made.add_argument("--rounds", type=int, help="alternating rounds (default 5)")
    made.add_argument("--num", type=int, help=f"records (default {NUM:,}, or what a measure asks for)")
    made.add_argument("--key-size", type=int, default=16, help="bytes of a key in the workloads")
    made.add_argument("--value-size", help="bytes of a value, comma-separated (default 100)")
    made.add_argument("--memory", type=int, metavar="MIB", help="budget of the measures larger and churn")
    made.add_argument("--seconds", type=float, help="longest timed stretch of an engine in a round (default 2)")
    made.add_argument("--smoke", action="store_true", help="everything at a tiny size: does it run at all")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    made.add_argument("--dir", type=Path, help="where temporary directories are made")
    made.add_argument("--list", action="store_true", help="list workloads, measures and engines")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run what the command line says; the exit status."""
    try:
        if arguments and arguments[0] in CONVERSIONS:
            return convert(arguments)
        options = parser().parse_args(arguments)
        if options.list:
            print(listing())
            return 0
        report = measure(options, arguments)
    except (ValueError, FileNotFoundError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    print_report(report)
    if options.json is not None:
        write_json(report, options.json)
    return 0


def convert(arguments: Sequence[str]) -> int:
    """`chart RESULTS.json OUT.png` draws, `table RESULTS.json` prints Markdown.

    `record RESULTS.json NAME` keeps results for the documentation, `page` writes them into it.
    """
    kind = arguments[0]
    made = argparse.ArgumentParser(prog=f"python -m bench {kind}")
    if kind != "page":
        made.add_argument("results", type=Path)
    if kind == "chart":
        made.add_argument("output", type=Path)
    if kind == "record":
        made.add_argument("name", help="the recording to replace")
    options = made.parse_args(arguments[1:])
    if kind == "page":
        write_pages()
    elif kind == "chart":
        draw_chart(options.results, options.output)
    else:
        report = json.loads(options.results.read_text(encoding="utf-8"))
        if kind == "record":
            record(report, options.name)
        else:
            print(markdown_report(report))
    return 0


def listing() -> str:
    """What there is to run, and with what."""
    lines = ["workloads:"]
    lines += [f"  {name:<12} {workload.summary}" for name, workload in ALL_WORKLOADS.items()]
    lines.append("measures (workloads at sizes of their own, and what no timed loop can give):")
    lines += [f"  {name:<12} {measure_type.summary}" for name, measure_type in MEASURES.items()]
    lines.append("groups: " + ", ".join(GROUPS))
    lines.append("engines:")
    for name, engine in ENGINES.items():
        state = engine.version() if engine.available() else "not installed"
        lines.append(f"  {name:<14} {state:<16} {engine.settings()}")
    return "\n".join(lines)


def select_names(names: Sequence[str], smoke: bool) -> list[str]:
    """Workloads and measures by name, groups resolved, each once."""
    chosen: list[str] = []
    for name in names or (["all"] if smoke else ["workloads"]):
        for part in name.split(","):
            for one in GROUPS.get(part, (part,)):
                if one not in ALL_WORKLOADS and one not in MEASURES:
                    raise ValueError(f"nothing to run is called {one!r}: see --list")
                if one not in chosen:
                    chosen.append(one)
    return chosen


def value_sizes(text: str | None) -> tuple[int, ...] | None:
    """Comma-separated sizes."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--value-size takes numbers separated by commas, not {text!r}") from None


def settings_of(options: argparse.Namespace) -> Settings:
    """What the measures need to know, and the workloads share."""
    smoke: bool = options.smoke
    chosen = select_engines(options.engines or ("all" if smoke else "default"))
    return Settings(
        engines=[engine for engine in chosen if engine.available()],
        rounds=options.rounds or (1 if smoke else 5),
        num=options.num,
        value_sizes=value_sizes(options.value_size),
        memory_mib=options.memory or 64,
        seconds=options.seconds or (SMOKE_SECONDS if smoke else 2.0),
        smoke=smoke,
        named=options.engines is not None,
        directory=options.dir,
        report=progress if sys.stderr.isatty() else lambda _: None,
    )


def progress(text: str) -> None:
    """The line that says what is being done."""
    print(f"\r\033[K{text[:100]}", end="", file=sys.stderr, flush=True)


def measure(options: argparse.Namespace, arguments: Sequence[str]) -> Report:
    """Run every chosen workload and measure, and put the report together."""
    names = select_names(options.names, options.smoke)
    settings = settings_of(options)
    chosen = [engine.name for engine in select_engines(options.engines or ("all" if options.smoke else "default"))]
    installed = {engine.name for engine in settings.engines}
    if not installed:
        raise ValueError(f"none of the engines is installed: {', '.join(chosen)}")
    results: list[Result] = []
    figures: list[Figure] = []
    for name in names:
        if name in ALL_WORKLOADS:
            results += run_workload(ALL_WORKLOADS[name](), options, settings)
            continue
        kind: type[Measure] = MEASURES[name]
        if not installed.issuperset(kind.needs):
            figures.append(Figure(name, "all", ", ".join(kind.needs), None, ""))
            continue
        outcome = kind().run(settings)
        results += outcome.results
        figures += outcome.figures
    if sys.stderr.isatty():
        progress("")
    return {
        "format": FORMAT,
        "command": command_line(arguments),
        "machine": describe_machine(),
        "engines": engine_entries(chosen),
        "settings": {
            "base": options.base,
            "rounds": settings.rounds,
            "seconds": settings.seconds,
            "smoke": settings.smoke,
        },
        "empty_loop_ns": {shape: round(figure, 2) for shape, figure in empty_loop_figures().items()},
        "results": result_entries(results, options.base),
        "figures": [figure_entry(figure) for figure in figures],
    }


def run_workload(workload: Workload, options: argparse.Namespace, settings: Settings) -> list[Result]:
    """One workload at every value size and distribution."""
    results: list[Result] = []
    for value_size in settings.sizes(100):
        record_size = options.key_size + value_size
        # Large values come in smaller numbers: the data of a workload stays under DATA_LIMIT.
        usual = max(1, min(NUM, DATA_LIMIT // record_size))
        for distribution in workload.distributions:
            case = Case(settings.count(usual, SMOKE_NUM), options.key_size, value_size, distribution, settings.seconds)
            results += run_case(workload, case, settings.engines, settings.rounds, settings.directory, settings.report)
    return results


def command_line(arguments: Sequence[str]) -> str:
    """The command as it was given, without the directories of this machine."""
    return " ".join(["python -m bench", *(Path(one).name if "/" in one else one for one in arguments)])
