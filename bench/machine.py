"""What a figure was measured on: processor, memory, system, Python. No names of hosts or users."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def describe_machine() -> dict[str, str | int]:
    """The machine in a few words."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 0,
        "memory_mib": _kibibytes("/proc/meminfo", "MemTotal") // 1024,
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def anonymous_memory(process: int | str = "self") -> int:
    """Bytes of anonymous resident memory of a process; for this one, its peak resident size where /proc is missing."""
    status = f"/proc/{process}/status"
    if Path(status).exists():
        return _kibibytes(status, "RssAnon") * 1024
    if process != "self" or sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _field(path: str, name: str) -> str:
    """The text after `name:` in a file of such lines, or nothing."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, text = line.partition(":")
        if key.strip() == name:
            return text.strip()
    return ""


def _kibibytes(path: str, name: str) -> int:
    text = _field(path, name)
    return int(text.split()[0]) if text else 0
