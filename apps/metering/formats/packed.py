"""Files as they come packed. Nothing is unpacked beyond a bound, whatever the archive says of itself."""

import bz2
import io
import zipfile
import zlib
from collections.abc import Iterator

from django.utils.translation import gettext as _

from apps.metering.formats.base import MOST_UNPACKED, Broken

MOST_MEMBERS = 200
_CHUNK = 1 << 16


def unpacked(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of what a .zip or .bz2 holds, one level deep each; anything else is itself, without a name.

    Raises `Broken`.
    """
    left = MOST_UNPACKED
    for name, member in _members(content):
        inner = _bunzipped(member, left) if member.startswith(b"BZh") else member
        left -= len(inner)
        if left < 0:
            raise too_large()
        yield name, inner


def too_large() -> Broken:
    message = _("Unpacked, it has more than %(bytes)s bytes.") % {"bytes": MOST_UNPACKED}
    return Broken("", "too_large", message)


def _members(content: bytes) -> Iterator[tuple[str, bytes]]:
    if not content.startswith(b"PK\x03\x04"):
        yield "", content
        return
    left = MOST_UNPACKED
    with open_zip(content) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            member = read_member(archive, info, left)
            left -= len(member)
            yield info.filename, member


def open_zip(content: bytes) -> zipfile.ZipFile:
    """Raises `Broken`, also when there is more in it than is taken here."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise _damaged() from None
    if len(archive.infolist()) > MOST_MEMBERS:
        raise Broken("", "too_many_files", _("At most %(count)s files in an archive.") % {"count": MOST_MEMBERS})
    return archive


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """A file of an archive; read in pieces, since what it says about its size may be untrue. Raises `Broken`."""
    pieces: list[bytes] = []
    try:
        with archive.open(info) as member:
            while piece := member.read(_CHUNK):
                pieces.append(piece)
                most -= len(piece)
                if most < 0:
                    raise too_large()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError):
        raise _damaged() from None
    return b"".join(pieces)


def _bunzipped(content: bytes, most: int) -> bytes:
    pieces: list[bytes] = []
    while content:
        unpacker = bz2.BZ2Decompressor()
        try:
            while not unpacker.eof:
                piece = unpacker.decompress(content, _CHUNK)
                content = b""
                pieces.append(piece)
                most -= len(piece)
                if most < 0:
                    raise too_large()
                if unpacker.needs_input and not unpacker.eof:
                    raise _damaged()
        except OSError:
            raise _damaged() from None
        content = unpacker.unused_data
    return b"".join(pieces)


def _damaged() -> Broken:
    return Broken("", "damaged", _("The archive is damaged or of a kind that is not read here."))
