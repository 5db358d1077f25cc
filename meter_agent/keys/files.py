"""Files with secrets: only their owner can read them, in folders that only their owner can enter."""

import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from meter_agent.durable import replace_file, sync_folder, write_new
from meter_agent.keys.errors import KeyFileError


def read_private_file(path: Path) -> bytes:
    """Content of a file that group and others have no rights to; raises `KeyFileError`."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o177:
                raise KeyFileError(f"{path} has mode {mode:04o}, but only its owner may read it: chmod 600 {path}")
            return file.read()
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None


def make_private_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; one that is there already stays as it is. Raises `KeyFileError`."""
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, mode=0o700)
        check_folder(path.parent)
        with _draft(path, content) as draft:
            link(draft, path)
        sync_folder(path.parent)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be made: {error.strerror}") from None


def replace_private_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, in the place of the one before. Raises `KeyFileError`."""
    try:
        replace_file(path, content)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def _draft(path: Path, content: bytes) -> Generator[Path, None, None]:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        write_new(draft, content)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def link(source: Path, path: Path) -> None:
    """Unlike a rename, a link never replaces what somebody else put there meanwhile."""
    try:
        os.link(source, path)
    except FileExistsError:
        pass


def check_folder(folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        raise KeyFileError(f"{folder} has mode {mode:04o}, but only its owner may enter it: chmod 700 {folder}")
