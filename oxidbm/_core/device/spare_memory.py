"""How much may come into the system's memory, and stay there, without driving out what others have there.

What is free is nobody's. Beyond that the system gives up what it takes to be needed least, and what is small beside all
that it has of files displaces what was read once, too, before it comes to what is read again and again. A process in a
control group, as in a container, has the group's memory, in which the files count that it reads.
"""

from typing import Final

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.handlers import came_from_handler

SHARE: Final = 2  # of the memory that is free or holds files a part of so many is small
GROUPS: Final = (  # of versions 1 and 2: where they are, and the files that say what a group may have, and has
    (b"memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    (b"", "sys/fs/cgroup", "memory.max", "memory.current"),
    (b"", "sys/fs/cgroup/unified", "memory.max", "memory.current"),
)


def text_of(path: str) -> bytes:
    """Return what a file of the system says, b"" where it is not there."""
    try:
        with open(path, "rb") as file:
            found: bytes = file.read()
            return found
    except OSError as failure:
        if came_from_handler(failure):
            raise
        return b""


def number_in(path: str) -> int:
    """Return the number that a file says, -1 where it says none."""
    text = text_of(path).strip()
    return int(text) if text.isdigit() else -1


def numbers_of(path: str, unit: int, first: bytes, second: bytes) -> tuple[int, int]:
    """Return the numbers in units behind two words that begin lines of a file, 0 where there is no such line."""
    found = {first: 0, second: 0}
    for line in text_of(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in found and words[1].isdigit():
            found[words[0]] = int(words[1]) * unit
    return found[first], found[second]


def groups_of(root: str) -> list[tuple[str, str, str]]:
    """Return the directories that may say what this process's group has, and those above it, with the files' names."""
    found: list[tuple[str, str, str]] = []
    for line in text_of(root + "proc/self/cgroup").splitlines():
        parts = line.split(b":", 2)
        if len(parts) < 3:
            continue
        for controller, place, most, used in GROUPS:
            if controller in parts[1].split(b","):
                path = parts[2].decode(errors="replace").rstrip("/")
                while True:
                    found.append((root + place + path, most, used))
                    if not path:
                        break
                    path = path.rpartition("/")[0]
    return found


def spare_memory(root: str = "/") -> i64:
    """Return how many bytes that is; ADDRESS_MAX where the system does not say what memory there is."""
    free, available = numbers_of(root + "proc/meminfo", 1024, b"MemFree:", b"MemAvailable:")
    if available == 0:
        return ADDRESS_MAX
    for directory, most, used in groups_of(root):
        limit = number_in(f"{directory}/{most}")
        if limit >= 0:
            left = max(limit - max(number_in(f"{directory}/{used}"), 0), 0)
            files = numbers_of(f"{directory}/memory.stat", 1, b"inactive_file", b"active_file")
            free = min(free, left)
            available = min(available, left + sum(files))
    return min(i64(max(free, available // SHARE)), ADDRESS_MAX)
