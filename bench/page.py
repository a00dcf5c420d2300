"""The figures of README.md and of pages of docs/, and their chart, made of the recordings in `bench/recorded`.

`python -m bench record RESULTS.json NAME` keeps the medians of a report as a recording, `python -m bench page` writes
them between the marks `<!-- figures BLOCK -->` and `<!-- /figures -->` of these files, and draws the chart of the first
screens. What stands between two marks is never edited by hand: a test compares it, and the chart, with what is made
here. A recording holds the settings that its engines had, and another test compares them with the engines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.engines import ENGINES
from bench.report import (
    Report,
    Rows,
    machine_words,
    markdown_table,
    nanoseconds,
    notes_of_entries,
    number,
    tables_of,
    times,
)
from bench.svg import COLOURS, drawn

PROJECT = Path(__file__).resolve().parent.parent
RECORDINGS = PROJECT / "bench" / "recorded"
PAGES = (
    PROJECT / "docs" / "performance.md",
    PROJECT / "README.md",
    PROJECT / "docs" / "guides" / "which-durability.md",
)
MARKED = re.compile(r"<!-- figures ([\w-]+) -->\n.*?<!-- /figures -->", re.DOTALL)
LOST = re.compile(r"\((<|0\.)[\d.]+x\)$")
CHARTS = {theme: PROJECT / "docs" / f"chart-{theme}.svg" for theme in COLOURS}
DIGITS = 3
Recordings = dict[str, Report]


@dataclass(frozen=True)
class Topic:
    """A block of the page: some workloads, or a measure, out of one recording."""

    recording: str
    workloads: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Headline:
    """A row of the first table: a workload's results or a figure, at one size."""

    label: str
    recording: str
    name: str
    num: int | None = None
    scale: float = 1.0


TOPICS = {
    "hot": Topic("hot", ("readhot", "sethot")),
    "million": Topic("hot", ("readrandom", "overwrite")),
    "sizes": Topic(
        "sizes", ("fillseq", "fillrandom", "overwrite", "readrandom", "readmissing", "rmw", "delete", "scan")
    ),
    "batches": Topic("faces", ("getmany, short rounds", "setmany, short rounds", "fillmany", "fillmanyseq")),
    "scan": Topic("large", ("scan",)),
    "growth": Topic("large", measures=("tenmillion",)),
    "larger": Topic("large", measures=("larger",)),
    "cold": Topic("cold", measures=("cold",)),
    "memory": Topic("large", measures=("memory",)),
    "files": Topic("large", measures=("churn", "replay", "importtime")),
    "durable": Topic("durable", measures=("durable",)),
    "checkpoints": Topic("checkpoints", measures=("checkpoints",)),
    "snapshots": Topic("checkpoints", measures=("snapshots",)),
    "following": Topic("checkpoints", measures=("following",)),
    "log": Topic("log", measures=("log",)),
    "faces": Topic("faces", ("readhot, short rounds", "sethot, short rounds")),
    "mappings": Topic("faces", ("readrandom", "overwrite")),
    "sqlite": Topic("sqlite", ("readrandom", "overwrite")),
    "ycsb": Topic("ycsb", tuple(f"ycsb-{one} {draws}" for one in "abcdf" for draws in ("uniform", "zipfian"))),
}
HEADLINES = (
    Headline("get, 1,000 hot keys", "hot", "readhot", 1000),
    Headline("set, 1,000 hot keys", "hot", "sethot", 1000),
    Headline("get, a million keys at random", "hot", "readrandom", 1_000_000),
    Headline("set, a million keys at random", "hot", "overwrite", 1_000_000),
    Headline("load 100,000 keys in random order, one by one", "sizes", "fillrandom", 100_000),
    Headline("load a million keys in key order, in one batch", "faces", "fillmanyseq", 1_000_000),
    Headline("iterate over a million items, for each", "large", "scan", 1_000_000),
    Headline("get, data eight times the memory budget", "large", "random get, 100 B"),
    Headline("open a new store (microseconds)", "large", "opening a new store", scale=1000.0),
    Headline("memory a key, beyond key and value (bytes)", "large", "memory beyond key and value, 100 B"),
)
HEADLINE_VALUE_SIZE = 100
HEADLINE_COLUMNS = {
    "oxidbm": "oxidbm",
    "oxidbm-interval": "synced each second",
    "dict": "dict",
    "lmdb": "lmdb",
    "rocksdict": "rocksdict",
}
CHART_HEADING = "Nanoseconds for one operation: shorter is better"
CHART_ROWS = {  # of the first table, in other words; where dict or lmdb win too
    "get, 1,000 hot keys": "Read one of 1,000 keys, again and again",
    "get, a million keys at random": "Read a million keys in random order",
    "set, a million keys at random": "Overwrite a million keys in random order",
    "iterate over a million items, for each": "Go through a million items",
    "load a million keys in key order, in one batch": "Write a million keys in their order, in one batch",
}
CHART_ENGINES = ("oxidbm", "dict", "lmdb", "rocksdict")


