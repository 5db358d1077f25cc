"""Operating-system users, so that what belongs to one organisation cannot be read by another's processes."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def acting_as(user: User | None) -> dict[str, Any]:
    """What `subprocess` has to be told."""
    return {"user": user.uid, "group": user.gid, "extra_groups": []} if user else {}


def write_as(user: User | None, path: Path, content: bytes) -> None:
    """Write a file in a folder of the user's, who may have put a link to anything in its place."""
    if user is None:
        path.write_bytes(content)
    else:
        command = ["tee", str(path)]
        subprocess.run(command, input=content, stdout=subprocess.DEVNULL, check=True, **acting_as(user))  # noqa: S603


def hand_over(folder: Path, user: User | None) -> None:
    """Give a folder with all that is in it to a user, who alone can enter it. Links are not followed."""
    folder.chmod(0o700)
    if user is not None:
        for path, folders, files in os.walk(folder):
            for name in (".", *folders, *files):
                os.chown(os.path.join(path, name), user.uid, user.gid, follow_symlinks=False)
