"""Packs a folder of packages as a release of meter-agent and signs it with the release key.

    pip install --target build/ -r requirements/agent.txt && cp -r meter_agent evidence ledger_adapters build/
    python -m deploy.agent.make_release build/ --version 1.4.2 --key release.pem --out meter-agent-1.4.2.tar.gz \
        --url https://updates.example/meter-agent-1.4.2.tar.gz

prints the body of the instruction UPDATE. The key is a P-256 key as `meter-agent key` makes it; it stays offline.
"""

import argparse
import hashlib
import json
import tarfile
from pathlib import Path

from evidence.boxes import Release
from evidence.canonical import encode_bytes
from evidence.keys import Signer
from meter_agent.keys import FileKey, open_key
from meter_agent.update.release import read_version


def pack(folder: Path, archive: Path) -> None:
    """The same folder gives the same files in the same order; owners and times are left out."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if "__pycache__" in member.name.split("/"):
            return None
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name, filter=plain)


def offer(archive: Path, version: str, url: str, key: Signer) -> dict[str, object]:
    """The body of the instruction."""
    content = archive.read_bytes()
    digest = hashlib.sha256(content).digest()
    release = Release(*read_version(version), len(content), digest)
    return {
        "version": version,
        "url": url,
        "size": len(content),
        "sha256": digest.hex(),
        "signature": encode_bytes(key.sign(release.digest)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Packs and signs a release of meter-agent.")
    parser.add_argument("folder", type=Path, help="a folder of packages, meter_agent among them")
    parser.add_argument("--version", required=True, help="such as 1.4.2")
    parser.add_argument("--key", type=Path, required=True, help="the release key, PEM, in a folder of mode 0700")
    parser.add_argument("--out", type=Path, required=True, help="the archive to write")
    parser.add_argument("--url", required=True, help="where boxes will find it, https")
    options = parser.parse_args()
    pack(options.folder, options.out)
    print(json.dumps(offer(options.out, options.version, options.url, open_key(FileKey(options.key))), indent=2))


if __name__ == "__main__":
    main()