def trimmed(report: Report) -> Report:
    """What the page needs of a report: medians to three digits, and the engines that took part."""
    used = {entry["engine"] for entry in report["results"]}
    used |= {entry["subject"].partition(",")[0] for entry in report["figures"]}
    results = [
        {key: entry[key] for key in ("workload", "engine", "num", "value_size", "median_ns", "ratio", "note")}
        | {"median_ns": rounded(entry["median_ns"]), "ratio": rounded(entry["ratio"])}
        for entry in report["results"]
    ]
    return report | {
        "command": re.sub(r" --json \S+", "", report["command"]),
        "engines": {name: engine for name, engine in report["engines"].items() if name in used},
        "results": results,
    }


def rounded(figure: float | None) -> float | None:
    """Three digits, which is what the page shows; whole numbers as they are from a thousand on."""
    return figure if figure is None else float(f"{figure:.{DIGITS}g}") if abs(figure) < 1000 else round(figure)


def record(report: Report, name: str, directory: Path = RECORDINGS) -> None:
    """Keep a report for the page, an entry a line, so that a difference can be read."""
    parts = []
    for key, part in trimmed(report).items():
        if key in ("results", "figures", "engines"):
            named = part.items() if isinstance(part, dict) else [(None, entry) for entry in part]
            lines = [(f"{json.dumps(name)}: " if name else "") + json.dumps(entry) for name, entry in named]
            opening, closing = "{}" if isinstance(part, dict) else "[]"
            text = f"{opening}\n  " + ",\n  ".join(lines) + f"\n {closing}" if lines else opening + closing
        else:
            text = json.dumps(part)
        parts.append(f" {json.dumps(key)}: {text}")
    (directory / f"{name}.json").write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def recordings(directory: Path = RECORDINGS) -> Recordings:
    """Every recording by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*.json"))}


def part_of(report: Report, topic: Topic) -> Report:
    """The report with the topic's entries alone."""
    return report | {
        "results": [entry for entry in report["results"] if entry["workload"] in topic.workloads],
        "figures": [entry for entry in report["figures"] if entry["measure"] in topic.measures],
    }


def topic_block(topic: Topic, recorded: Recordings) -> str:
    """Command, tables and notes."""
    report = part_of(recorded[topic.recording], topic)
    parts = [f"    {report['command']}"]
    for header, rows in tables_of(report):
        parts.append(markdown_table(header, [emphasized(header, row) for row in rows]))
    if lines := notes_of_entries(report):
        parts.append("\n".join(f"- {line}" for line in lines))
    return "\n\n".join(parts)


def emphasized(header: list[str], row: list[str]) -> list[str]:
    """Bold where another engine is better."""
    return [
        f"**{cell}**" if LOST.search(cell) and not title.startswith("oxidbm") else cell
        for title, cell in zip(header, row, strict=True)
    ]


def headline_block(recorded: Recordings) -> str:
    """The first table: figures of an engine, and each as a multiple of oxidbm's."""
    rows = []
    for headline in HEADLINES:
        found = headline_figures(recorded[headline.recording], headline)
        cells = [headline_cell(column, found, headline.scale) for column in HEADLINE_COLUMNS]
        rows.append([headline.label, *cells])
    return markdown_table(["16-byte keys, 100-byte values; nanoseconds", *HEADLINE_COLUMNS.values()], rows)


