"""Days and times. None of them asks what day it is today."""

import calendar
import datetime
from typing import Annotated

from pydantic import Field

Day = Annotated[str, Field(description="A day as YYYY-MM-DD", pattern=r"^\d{4}-\d{2}-\d{2}$")]
Clock = Annotated[str, Field(description="A time as HH:MM, from 00:00 to 23:59", pattern=r"^\d{2}:\d{2}$")]


def days_between(start: Day, end: Day) -> dict[str, int]:
    """How many days pass from one day to another; negative where the second is the earlier one."""
    return {"days": (_day(end) - _day(start)).days}


def weekday_of(day: Day) -> dict[str, str]:
    """The day of the week of a date."""
    return {"weekday": calendar.day_name[_day(day).weekday()]}


def add_days(day: Day, days: Annotated[int, Field(ge=-100_000, le=100_000)]) -> dict[str, str]:
    """The date so many days after a day, or before it where the number is negative, and its day of the week."""
    try:
        found = _day(day) + datetime.timedelta(days=days)
    except OverflowError:
        raise ValueError("that day is beyond the calendar") from None
    return {"date": found.isoformat(), "weekday": calendar.day_name[found.weekday()]}


def is_leap_year(year: Annotated[int, Field(ge=1, le=9999)]) -> dict[str, int]:
    """Whether a year is a leap year: how many days it has."""
    return {"year": year, "days": 366 if calendar.isleap(year) else 365}


def time_between(start: Clock, end: Clock) -> dict[str, int]:
    """The hours and minutes from one time of day to the next occurrence of another."""
    minutes = (_minutes(end) - _minutes(start)) % 1440
    return {"hours": minutes // 60, "minutes": minutes % 60}


def _day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no day as YYYY-MM-DD") from None


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    if not (hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):
        raise ValueError(f"{text!r} is no time as HH:MM")
    return int(hours) * 60 + int(minutes)


TOOLS = {
    days_between: (
        "How many days are there from 3 March 2025 to 19 June 2025?",
        {"start": "2025-03-03", "end": "2025-06-19"},
    ),
    weekday_of: ("On which weekday was 20 July 1969?", {"day": "1969-07-20"}),
    add_days: ("My visa of 90 days begins on 2026-02-14. When is it over?", {"day": "2026-02-14", "days": 90}),
    is_leap_year: ("Did the year 1900 have a 29 February?", {"year": 1900}),
    time_between: (
        "My train leaves at 21:40 and arrives at 06:15. How long is that?",
        {"start": "21:40", "end": "06:15"},
    ),
}
