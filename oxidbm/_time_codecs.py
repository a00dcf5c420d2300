"""Codecs of datetime's types: each value as a count, written as INT writes it, so that their order is that of time.

A datetime is either an instant, which has a time zone, or what a clock showed somewhere, which has none. The two cannot
be compared, and a store that held both would find neither in a range of the other: each has a codec of its own, and
the type itself stands for instants, which mean the same in every process and place. An instant is kept in UTC, and
comes back so: which zone it was given in is not in it. Two times that an autumn night shows twice are two instants,
although Python takes datetimes of one zone for equal that differ in `fold` alone.

Subclasses are taken and come back as their base, where they are equal to it: not one that holds nanoseconds.
"""

import datetime as dt
from typing import Any, Final, Generic, TypeVar

from oxidbm._codec_types import DecodeError, undecodable, wrong_type
from oxidbm._scalar_codecs import Delimited, IntCodec

T = TypeVar("T")

INT: Final = IntCodec()
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
NAIVE_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001
DAY_ZERO: Final = EPOCH.toordinal()
MICROSECOND: Final = dt.timedelta(microseconds=1)
DAY: Final = 86_400_000_000
LEAST: Final = (dt.datetime.min - NAIVE_EPOCH) // MICROSECOND  # noqa: DTZ901
MOST: Final = (dt.datetime.max - NAIVE_EPOCH) // MICROSECOND  # noqa: DTZ901


class CountCodec(Delimited, Generic[T]):
    """Values of one type as a count from `least` to `most`."""

    name = ""
    least = 0
    most = 0

    def count(self, value: Any) -> int:
        """Return a value's number; TypeError for a value of another type."""
        raise NotImplementedError

    def counted(self, count: int) -> T:
        """Return the value of a number."""
        raise NotImplementedError

    def encode(self, value: T, /) -> bytes:
        """Return a value's bytes; TypeError for one of another type, or with a time zone where the codec has none."""
        count = self.count(value)
        if not self.least <= count <= self.most:
            raise ValueError(f"in UTC {value} is out of the range of datetime, and cannot be written")
        return INT.encode(count)

    def decode(self, data: bytes, /) -> T:
        """Return the value that bytes stand for."""
        try:
            count = INT.decode(data)
        except DecodeError as failure:
            raise undecodable(self.name, data, failure) from failure
        if not self.least <= count <= self.most:
            raise undecodable(self.name, data, f"{count} is out of range")
        return self.counted(count)

    def end(self, data: bytes, start: int) -> int:
        """Return where the value ends that starts at `start`; the bytes may end before."""
        return INT.end(data, start)


class DatetimeCodec(CountCodec[dt.datetime]):
    """Datetimes with a time zone, as microseconds since 1970 in UTC, in which they come back."""

    name = "datetime"
    least = LEAST
    most = MOST

    def count(self, value: Any) -> int:
        """Return how many microseconds after the beginning of 1970 it is."""
        if not isinstance(value, dt.datetime):
            raise wrong_type(self.name, "datetime.datetime", value)
        if value.utcoffset() is None:
            raise TypeError(
                f"the codec 'datetime' takes instants, and {value} has no time zone: give it one, as astimezone() "
                "does, or use codecs.NAIVE_DATETIME for what clocks show"
            )
        count = (value - EPOCH) // MICROSECOND
        if type(value) is not dt.datetime and value != EPOCH + dt.timedelta(microseconds=count):
            raise inexact(value)
        return count

    def counted(self, count: int) -> dt.datetime:
        """Return the instant."""
        return EPOCH + dt.timedelta(microseconds=count)


class NaiveDatetimeCodec(CountCodec[dt.datetime]):
    """Datetimes without a time zone, as microseconds since the beginning of 1970; without their `fold`."""

    name = "naive-datetime"
    least = LEAST
    most = MOST

    def count(self, value: Any) -> int:
        """Return how many microseconds after the beginning of 1970 it is, by the same clock."""
        if not isinstance(value, dt.datetime):
            raise wrong_type(self.name, "datetime.datetime", value)
        if value.tzinfo is not None:
            raise TypeError(
                f"the codec 'naive-datetime' takes datetimes without a time zone, and {value} has one; "
                "use codecs.DATETIME for instants"
            )
        count = (value - NAIVE_EPOCH) // MICROSECOND
        if type(value) is not dt.datetime and value != self.counted(count):
            raise inexact(value)
        return count

    def counted(self, count: int) -> dt.datetime:
        """Return the datetime."""
        return NAIVE_EPOCH + dt.timedelta(microseconds=count)


class DateCodec(CountCodec[dt.date]):
    """Dates, as days since 1970-01-01. A datetime is none here: its time would be lost."""

    name = "date"
    least = dt.date.min.toordinal() - DAY_ZERO
    most = dt.date.max.toordinal() - DAY_ZERO

    def count(self, value: Any) -> int:
        """Return how many days after 1970-01-01 it is."""
        if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
            raise wrong_type(self.name, "datetime.date", value)
        return value.toordinal() - DAY_ZERO

    def counted(self, count: int) -> dt.date:
        """Return the date."""
        return dt.date.fromordinal(count + DAY_ZERO)


class TimeCodec(CountCodec[dt.time]):
    """Times of day without a UTC offset, as microseconds since midnight; without their `fold`."""

    name = "time"
    most = DAY - 1

    def count(self, value: Any) -> int:
        """Return how many microseconds after midnight it is."""
        if not isinstance(value, dt.time):
            raise wrong_type(self.name, "datetime.time", value)
        if value.tzinfo is not None:
            raise TypeError(f"the codec 'time' takes times without a time zone, and {value} has one")
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond

    def counted(self, count: int) -> dt.time:
        """Return the time."""
        return (NAIVE_EPOCH + dt.timedelta(microseconds=count)).time()


class TimedeltaCodec(CountCodec[dt.timedelta]):
    """Durations, as microseconds."""

    name = "timedelta"
    least = dt.timedelta.min // MICROSECOND
    most = dt.timedelta.max // MICROSECOND

    def count(self, value: Any) -> int:
        """Return how many microseconds it has."""
        if not isinstance(value, dt.timedelta):
            raise wrong_type(self.name, "datetime.timedelta", value)
        count = value // MICROSECOND
        if type(value) is not dt.timedelta and value != self.counted(count):
            raise inexact(value)
        return count

    def counted(self, count: int) -> dt.timedelta:
        """Return the duration."""
        return dt.timedelta(microseconds=count)


def inexact(value: object) -> ValueError:
    """Return the error for an instance of a subclass that holds more than its base."""
    return ValueError(f"{value!r} is not equal to any value of its base class, as which it would come back")


DATETIME: Final = DatetimeCodec()
NAIVE_DATETIME: Final = NaiveDatetimeCodec()
DATE: Final = DateCodec()
TIME: Final = TimeCodec()
TIMEDELTA: Final = TimedeltaCodec()