def headline_figures(report: Report, headline: Headline) -> dict[str, tuple[float, float | None]]:
    """By engine: the figure, and the ratio that was recorded for it or follows from the figures."""
    found = {
        entry["engine"]: (entry["median_ns"], entry["ratio"])
        for entry in report["results"]
        if (entry["workload"], entry["value_size"], entry["num"]) == (headline.name, HEADLINE_VALUE_SIZE, headline.num)
    }
    figures = {
        entry["subject"]: entry["measured"]
        for entry in report["figures"]
        if entry["name"] == headline.name and entry["measured"] is not None
    }
    if not found and "oxidbm" not in figures:
        raise ValueError(
            f"{headline.name!r} of {headline.recording} was not recorded: {headline.label!r} has no figures"
        )
    return found or {subject: (figure, figure / figures["oxidbm"]) for subject, figure in figures.items()}


def headline_cell(column: str, found: dict[str, tuple[float, float | None]], scale: float) -> str:
    """One cell; a figure below nothing is of a store whose data is in files that the system maps."""
    if column not in found:
        return "-"
    figure, ratio = found[column]
    if figure < 0:
        return "**none**"
    text = nanoseconds(figure * scale) if scale == 1.0 else number(figure * scale)
    if column == "oxidbm" or ratio is None:
        return text
    [cell] = emphasized([column], [f"{text} ({times(ratio)})"])
    return cell


def chart(recorded: Recordings, theme: str) -> str:
    """The chart's file: some rows of the first table as bars."""
    rows = []
    for headline in HEADLINES:
        if headline.label in CHART_ROWS:
            found = headline_figures(recorded[headline.recording], headline)
            rows.append((headline.label, {name: found[name][0] for name in CHART_ENGINES if name in found}))
    rows = [
        (CHART_ROWS[label], figures) for label, figures in sorted(rows, key=lambda row: [*CHART_ROWS].index(row[0]))
    ]
    notes = [
        "16-byte keys, 100-byte values; each row has its own scale.",
        "No engine syncs to a disk here. A dict keeps no file at all.",
        machine_words(recorded["hot"]),
    ]
    return drawn(rows, CHART_HEADING, notes, theme)


def settings_block(recorded: Recordings) -> str:
    """Each engine with the versions that were measured."""
    versions: dict[str, dict[str, None]] = {}
    for report in recorded.values():
        for name, engine in report["engines"].items():
            versions.setdefault(name, {})[engine["version"]] = None
    rows = [
        [name, ", ".join(versions.get(name, ["not measured here"])), engine.settings()]
        for name, engine in ENGINES.items()
    ]
    return markdown_table(["engine", "version", "opened by"], rows)


def loops_block(recorded: Recordings) -> str:
    """What was run where, and what the loops cost by themselves."""
    rows: Rows = []
    for report in recorded.values():
        empty = [f"{figure:.1f}" for figure in report["empty_loop_ns"].values()]
        rows.append([f"`{report['command']}`", report["machine"]["python"], *empty])
    [shapes] = {tuple(report["empty_loop_ns"]) for report in recorded.values()}
    return markdown_table(["command", "interpreter", *shapes], rows)


BLOCKS: dict[str, Callable[[Recordings], str]] = {
    "machine": lambda recorded: f"{machine_words(recorded['hot'])}.",
    "headline": headline_block,
    "settings": settings_block,
    "loops": loops_block,
}


def block(name: str, recorded: Recordings) -> str:
    """The text of one block."""
    if name in TOPICS:
        return topic_block(TOPICS[name], recorded)
    if name in BLOCKS:
        return BLOCKS[name](recorded)
    raise ValueError(f"no block of figures is called {name!r}: there are {', '.join([*BLOCKS, *TOPICS])}")


def filled(text: str, recorded: Recordings) -> str:
    """A page with all its blocks as the recordings have them."""
    return MARKED.sub(
        lambda mark: f"<!-- figures {mark[1]} -->\n\n{block(mark[1], recorded)}\n\n<!-- /figures -->", text
    )


def write_pages(pages: Sequence[Path] = PAGES) -> None:
    """Write every block of the pages again, and draw the chart."""
    recorded = recordings()
    for theme, path in CHARTS.items():
        path.write_text(chart(recorded, theme), encoding="utf-8")
    for page in pages:
        page.write_text(filled(page.read_text(encoding="utf-8"), recorded), encoding="utf-8")
