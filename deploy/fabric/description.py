"""What a network consists of, as network.json says it."""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ledger_adapters.fabric.gateway import BlockingGateway, SigningIdentity, Target, Tls

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]

CHANNEL = "market"
CHAINCODE = "market"
ENDORSEMENT_POLICY = "AND('UtilityMSP.peer','CommunityMSP.peer')"
MSP_IDS = {"utility": "UtilityMSP", "community": "CommunityMSP"}
ORDERER_DOMAIN = "orderer.example"


class NetworkError(Exception):
    """The network cannot be made, started or changed; the message says what is missing or what failed."""


class Standing(StrEnum):
    """What an organisation is on the channel. Founders endorse and decide; auditors read."""

    FOUNDER = "founder"
    MEMBER = "member"
    AUDITOR = "auditor"
    LEFT = "left"


@dataclass(frozen=True)
class Orderer:
    """How to reach the orderer, and its administration with a certificate of its own. Paths are absolute."""

    address: str
    admin_address: str
    operations_address: str
    tls_roots: str
    admin_certificate: str
    admin_key: str
    user: str = ""


@dataclass(frozen=True)
class Organisation:
    """What a client of one organisation needs, and where its processes listen. Paths are absolute.

    `user`: name or number of the operating-system user that its processes run as, empty for whoever starts them.
    `python`: the interpreter that runs its chaincode.
    """

    msp_id: str
    gateway: str
    tls_roots: str
    client_certificate: str
    client_key: str
    admin_msp: str
    operations_address: str
    chaincode_address: str = ""
    package_id: str = ""
    standing: Standing = Standing.FOUNDER
    user: str = ""
    python: str = ""

    def connect(self) -> BlockingGateway:
        return BlockingGateway(Target(self.gateway, Tls(Path(self.tls_roots).read_bytes())))

    def identity(self) -> SigningIdentity:
        """The client that the organisation was made with."""
        return SigningIdentity.from_files(self.msp_id, Path(self.client_certificate), Path(self.client_key))


@dataclass(frozen=True)
class Description:
    """The content of network.json. `pids` is the folder with a file of each running process."""

    channel: str
    chaincode: str
    sequence: int
    endorsement_policy: str
    pids: str
    orderer: Orderer
    organisations: dict[str, Organisation]

    def named(self, *standings: Standing) -> list[str]:
        """The organisations that are one of these on the channel."""
        return [name for name, each in self.organisations.items() if each.standing in standings]

    def options(self, organisation: str) -> dict[str, str]:
        """What a Fabric ledger of `LEDGERS` has to know of the network, for a client of an organisation."""
        own = self.organisations[organisation]
        return {
            "ADDRESS": own.gateway,
            "CHANNEL": self.channel,
            "CHAINCODE": self.chaincode,
            "MSP_ID": own.msp_id,
            "CERTIFICATE": own.client_certificate,
            "PRIVATE_KEY": own.client_key,
            "TLS_CA": own.tls_roots,
        }

    @classmethod
    def from_file(cls, path: Path) -> "Description":
        content = json.loads(path.read_text(encoding="utf-8"))
        content["orderer"] = Orderer(**content["orderer"])
        content["organisations"] = {name: _organisation(each) for name, each in content["organisations"].items()}
        return cls(**content)


def _organisation(members: dict[str, str]) -> Organisation:
    standing = Standing(members.pop("standing", Standing.FOUNDER))
    return Organisation(**members, standing=standing)
