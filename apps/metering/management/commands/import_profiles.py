"""`manage.py import_profiles --area AREA FILE=CODE:REGISTER[:UNIT] ...`"""

import argparse
import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.models import PartyKey
from apps.assets.models import MarketArea, MeteringPoint
from apps.metering.choices import ACTIVE
from apps.metering.exceptions import BatchRefused
from apps.metering.formats.base import Problem
from apps.metering.services.profiles import Loaded, ProfileUnit, Source, load_profile, store_profiles

MOST_SHOWN = 50
# A profile is a power; what a file says in W is active energy.
REGISTERS = {register.name.lower(): register for register in ACTIVE}
COLUMNS = ("file", "point", "register", "unit")

_PROFILE = re.compile(rf"(?P<file>.+)=(?P<point>.+?):(?P<register>{'|'.join(REGISTERS)})(:(?P<unit>[A-Za-z]+))?")

HELP = """\
Take profiles from CSV files as readings of metering points. The area's utility signs them (evidence of grade 2).

A file has a line of column names, "timestamp" and "electricity" among them, and a row for every slot of the area's
grid: Unix seconds (UTC) at the start of the slot, and its mean power. Rows ascend without gaps. Decimals are read
exactly; the energy of a slot is the difference of the rounded running sum, so that nothing is lost to rounding.
"""

EXAMPLES = """\
what is imported:
  FILE=CODE:REGISTER[:UNIT]   CODE is the metering point's code, REGISTER consumption or generation,
                              UNIT what a value of 1 means: W (default), kW, or share, of the plant's installed power
  --map MAPPING.csv           the same for many files, with the columns file,point,register,unit; files are looked for
                              beside it

examples:
  manage.py import_profiles --area Riverside house.csv=DE-17:consumption roof.csv=DE-17:generation:share
  manage.py import_profiles --area Riverside --map profiles.csv --dry-run

Every file is checked before anything is stored. One bad row, and nothing is stored, unless --keep-good is given; then
the running sum starts anew after each bad row, so that no neighbour makes up for it. Readings that are stored already
are left out: the same import again stores nothing, and an import that was stopped goes on where it was (it stores a
metering point whole or not at all). Another value becomes a new version, but never replaces what a meter signed.
"""


