"""What can go wrong with a journal."""

import sqlite3


class JournalError(Exception):
    """The journal cannot be used: in use, damaged, or another device's."""


class JournalFull(JournalError):
    """Nothing more can be written, until there is room again. What is in it is whole."""


class JournalDamaged(JournalError):
    """The file is no database any more."""


def named(error: sqlite3.Error) -> type[JournalError]:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return JournalFull
    return JournalDamaged if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) else JournalError
