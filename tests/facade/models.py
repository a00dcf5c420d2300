"""The types of values that the tests of the codecs write."""

import enum
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypedDict, TypeVar

import msgspec

T = TypeVar("T")


class Colour(enum.IntEnum):
    """A subclass of int."""

    RED = 1


class Word(str):
    """A subclass of str."""

    __slots__ = ()


@dataclass
class Point:
    """A dataclass."""

    x: int
    y: float = 0.0
    tags: list[str] = field(default_factory=list)


@dataclass
class Point3(Point):
    """A subclass, which would lose its z."""

    z: int = 0


@dataclass
class Box(Generic[T]):
    """A generic dataclass."""

    content: T


class Place(msgspec.Struct):
    """A struct of msgspec's."""

    name: str
    at: tuple[int, int]


class Pair(NamedTuple):
    """A subclass of tuple."""

    a: int
    b: str


class Movie(TypedDict):
    """A dict that only msgspec can tell."""

    title: str
