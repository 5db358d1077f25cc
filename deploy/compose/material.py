"""What the containers of fabric.yaml and quorum.yaml mount: python -m deploy.compose.material fabric|quorum."""

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from deploy.fabric.description import CHAINCODE, CHANNEL, ENDORSEMENT_POLICY, MSP_IDS, ORDERER_DOMAIN, NetworkError
from deploy.fabric.making import fill
from deploy.fabric.packages import make_chaincode_certificates, make_package
from deploy.fabric.processes import run
from deploy.quorum.genesis import Key, Settings, genesis

HERE = Path(__file__).parent
VALIDATORS = [f"172.31.77.{11 + number}" for number in range(4)]
# As the containers see it.
MOUNTED = Path("/organisation")
CHAINCODE_ADDRESS = "127.0.0.1:9999"
LABEL = "market_1"


def make_quorum(folder: Path) -> None:
    """Genesis block, a folder per validator and the options of the application."""
    settings = Settings(validators=len(VALIDATORS), senders=0)
    keys = [Key.generate() for _ in VALIDATORS]
    enodes = [f"enode://{key.public}@{host}:30303?discport=0" for key, host in zip(keys, VALIDATORS, strict=True)]
    write_json(folder / "genesis.json", genesis(settings, [key.address for key in keys], []))
    for number, key in enumerate(keys, 1):
        home = folder / f"node{number}"
        home.mkdir()
        (home / "nodekey").write_text(key.secret, encoding="ascii")
        write_json(home / "static-nodes.json", enodes)
    rpc = [f"http://node{number}:8545" for number in range(1, len(keys) + 1)]
    write_json(folder / "ledger" / "options.json", {"RPC": rpc, "CHAIN_ID": settings.chain_id, "GAS_PRICE": 0})


def make_fabric(folder: Path) -> None:
    """Identities, configuration, the channel's first block and the chaincode packages. Raises NetworkError."""
    _identities(folder, "orderer", "crypto-orderer.yaml", ORDERER_DOMAIN)
    orderer = f"crypto/ordererOrganizations/{ORDERER_DOMAIN}"
    node = MOUNTED / orderer / "orderers" / f"orderer.{ORDERER_DOMAIN}"
    fill(
        "orderer.yaml",
        folder / "orderer" / "orderer.yaml",
        port=7050,
        msp=node / "msp",
        tls=node / "tls",
        data="/data",
        admin_address="0.0.0.0:7053",  # clients need a certificate
        operations_address="127.0.0.1:9443",
    )
    for name in MSP_IDS:
        _organisation(folder, name)
    _first_block(folder, folder / "orderer" / orderer)
    utility = folder / "utility" / "crypto" / "peerOrganizations" / "utility.example"
    client = utility / "users" / "User1@utility.example" / "msp"
    shutil.copy(client / "signcerts" / "User1@utility.example-cert.pem", folder / "ledger" / "client.pem")
    shutil.copy(client / "keystore" / "priv_sk", folder / "ledger" / "client-key.pem")
    shutil.copy(utility / "peers" / "peer0.utility.example" / "tls" / "ca.crt", folder / "ledger" / "tls-ca.pem")
    options = {
        "ADDRESS": "peer0.utility.example:7051",
        "CHANNEL": CHANNEL,
        "CHAINCODE": CHAINCODE,
        "MSP_ID": MSP_IDS["utility"],
        "CERTIFICATE": "/ledger/client.pem",
        "PRIVATE_KEY": "/ledger/client-key.pem",
        "TLS_CA": "/ledger/tls-ca.pem",
    }
    write_json(folder / "ledger" / "options.json", options)


def _identities(folder: Path, name: str, template: str, domain: str) -> None:
    home = folder / name
    home.mkdir(mode=0o700)
    fill(template, home / "crypto.yaml", name=name.capitalize(), domain=domain)
    run(["cryptogen", "generate", f"--config={home / 'crypto.yaml'}", f"--output={home / 'crypto'}"])


def _organisation(folder: Path, name: str) -> None:
    domain = f"{name}.example"
    _identities(folder, name, "crypto-peer.yaml", domain)
    node = MOUNTED / "crypto" / "peerOrganizations" / domain / "peers" / f"peer0.{domain}"
    fill(
        "core.yaml",
        folder / name / "core.yaml",
        domain=domain,
        address=f"peer0.{domain}:7051",
        msp_id=MSP_IDS[name],
        msp=node / "msp",
        tls=node / "tls",
        data="/data",
        builder="/opt/hyperledger/ccaas_builder",
        operations_address="127.0.0.1:9443",
    )
    chaincode = folder / name / "chaincode"
    make_chaincode_certificates(chaincode)
    package = make_package(LABEL, CHAINCODE_ADDRESS, chaincode)
    (chaincode / f"{LABEL}.tar.gz").write_bytes(package)
    id = f"{LABEL}:{hashlib.sha256(package).hexdigest()}"
    (folder / name / "package.env").write_text(f"PACKAGE_ID={id}\n", encoding="ascii")


def _first_block(folder: Path, orderer: Path) -> None:
    channel = folder / "channel"
    channel.mkdir()
    peers = {name: folder / name / "crypto" / "peerOrganizations" / f"{name}.example" for name in MSP_IDS}
    host = f"orderer.{ORDERER_DOMAIN}"
    fill(
        "configtx.yaml",
        channel / "configtx.yaml",
        batch_timeout="250ms",
        endorsement_policy=ENDORSEMENT_POLICY,
        orderer_port=7050,
        orderer_certificate=orderer / "orderers" / host / "tls" / "server.crt",
        orderer_msp=orderer / "msp",
        utility_msp=peers["utility"] / "msp",
        utility_port=7051,
        community_msp=peers["community"] / "msp",
        community_port=7051,
    )
    # The template is for loopback; all but the hosts is as there.
    content = yaml.safe_load((channel / "configtx.yaml").read_text(encoding="utf-8"))
    market = content["Profiles"]["Market"]
    market["Orderer"]["EtcdRaft"]["Consenters"][0]["Host"] = host
    market["Orderer"]["Organizations"][0]["OrdererEndpoints"] = [f"{host}:7050"]
    for name, organisation in zip(peers, market["Application"]["Organizations"], strict=True):
        organisation["AnchorPeers"][0]["Host"] = f"peer0.{name}.example"
    (channel / "configtx.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    block = ["-profile", "Market", "-channelID", CHANNEL, "-outputBlock", str(channel / "genesis.block")]
    run(["configtxgen", *block], FABRIC_CFG_PATH=str(channel))


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.compose.material", description=__doc__)
    parser.add_argument("ledger", choices=("fabric", "quorum"))
    parser.add_argument("--folder", type=Path, default=HERE / "files", help="where it goes; must not exist yet")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    try:
        folder.mkdir(mode=0o700, parents=True)
        (folder / "ledger").mkdir()
        {"fabric": make_fabric, "quorum": make_quorum}[options.ledger](folder)
    except (FileExistsError, NetworkError) as error:
        raise SystemExit(f"material: {error}") from None


if __name__ == "__main__":
    main()
