"""The chart of README.md and of the site's first page: five rows of the first table as bars, two SVG files.

What it keeps to, so that it can be read on a telephone and believed: every bar begins at zero and is as long as its
figure, on a linear axis; each row has an axis of its own, since rows differ by a hundredfold, and says its unit; rows
in which another engine wins are among the five; bars carry their engine's name and their figure as text, so that no
colour has to be told from another. One file for light and one for dark pages: a site that can be switched shows one of
two pictures, which a single file that asks the system could not follow.

The figures are those of the recordings, never typed here; a test compares the files with what is drawn here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Row = tuple[str, dict[str, float]]

WIDTH = 400
NAMES = 74.0  # where the bars begin: names of engines stand before
FIGURES = 68.0  # kept free behind the longest bar, for its figure
TITLE_STEP = 19.0
BAR_STEP = 17.0
BAR = 12.0
AXIS_STEP = 15.0
GAP = 10.0
TOP = 2.0
NOTE_STEP = 15.0
HEADING_STEP = 26.0
TICKS_MAX = 4
OURS = "oxidbm"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Colours:
    """What a file is drawn in. The background is the page's; text on it has a contrast of 4.5 and more."""

    text: str
    muted: str
    line: str
    ours: str
    others: str


COLOURS = {
    "light": Colours(text="#1f2328", muted="#59636e", line="#d1d9e0", ours="#bc4c00", others="#8c959f"),
    "dark": Colours(text="#e6edf3", muted="#9198a1", line="#3d444d", ours="#f0883e", others="#6e7681"),
}


def figure_text(figure: float) -> str:
    """A bar's figure: whole numbers, with commas."""
    return f"{figure:,.0f} ns"


def step_of(largest: float) -> float:
    """A round distance of ticks that gives at most TICKS_MAX of them after zero."""
    power = 10.0 ** math.floor(math.log10(largest / TICKS_MAX))
    return next(factor * power for factor in (1, 2, 5, 10) if largest / (factor * power) <= TICKS_MAX)


def escaped(text: str) -> str:
    """Text as XML takes it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Drawing:
    """Lines of an SVG file, and how far down it has come."""

    def __init__(self, colours: Colours) -> None:
        self.colours = colours
        self.lines: list[str] = []
        self.y = TOP

    def text(self, x: float, y: float, words: str, colour: str, size: int, more: str = "") -> None:
        """Words at a place."""
        self.lines.append(f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}"{more}>{escaped(words)}</text>')

    def row(self, title: str, figures: dict[str, float]) -> None:
        """A row: what is done, a bar for each engine, and the axis that they stand on."""
        colours = self.colours
        self.text(0, self.y + 14, title, colours.text, 14, ' font-weight="600"')
        self.y += TITLE_STEP
        largest = max(figures.values())
        scale = (WIDTH - NAMES - FIGURES) / largest
        bottom = self.y + BAR_STEP * len(figures)
        step = step_of(largest)
        ticks = [step * count for count in range(int(largest / step) + 1)]
        for tick in ticks:
            x = NAMES + tick * scale
            self.lines.append(
                f'<line x1="{x:.1f}" y1="{self.y:g}" x2="{x:.1f}" y2="{bottom:g}" stroke="{colours.line}"/>'
            )
            self.text(round(x, 1), bottom + 11, f"{tick:,.0f}", colours.muted, 11, ' text-anchor="middle"')
        for engine, figure in figures.items():
            ours = engine == OURS
            weight = ' font-weight="600"' if ours else ""
            colour = colours.ours if ours else colours.others
            self.text(NAMES - 6, self.y + 12, engine, colours.text, 13, f' text-anchor="end"{weight}')
            width = figure * scale
            self.lines.append(
                f'<rect x="{NAMES:g}" y="{self.y + 2:g}" width="{width:.1f}" height="{BAR:g}" fill="{colour}"/>'
            )
            self.text(round(NAMES + width + 5, 1), self.y + 12, figure_text(figure), colours.text, 13, weight)
            self.y += BAR_STEP
        self.y = bottom + AXIS_STEP + GAP

    def heading(self, words: str) -> None:
        """What is shown, above the rows."""
        self.text(0, self.y + 12, words, self.colours.muted, 13)
        self.y += HEADING_STEP

    def note(self, words: str) -> None:
        """A small line under the rows."""
        self.text(0, self.y + NOTE_STEP, words, self.colours.muted, 11)
        self.y += NOTE_STEP

    def finished(self, label: str) -> str:
        """The file's text."""
        height = math.ceil(self.y + 6)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'role="img" aria-label="{escaped(label)}" font-family="{FONT}">'
        )
        return "\n".join([head, *self.lines, "</svg>"]) + "\n"


def drawn(rows: list[Row], heading: str, notes: list[str], theme: str) -> str:
    """The chart as SVG, in the colours of a theme."""
    drawing = Drawing(COLOURS[theme])
    drawing.heading(heading)
    for title, figures in rows:
        drawing.row(title, figures)
    for words in notes:
        drawing.note(words)
    said = [f"{title}: " + ", ".join(f"{name} {figure_text(one)}" for name, one in row.items()) for title, row in rows]
    return drawing.finished(f"{heading}. " + "; ".join(said))
