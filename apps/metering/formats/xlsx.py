"""Rows of an XLSX workbook's first sheet as text, read in bounded memory."""

import datetime as dt
import re
import zipfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

from django.utils.translation import gettext as _
from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from apps.metering.formats.base import MOST_SAMPLES, MOST_UNPACKED, Broken
from apps.metering.formats.packed import open_zip, read_member

# A document type is how XML bombs and references to other files begin; workbooks have none.
_DOCTYPE = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_OTHER_ENCODING = (b"\xff\xfe", b"\xfe\xff", b"<\x00", b"\x00<", b"\x00\x00")


def xlsx_rows(content: bytes, decimal: str, most_columns: int) -> Iterator[tuple[int, Sequence[str]]]:
    """Rows that are not empty, with their numbers. Numbers have 15 digits at most, as spreadsheet programs show them.

    Raises `Broken`.
    """
    _check(content)
    try:
        book = load_workbook(BytesIO(content), read_only=True, data_only=True, keep_links=False)
        sheet: Any = book.worksheets[0]
        sheet.reset_dimensions()  # what the sheet says of its size may be untrue
        for number, row in enumerate(sheet.iter_rows(max_col=most_columns, values_only=True), 1):
            if number > MOST_SAMPLES:
                raise Broken("", "too_many_rows", _("At most %(count)s rows in a sheet.") % {"count": MOST_SAMPLES})
            width = next((n for n in range(len(row), 0, -1) if row[n - 1] is not None), 0)
            if width:
                yield number, [_text(cell, decimal) for cell in row[:width]]
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, IndexError, SyntaxError, OSError) as error:
        message = _("This is no workbook that can be read: %(reason)s")
        raise Broken("", "no_workbook", message % {"reason": str(error)[:200]}) from None


def _check(content: bytes) -> None:
    """Refuse archives that unpack to more than is taken, and XML that defines entities, before anything parses it."""
    if not content.startswith(b"PK\x03\x04"):
        raise Broken("", "no_workbook", _("This is no XLSX workbook."))
    left = MOST_UNPACKED
    with open_zip(content) as archive:
        for info in archive.infolist():
            member = read_member(archive, info, left)
            left -= len(member)
            if member.startswith(_OTHER_ENCODING) or _DOCTYPE.search(member):
                raise Broken("", "unsafe_xml", _("The workbook has XML that defines entities or is not UTF-8."))


def _text(cell: object, decimal: str) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return str(cell)
        case int():
            return str(cell)
        case float():
            return f"{cell:.15g}".replace(".", decimal)
        case dt.datetime():
            return _rounded(cell).isoformat(sep=" ")
        case dt.date() | dt.time():
            return cell.isoformat()
        case _:
            return str(cell).strip()


def _rounded(time: dt.datetime) -> dt.datetime:
    """Workbooks keep times as fractions of a day: what is nearer to the full second is meant."""
    return (time + dt.timedelta(microseconds=500_000)).replace(microsecond=0)
