"""The folder of releases. What the launcher and the program say to each other stands in files of it:

current        a link to releases/<version>
trial.json     a release that has still to show that it works: {sequence, version, previous, seconds, starts}
healthy        written by the program that has read and sent; holds its version
outcome.json   what became of the last trial: {sequence, version, done, reason}
"""

import gzip
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from meter_agent.channel.orders import Failure
from meter_agent.durable import replace_file, sync_folder
from meter_agent.update.release import Version, read_version, version_text

MOST_FILES = 50_000
UNPACKED = 8  # times its size, at most; small ones may be larger
SMALL = 1 << 20
# The launcher may be another user: the umask says who else reads.
SHARED = 0o666
ENTRY = PurePosixPath("meter_agent/__main__.py")


class ReleaseFolder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.releases = folder / "releases"

    def current(self) -> Version | None:
        try:
            return read_version((self.folder / "current").readlink().name)
        except (OSError, ValueError):
            return None

    def archive(self, name: str) -> Path:
        """Where the archive of a version is gathered; those of other versions are thrown away."""
        incoming = self.folder / "incoming"
        incoming.mkdir(mode=0o700, exist_ok=True)
        wanted = incoming / f"{name}.part"
        for other in incoming.iterdir():
            if other != wanted:
                other.unlink()
        return wanted

    def install(self, archive: Path, name: str) -> None:
        """Unpack an archive that was checked beside the other releases, whole or not at all. Raises `Failure`."""
        draft = self.releases / f".{name}"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            unpack(archive, draft)
            if not draft.joinpath(ENTRY).is_file():
                raise Failure("damaged", message=f"there is no {ENTRY} in the archive")
            target = self.releases / name
            if target.exists():
                shutil.rmtree(target)
            draft.rename(target)
            sync_folder(self.releases)
        except OSError as error:
            raise Failure("not_unpacked", message=str(error.strerror)) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        archive.unlink()

    def begin_trial(self, sequence: int, version: Version, previous: Version, seconds: int) -> None:
        """From the next start on, `version` runs, until it has shown that it works or the time is over."""
        for name in ("healthy", "outcome.json"):
            self.folder.joinpath(name).unlink(missing_ok=True)
        trial = {
            "sequence": sequence,
            "version": version_text(version),
            "previous": version_text(previous),
            "seconds": seconds,
            "starts": 0,
        }
        replace_file(self.folder / "trial.json", json.dumps(trial).encode(), SHARED)
        link = self.folder / ".current"
        link.unlink(missing_ok=True)
        link.symlink_to(Path("releases") / version_text(version))
        link.rename(self.folder / "current")
        sync_folder(self.folder)

    def say_healthy(self, version: str) -> None:
        replace_file(self.folder / "healthy", version.encode(), SHARED)

    def trial(self) -> dict[str, Any] | None:
        return _read(self.folder / "trial.json")

    def outcome(self, sequence: int) -> dict[str, Any] | None:
        """What became of the trial that an instruction led to."""
        found = _read(self.folder / "outcome.json")
        return found if found is not None and found.get("sequence") == sequence else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def unpack(archive: Path, target: Path) -> None:
    """Files and folders only, none of them outside `target`. Raises `Failure`."""
    target.mkdir(parents=True, mode=0o755)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member, place in _checked(tar, max(archive.stat().st_size * UNPACKED, SMALL)):
                path = target / place
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True, mode=0o755)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
                content = tar.extractfile(member)
                assert content is not None  # noqa: S101 a file has content
                with path.open("xb") as file:
                    shutil.copyfileobj(content, file)
                    file.flush()
                    os.fsync(file.fileno())
                path.chmod(0o755 if member.mode & 0o100 else 0o644)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
        raise Failure("damaged", message=f"the archive cannot be read: {error}") from None
    except FileExistsError as error:
        raise Failure("damaged", message=f"a file stands in the archive twice: {error.filename}") from None


def _checked(tar: tarfile.TarFile, most_bytes: int) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath]]:
    total = 0
    for count, member in enumerate(tar):
        place = PurePosixPath(member.name)
        total += member.size
        if not (member.isreg() or member.isdir()):
            raise Failure("damaged", message=f"{member.name[:100]!r} is neither a file nor a folder")
        if place.is_absolute() or ".." in place.parts or "\\" in member.name or "\0" in member.name:
            raise Failure("damaged", message=f"{member.name[:100]!r} lies outside")
        if count >= MOST_FILES or total > most_bytes:
            raise Failure("damaged", message="the archive holds too much")
        yield member, place
