"""Operating-system users, so that what belongs to one organisation cannot be read by another's processes."""

import os
import pwd
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.fabric.description import NetworkError


@dataclass(frozen=True)
class User:
    """Whom a process runs as."""

    uid: int
    gid: int


def find_user(text: str) -> User | None:
    """By name or number; none for an empty text. A number that this system does not know is its own group.

    Raises `NetworkError` for an unknown name, and where we may not start processes as somebody else.
    """
    if not text:
        return None
    if os.geteuid() != 0:
        raise NetworkError(f"only root can start processes as {text}")
    try:
        found = pwd.getpwuid(int(text)) if text.isdecimal() else pwd.getpwnam(text)
    except KeyError:
        if text.isdecimal():
            return User(int(text), int(text))
        raise NetworkError(f"there is no user {text}") from None
    return User(found.pw_uid, found.pw_gid)


def acting_as(user: User | None, argv: Sequence[str]) -> list[str]:
    """The command line that runs a program as a user; its process stays the same one.

    `subprocess` could change the user itself, but forks for that, which gRPC's threads in this process do not survive.
    """
    if user is None:
        return list(argv)
    return [sys.executable, "-I", "-S", "-c", _CHANGE_USER, str(user.uid), str(user.gid), *argv]


# `execvp` loads `warnings`, which it could not afterwards: the user may be unable to read our Python.
_CHANGE_USER = """
import os, sys, warnings
uid, gid, *argv = sys.argv[1:]
os.setgroups([])
os.setgid(int(gid))
os.setuid(int(uid))
try:
    os.execvp(argv[0], argv)
except OSError as error:
    sys.exit(f"{argv[0]}: {error.strerror}")
"""


def hand_over(folder: Path, user: User | None) -> None:
    """Give a folder with all that is in it to a user, who alone can enter it. Links are not followed."""
    folder.chmod(0o700)
    if user is not None:
        for path, folders, files in os.walk(folder):
            for name in (".", *folders, *files):
                os.chown(os.path.join(path, name), user.uid, user.gid, follow_symlinks=False)
