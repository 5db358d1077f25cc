"""Writes what the processes of a network need: identities, configuration files, the channel's first block."""

import shutil
from pathlib import Path
from string import Template

from deploy.fabric.addresses import port_of
from deploy.fabric.description import (
    CHANNEL,
    ENDORSEMENT_POLICY,
    HERE,
    ORDERER_DOMAIN,
    Description,
    NetworkError,
    Orderer,
    Organisation,
    Standing,
)
from deploy.fabric.packages import make_chaincode_certificates
from deploy.fabric.processes import run
from deploy.fabric.users import User, find_user, hand_over


class Maker:
    """Makes the parts of the network in `folder`, each in a folder of its own that only its user can enter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.channel = folder / "channel"  # what everybody may read

    def orderer(self, address: str, admin_address: str, operations_address: str, user: str) -> Orderer:
        self._make_identities("orderer", "crypto-orderer.yaml", "Orderer", ORDERER_DOMAIN)
        home, node = self._folder / "orderer", self.node("orderer")
        fill(
            "orderer.yaml",
            home / "orderer.yaml",
            port=port_of(address),
            msp=node / "msp",
            tls=node / "tls",
            data=home / "data",
            admin_address=admin_address,
            operations_address=operations_address,
        )
        if user:
            self._folder.chmod(0o711)
        hand_over(home, find_user(user))
        return Orderer(
            address,
            admin_address,
            operations_address,
            tls_roots=self._publish("orderer"),
            admin_certificate=str(node / "tls" / "server.crt"),
            admin_key=str(node / "tls" / "server.key"),
            user=user,
        )

    def organisation(
        self, name: str, address: str, operations_address: str, standing: Standing, user: str, python: str
    ) -> Organisation:
        if found := find_user(user):
            self._folder.chmod(0o711)
            check_user(user, found, python, self._public())
        domain = f"{name}.example"
        self._make_identities(name, "crypto-peer.yaml", name.capitalize(), domain)
        home, node = self._folder / name, self.node(name)
        make_chaincode_certificates(home / "chaincode")
        # The peer's user has to be able to run it, wherever this working copy is.
        shutil.copytree(HERE / "ccaas_builder", home / "builder")
        fill(
            "core.yaml",
            home / "core.yaml",
            domain=domain,
            address=address,
            msp_id=msp_id(name),
            msp=node / "msp",
            tls=node / "tls",
            data=home / "data",
            builder=home / "builder",
            operations_address=operations_address,
        )
        hand_over(home, find_user(user))
        users = home / "crypto" / "peerOrganizations" / domain / "users"
        client = users / f"User1@{domain}" / "msp"
        return Organisation(
            msp_id=msp_id(name),
            gateway=address,
            tls_roots=self._publish(name),
            client_certificate=str(client / "signcerts" / f"User1@{domain}-cert.pem"),
            client_key=str(client / "keystore" / "priv_sk"),
            admin_msp=str(users / f"Admin@{domain}" / "msp"),
            operations_address=operations_address,
            standing=standing,
            user=user,
            python=python,
        )

    def first_block(self, made: Description) -> None:
        fill(
            "configtx.yaml",
            self.channel / "configtx.yaml",
            batch_timeout="250ms",
            endorsement_policy=ENDORSEMENT_POLICY,
            orderer_port=port_of(made.orderer.address),
            orderer_certificate=made.orderer.admin_certificate,
            orderer_msp=self.msp("orderer"),
            utility_msp=self.msp("utility"),
            utility_port=port_of(made.organisations["utility"].gateway),
            community_msp=self.msp("community"),
            community_port=port_of(made.organisations["community"].gateway),
        )
        block = self.channel / "genesis.block"
        command = ["configtxgen", "-profile", "Market", "-channelID", CHANNEL, "-outputBlock", str(block)]
        run(command, FABRIC_CFG_PATH=str(self.channel))
        block.chmod(0o644)

    def node(self, name: str) -> Path:
        """Folder with the identity (msp/) and the TLS files (tls/) of the orderer or an organisation's peer."""
        if name == "orderer":
            domain = self._folder / name / "crypto" / "ordererOrganizations" / ORDERER_DOMAIN
            return domain / "orderers" / f"orderer.{ORDERER_DOMAIN}"
        domain = self._folder / name / "crypto" / "peerOrganizations" / f"{name}.example"
        return domain / "peers" / f"peer0.{name}.example"

    def msp(self, name: str) -> Path:
        """Folder with the authorities by which others know an organisation's identities."""
        return self.node(name).parents[1] / "msp"

    def _make_identities(self, name: str, template: str, organisation: str, domain: str) -> None:
        folder = self._folder / name
        folder.mkdir(mode=0o700)
        fill(template, folder / "crypto.yaml", name=organisation, domain=domain)
        run(["cryptogen", "generate", f"--config={folder / 'crypto.yaml'}", f"--output={folder / 'crypto'}"])

    def _publish(self, name: str) -> str:
        """Copy the authorities of a node's TLS certificate to where other users can read them."""
        path = self._public() / f"{name}-tls.pem"
        shutil.copyfile(self.node(name) / "tls" / "ca.crt", path)
        path.chmod(0o644)
        return str(path)

    def _public(self) -> Path:
        self.channel.mkdir(mode=0o755, exist_ok=True)
        return self.channel


def msp_id(name: str) -> str:
    return f"{name.capitalize()}MSP"


def check_user(name: str, user: User, python: str, folder: Path) -> None:
    """Raises `NetworkError` unless the user can enter a folder of the network and run the chaincode."""
    trial = "import os, sys; os.listdir(sys.argv[1]); import ledger_adapters.fabric.chaincode.server"
    try:
        run([python, "-c", trial, str(folder)], user, folder)
    except NetworkError as error:
        raise NetworkError(
            f"user {name} cannot enter {folder} or cannot run {python}: every folder above must be searchable, and the "
            f"Python (--python) have the project installed. {error}"
        ) from None


def fill(template: str, path: Path, **values: object) -> None:
    text = (HERE / "templates" / template).read_text(encoding="utf-8")
    path.write_text(Template(text).substitute({name: str(value) for name, value in values.items()}), encoding="utf-8")
