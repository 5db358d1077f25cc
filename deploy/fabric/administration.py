"""What the administrators of the organisations do, each as its own user: channel, chaincode, approvals."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from deploy.fabric.description import CHAINCODE, CHANNEL, ENDORSEMENT_POLICY, Description, Orderer
from deploy.fabric.packages import make_package
from deploy.fabric.processes import run, write_as
from deploy.fabric.users import find_user

T = TypeVar("T")

LIFECYCLE = ("lifecycle", "chaincode")


class Administration:
    """The `peer` and `osnadmin` programs, on the network in `folder`."""

    def __init__(self, folder: Path, made: Description) -> None:
        self._folder = folder
        self._made = made

    def as_admin(self, name: str, *arguments: str) -> str:
        """Run the `peer` program as an organisation's administrator."""
        organisation, home = self._made.organisations[name], self._folder / name
        return run(
            ["peer", *arguments],
            find_user(organisation.user),
            home,
            FABRIC_CFG_PATH=str(home),
            FABRIC_LOGGING_SPEC="error",
            CORE_PEER_MSPCONFIGPATH=organisation.admin_msp,
        )

    # Channel

    def start_channel(self) -> None:
        """Give the orderer the channel's first block."""
        block, orderer = str(self._folder / "channel" / "genesis.block"), self._made.orderer
        command = ["osnadmin", "channel", "join", "--channelID", CHANNEL, "--config-block", block]
        command += ["-o", orderer.admin_address, "--ca-file", orderer.tls_roots]
        command += ["--client-cert", orderer.admin_certificate, "--client-key", orderer.admin_key]
        run(command, find_user(orderer.user), self._folder / "orderer")

    def join(self, name: str) -> None:
        """Let an organisation's peer join, with the first block as the orderer gives it, unless it has joined."""
        if CHANNEL in self.as_admin(name, "channel", "list").splitlines():
            return
        block = str(self._folder / name / "first.block")
        self.as_admin(name, "channel", "fetch", "oldest", block, "--channelID", CHANNEL, *self._to_orderer())
        self.as_admin(name, "channel", "join", "-b", block)

    def change_channel(self, update: bytes, approvers: Sequence[str]) -> None:
        """Have a change signed by the administrators of these organisations in turn; the last one sends it.

        Raises `NetworkError` with the orderer's reason where these approvals are not enough.
        """
        for name in approvers:
            path = self._folder / name / "update.pb"
            self._write(name, path, update)
            if name == approvers[-1]:
                # It signs what it sends.
                self.as_admin(name, "channel", "update", "-f", str(path), "--channelID", CHANNEL, *self._to_orderer())
            else:
                self.as_admin(name, "channel", "signconfigtx", "-f", str(path))
                update = path.read_bytes()

    # Chaincode

    def committed(self) -> int:
        """The number of the version that the channel has, which a deployment cut short may have raised already."""
        query = ("querycommitted", "--channelID", CHANNEL, "--output", "json")
        found = json.loads(self.as_admin("utility", *LIFECYCLE, *query))
        numbers = [each["sequence"] for each in found.get("chaincode_definitions", []) if each["name"] == CHAINCODE]
        return int(numbers[0]) if numbers else 0

    def install(self, name: str, address: str, sequence: int) -> str:
        """Give a peer the package that says where its chaincode's server listens; returns the package's id."""
        label = f"{CHAINCODE}_{sequence}"
        folder = self._folder / name / "chaincode"
        package = make_package(label, address, folder)
        path = folder / f"{label}.tar.gz"
        self._write(name, path, package)
        self.as_admin(name, *LIFECYCLE, "install", str(path))
        return f"{label}:{hashlib.sha256(package).hexdigest()}"

    def approve(self, name: str, package_id: str, sequence: int) -> None:
        """Say for an organisation that its peer runs this version."""
        self.as_admin(name, *LIFECYCLE, "approveformyorg", "--package-id", package_id, *self._definition(sequence))

    def commit(self, sequence: int, founders: Iterable[str]) -> None:
        """Make the version that all founders have approved that of the channel."""
        peers = [
            option
            for each in (self._made.organisations[name] for name in founders)
            for option in ("--peerAddresses", each.gateway, "--tlsRootCertFiles", each.tls_roots)
        ]
        self.as_admin("utility", *LIFECYCLE, "commit", *self._definition(sequence), *peers)

    def _definition(self, sequence: int) -> list[str]:
        definition = ["--channelID", CHANNEL, "--name", CHAINCODE, "--version", str(sequence)]
        definition += ["--sequence", str(sequence), "--signature-policy", ENDORSEMENT_POLICY]
        return definition + self._to_orderer()

    def agree(self, name: str, digest: bytes) -> None:
        self._write(name, genesis_file(self._folder / name), digest.hex().encode() + b"\n")

    def _write(self, name: str, path: Path, content: bytes) -> None:
        write_as(find_user(self._made.organisations[name].user), path, content)

    def _to_orderer(self) -> list[str]:
        orderer: Orderer = self._made.orderer
        return ["-o", orderer.address, "--tls", "--cafile", orderer.tls_roots]


def genesis_file(home: Path) -> Path:
    """Where an organisation notes the genesis record that it agrees to."""
    return home / "genesis"


def for_each(names: Sequence[str], do: Callable[[str], T]) -> dict[str, T]:
    """Do the same for several organisations at once."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(do, names), strict=True))
