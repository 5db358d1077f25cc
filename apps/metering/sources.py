"""Where readings come from that no box signs, and how each is read."""

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from apps.assets.models import MarketArea
from apps.metering.choices import Grade, SourceKey
from apps.metering.deliveries import TableLayout
from apps.metering.formats.base import MOST_BYTES, Broken, Content
from apps.metering.formats.mscons import read_mscons
from apps.metering.formats.spanish import read_spanish
from apps.metering.formats.tables import read_csv, read_xlsx

Read = Callable[[str, bytes, MarketArea, TableLayout | None], Content]


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of file. `grade` is that of its true values; a substitute is one, whoever sent it."""

    key: SourceKey
    read: Read
    needs_layout: bool = False
    grade: Grade = Grade.OPERATOR_SIGNED

    @property
    def label(self) -> str:
        return str(self.key.label)


def _csv(file: str, content: bytes, area: MarketArea, layout: TableLayout | None) -> Content:
    return read_csv(file, content, _agreed(layout).as_layout())


def _xlsx(file: str, content: bytes, area: MarketArea, layout: TableLayout | None) -> Content:
    return read_xlsx(file, content, _agreed(layout).as_layout())


def _mscons(file: str, content: bytes, area: MarketArea, layout: TableLayout | None) -> Content:
    return read_mscons(file, content)


def _spanish(file: str, content: bytes, area: MarketArea, layout: TableLayout | None) -> Content:
    return read_spanish(file, content, area.zone)


def _agreed(layout: TableLayout | None) -> TableLayout:
    if layout is None:
        raise Broken("", "no_layout", _("Say how the table is laid out."))
    return layout


FILES = {
    source.key: source
    for source in (
        Source(SourceKey.CSV, _csv, needs_layout=True),
        Source(SourceKey.XLSX, _xlsx, needs_layout=True),
        Source(SourceKey.MSCONS, _mscons),
        Source(SourceKey.SPANISH, _spanish),
    )
}


def read_file(
    source: Source, file: str, content: bytes, area: MarketArea, layout: TableLayout | None = None
) -> Content:
    """What is in a file. Never raises for what the file says: a file that cannot be used is `is_broken`."""
    try:
        if len(content) > MOST_BYTES:
            raise Broken("", "too_large", _("At most %(bytes)s bytes in a file.") % {"bytes": MOST_BYTES})
        return source.read(file, content, area, layout)
    except Broken as broken:
        return Content(file).broken(1, broken)
