"""oxidbm: an embedded key-value store with a dict's face, a compiled hybrid log and one number for its memory."""

from oxidbm import _pure

_pure.install()

__version__ = "0.1.0"
