"""Where the local servers keep their data and listen: a pure function of the data folder and the file system.

Settings compute the default DATABASE_URL and REDIS_URL from here while no server runs.
"""

import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

# sun_path holds 104 bytes on macOS and 108 on Linux; PostgreSQL adds "/.s.PGSQL.5432.lock".
LONGEST_SOCKET_FOLDER = 80
POSTGRES_PORT = 5432  # only a part of the socket's name, nothing listens on TCP
DATABASE_ROLE = "energymarket"
DATABASE_NAME = "energymarket"
UNPRIVILEGED_USERS = ("postgres", "_postgres", "nobody")
SYSTEM_STATE_FOLDERS = (Path("/var/lib"), Path("/var/db"), Path("/opt"))


@dataclass(frozen=True)
class Places:
    """All paths of one data folder, and the operating-system user that PostgreSQL runs as."""

    data_dir: Path

    @cached_property
    def root(self) -> Path:
        return self.data_dir.expanduser().resolve()

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def pids(self) -> Path:
        return self.root / "pid"

    @property
    def lock(self) -> Path:
        return self.root / "supervisor.lock"

    @property
    def redis_data(self) -> Path:
        return self.root / "redis"

    @cached_property
    def redis_run(self) -> Path:
        return self._socket_folder(self.redis_data, os.geteuid())

    @property
    def redis_socket(self) -> Path:
        return self.redis_run / "redis.sock"

    @property
    def redis_url(self) -> str:
        return f"unix://{quote(str(self.redis_socket))}?db=0"

    @cached_property
    def postgres_user(self) -> pwd.struct_passwd:
        """Us, or as root the owner of an existing cluster, or else an unprivileged user of the system."""
        if os.geteuid() != 0:
            return pwd.getpwuid(os.geteuid())
        owner = _owner(self.postgres_data)
        if owner:
            return pwd.getpwuid(owner)
        return unprivileged_user()

    @cached_property
    def postgres_home(self) -> Path:
        """Folder of the cluster; as root a place that the unprivileged user can reach through existing modes."""
        inside = self.root / "postgres"
        if os.geteuid() != 0 or _owner(inside / "data") or world_searchable(self.root):
            return inside
        for folder in SYSTEM_STATE_FOLDERS:
            if folder.is_dir() and world_searchable(folder):
                return folder / "energymarket" / self._digest
        raise FileNotFoundError(f"As root, PostgreSQL needs one of {', '.join(map(str, SYSTEM_STATE_FOLDERS))}.")

    @property
    def postgres_data(self) -> Path:
        return self.postgres_home / "data"

    @cached_property
    def postgres_run(self) -> Path:
        return self._socket_folder(self.postgres_home, self.postgres_user.pw_uid)

    @property
    def database_url(self) -> str:
        # requirepeer: libpq refuses a socket that somebody else's server listens on.
        return (
            f"postgresql://{DATABASE_ROLE}@/{DATABASE_NAME}?host={quote(str(self.postgres_run), safe='')}"
            f"&port={POSTGRES_PORT}&requirepeer={quote(self.postgres_user.pw_name)}"
        )

    @property
    def _digest(self) -> str:
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]

    def _socket_folder(self, home: Path, uid: int) -> Path:
        folder = home / "run"
        # libpq takes a comma for the end of a host name.
        if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER and "," not in str(folder):
            return folder
        return Path("/tmp") / f"energymarket-{uid}-{home.name}-{self._digest}"  # noqa: S108 checked when it is made


def unprivileged_user() -> pwd.struct_passwd:
    """First of the users that systems have for such servers. Raises LookupError."""
    for name in UNPRIVILEGED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise LookupError(f"As root, PostgreSQL needs one of the users {', '.join(UNPRIVILEGED_USERS)}.")


def world_searchable(folder: Path) -> bool:
    """Whether everybody may pass through this folder and all above it; folders still to be made count as passable."""
    for part in (folder, *folder.parents):
        try:
            mode = part.stat().st_mode
        except FileNotFoundError:
            continue
        if not mode & stat.S_IXOTH:
            return False
    return True


def _owner(folder: Path) -> int:
    """Owner's user id, 0 where there is no such folder."""
    try:
        return folder.stat().st_uid
    except FileNotFoundError:
        return 0
