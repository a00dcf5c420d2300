"""Puts the site's pages together: `python -m tools.site` copies docs/ to build/docs, for `make docs`.

Three things differ from what is in docs/: pages of the reference have what their marks name; a picture that comes light
and dark is shown by the colours that the reader has chosen on the site, which `<picture>` cannot know; and on the first
page, where the window is wide, that picture stands beside the code, so that both are seen at once.

The address of the repository, which the site links to, is the one that the clone has come from, or that of `make docs
REPOSITORY=https://...`; a site that is built of anything else has no such link.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.reference import Reference

PROJECT = Path(__file__).resolve().parent.parent
DOCS = PROJECT / "docs"
FIRST = "index.md"
PICTURE = re.compile(r'<picture>\s*<source [^>]*srcset="([^"]+)">\s*<img src="([^"]+)"([^>]*)>\s*</picture>')
SCREEN = re.compile(
    r"^(    pip install .*?)\n(<picture>.*?</picture>)\n(.*?)(?=^<!-- /first screen -->)", re.MULTILINE | re.DOTALL
)
HIDDEN = "---\nhide:\n  - toc\n---\n\n"  # the first page has no list of its parts: the picture takes its place
REPOSITORY_MARK = "<!-- repository -->"
SSH = re.compile(r"(?:ssh://)?git@([\w.-]+)[:/](.+)")


def pages_of(directory: Path = DOCS) -> dict[str, str]:
    """Return every page by its path below the directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(directory.rglob("*.md"))
    }


def site_pages(pages: dict[str, str], repository: str = "") -> dict[str, str]:
    """Return the pages as the site has them."""
    reference = Reference(pages)
    made = {}
    for page, text in pages.items():
        text = reference.filled(page, text)
        if page == FIRST:
            text = HIDDEN + SCREEN.sub(side_by_side, text)
        text = PICTURE.sub(r'<img src="\2#only-light"\3><img src="\1#only-dark"\3>', text)
        made[page] = text.replace(REPOSITORY_MARK, f"[Repository]({repository})" if repository else "")
    return made


def side_by_side(screen: re.Match[str]) -> str:
    """Return code, picture and words of the first page in parts that the stylesheet lays out."""
    parts = [f'<div class="screen-{number}" markdown="1">\n\n{screen[number]}\n\n</div>' for number in (1, 2, 3)]
    return "\n".join(['<div class="screen" markdown="1">', *parts, "</div>\n"])


def public_address(origin: str) -> str:
    """Return a clone's origin as the address of a page; nothing where it is a path."""
    origin = origin.strip().removesuffix(".git")
    if ssh := SSH.fullmatch(origin):
        return f"https://{ssh[1]}/{ssh[2]}"
    return origin if origin.startswith("https://") and "@" not in origin else ""


def repository_address() -> str:
    """Return what the site links to."""
    if given := os.environ.get("REPOSITORY"):
        return given
    try:
        found = subprocess.run(
            ["git", "config", "remote.origin.url"], cwd=PROJECT, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return public_address(found.stdout)


def configuration(text: str, repository: str) -> str:
    """Return the site's configuration, with the link to the repository where there is one."""
    if not repository:
        return text
    name = "/".join(repository.rstrip("/").split("/")[-2:])
    return text.replace("[project]\n", f'[project]\nrepo_url = "{repository}"\nrepo_name = "{name}"\n', 1)


def main() -> int:
    """Write build/docs and the configuration beside it; the exit status."""
    build = PROJECT / "build"
    target = build / "docs"
    repository = repository_address()
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(DOCS, target)
    for page, text in site_pages(pages_of(), repository).items():
        (target / page).write_text(text, encoding="utf-8")
    text = (PROJECT / "zensical.toml").read_text(encoding="utf-8")
    (build / "zensical.toml").write_text(configuration(text, repository), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