class Command(BaseCommand):
    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("--area", required=True, help="name or id of the market area")
        parser.add_argument("profiles", nargs="*", metavar="FILE=CODE:REGISTER[:UNIT]", help="see below")
        parser.add_argument("--map", metavar="MAPPING.csv", type=Path, help="a table of files, see below")
        parser.add_argument("--keep-good", action="store_true", help="store the good rows of files with bad ones")
        parser.add_argument("--dry-run", action="store_true", help="check everything, store nothing")

    def handle(
        self,
        *,
        area: str,
        profiles: list[str],
        map: Path | None,
        keep_good: bool,
        dry_run: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        self.verbosity = verbosity
        wanted = [_from_argument(profile) for profile in profiles] + (_from_table(map) if map else [])
        sources = _sources(_area(area), wanted)
        loaded = [self._load(source, f"{n}/{len(sources)}") for n, source in enumerate(sources, 1)]
        self._judge(loaded, keep_good)
        if dry_run:
            self.stdout.write("Nothing was stored (dry run).")
        else:
            self._store(loaded)

    def _say(self, text: str) -> None:
        if self.verbosity > 0:
            self.stdout.write(text)

    def _load(self, source: Source, progress: str) -> Loaded:
        try:
            loaded = load_profile(source)
        except OSError as error:
            raise CommandError(f"{source.path}: {error.strerror}. Nothing was stored.") from error
        energy = f"{len(loaded.energy)} to store, {sum(loaded.energy.values())} Wh"
        self._say(f"{progress} {source.path}: {energy}; {loaded.identical} there already; {len(loaded.problems)} bad")
        for problem in loaded.problems[:MOST_SHOWN]:
            self.stderr.write(str(problem))
        if len(loaded.problems) > MOST_SHOWN:
            self.stderr.write(f"{source.path}: and {_by_rule(loaded.problems[MOST_SHOWN:])}")
        return loaded

    def _judge(self, loaded: list[Loaded], keep_good: bool) -> None:
        bad = sum(len(profile.problems) for profile in loaded)
        if not bad:
            return
        unusable = [str(profile.source.path) for profile in loaded if not profile.is_usable]
        if unusable:
            raise CommandError(f"Nothing was stored: there is no good row in {', '.join(unusable)}.")
        if not keep_good:
            files = sum(bool(profile.problems) for profile in loaded)
            reason = f"{bad} problems in {files} files" if files > 1 else f"{bad} problems"
            raise CommandError(f"Nothing was stored: {reason}. With --keep-good the other rows are stored.")

    def _store(self, loaded: list[Loaded]) -> None:
        by_point: dict[MeteringPoint, list[Loaded]] = {}
        for profile in loaded:
            by_point.setdefault(profile.source.point, []).append(profile)
        batches = 0
        for n, (point, own) in enumerate(by_point.items(), 1):
            try:
                made = store_profiles(point.area, point, own)
            except BatchRefused as error:
                raise CommandError(f"{point.code}: {error} {n - 1} metering points before it were stored.") from error
            except PartyKey.DoesNotExist as error:
                raise CommandError(f"{point.area.utility} has no key here that could sign an import.") from error
            batches += made
            self._say(f"{n}/{len(by_point)} {point.code}: {made} batches")
        stored, changed = sum(len(p.energy) for p in loaded), sum(p.changed for p in loaded)
        identical, bad = sum(p.identical for p in loaded), sum(len(p.problems) for p in loaded)
        self.stdout.write(
            f"Stored {stored} readings of {len(by_point)} metering points in {batches} batches, {changed} of them as"
            f" new versions; {identical} were there already; {bad} problems left out."
        )


def _area(text: str) -> MarketArea:
    areas = MarketArea.objects.select_related("utility")
    found = list(areas.filter(name=text))
    if not found and re.fullmatch("[0-9]{1,9}", text):
        found = list(areas.filter(pk=int(text)))
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandError(f"{len(found)} market areas are called {text!r}: give the id.")
    known = ", ".join(f"{area.name} ({area.pk})" for area in areas) or "none"
    raise CommandError(f"There is no market area {text!r}. There are: {known}.")


def _from_argument(text: str) -> dict[str, str]:
    match = _PROFILE.fullmatch(text)
    if match is None:
        raise CommandError(f"{text!r} is not FILE=CODE:REGISTER[:UNIT], with {' or '.join(REGISTERS)} as REGISTER.")
    return {"where": text, **{name: match[name] or "" for name in COLUMNS}}


def _from_table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as table:
            rows = [{name: (cell or "").strip() for name, cell in row.items() if name} for row in csv.DictReader(table)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{path}: {error}") from error
    wanted = []
    for line, row in enumerate(rows, 2):
        if not set(COLUMNS[:3]) <= row.keys():
            raise CommandError(f"{path}: the first line must name the columns {','.join(COLUMNS)}.")
        file = str(path.parent / row["file"])
        wanted.append({"unit": "", **row, "where": f"{path}, line {line}", "file": file})
    return wanted


def _sources(area: MarketArea, wanted: list[dict[str, str]]) -> list[Source]:
    if not wanted:
        raise CommandError("Name at least one profile, or a table of them with --map.")
    points = {point.code: point for point in area.points.select_related("area__utility", "plant")}
    sources: dict[tuple[int, int], Source] = {}
    for row in wanted:
        where, point = row["where"], points.get(row["point"])
        if point is None:
            raise CommandError(f"{where}: there is no metering point {row['point']!r} in {area}.")
        if row["register"] not in REGISTERS:
            raise CommandError(f"{where}: the register is {' or '.join(REGISTERS)}, not {row['register']!r}.")
        if row["unit"] not in ("", *ProfileUnit):
            raise CommandError(f"{where}: the unit is one of {', '.join(ProfileUnit)}, not {row['unit']!r}.")
        register = REGISTERS[row["register"]]
        source = Source(Path(row["file"]), point, register, ProfileUnit(row["unit"] or ProfileUnit.WATT))
        if sources.setdefault((point.pk, register), source) is not source:
            raise CommandError(f"{where}: {row['register']} of {point.code} was named before.")
    return list(sources.values())


def _by_rule(problems: Sequence[Problem]) -> str:
    counts = Counter(problem.rule for problem in problems)
    return f"{len(problems)} more: " + ", ".join(f"{count} {rule}" for rule, count in counts.items())
