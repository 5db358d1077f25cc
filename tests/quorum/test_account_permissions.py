"""A network that refuses transactions of accounts without rights, as GoQuorum's account permissioning does.

The node asks a contract for each transaction. Ours answers those of its questions that decide, by a list that tests
write; the contracts that GoQuorum's own tools put on a chain keep organisations and roles behind the same questions.
"""

import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_utils.abi import function_signature_to_4byte_selector
from eth_utils.address import to_checksum_address

from apps.ledger.models import Attempt
from apps.ledger.services.sweep import drain, sweep
from deploy.quorum.network import Network
from deploy.quorum.node import NetworkError
from evidence.keys import SoftwareKey
from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.quorum.adapter import QuorumLedger
from tests.faults.conftest import Use, use
from tests.faults.support import assert_applied_once, left, queue_some, standing
from tests.quorum.conftest import SETTINGS, running_network
from tests.quorum.test_network import receipt, send

__all__ = ["use"]

pytestmark = pytest.mark.quorum

ALLOWED = function_signature_to_4byte_selector("transactionAllowed(address,address,uint256,uint256,uint256,bytes)")
BOOTED = function_signature_to_4byte_selector("getNetworkBootStatus()")
CONNECTED = function_signature_to_4byte_selector("connectionAllowed(string,string,uint16)")
WRITE = function_signature_to_4byte_selector("write(address,uint256)")

# Returns what stands for the sender, writes the list, says that the network is set up and that everybody may connect,
# and returns zero otherwise: there are no organisations, nodes, roles and accounts to be read.
RETURN_WORD = "60005260206000f3"
RULES = bytes.fromhex(
    f"60003560e01c8063{ALLOWED.hex()}146037578063{BOOTED.hex()}14604457"
    f"8063{CONNECTED.hex()}1460445763{WRITE.hex()}14604f57"
    f"6000{RETURN_WORD}"
    f"5b60043554{RETURN_WORD}"
    f"5b6001{RETURN_WORD}"
    "5b6024356004355500"
)
DEPLOYING = bytes.fromhex(f"60{len(RULES):02x}80600b6000396000f3")


@dataclass(frozen=True)
class Permissioned:
    network: Network
    rules: str

    def allow(self, addresses: Iterable[str]) -> None:
        """By the first sender, who may do everything."""
        node = self.network.nodes[0]
        calls = [WRITE + bytes.fromhex(address[2:]).rjust(32, b"\0") + (1).to_bytes(32, "big") for address in addresses]
        sent = [send(self.network, node, to=self.rules, data=data) for data in calls]
        assert {receipt(node, each)["status"] for each in sent} == {"0x1"}


@pytest.fixture(scope="module")
def permissioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Permissioned]:
    """Only the first sender may do something. The node begins to ask once it has heard from another one."""
    folder = tmp_path_factory.mktemp("permissioned") / "network"
    with running_network(folder, replace(SETTINGS, validators=1, is_permissioned=True)) as network:
        network.join("follower")
        node = network.nodes[0]
        deployed = receipt(node, send(network, node, data=DEPLOYING + RULES))
        found = Permissioned(network, to_checksum_address(deployed["contractAddress"]))
        administrator = Account.from_key(network.sender_keys()[0]).address
        found.allow([administrator])
        names = ("upgrdable", "interface", "impl", "nodeMgr", "accountMgr", "roleMgr", "voterMgr", "orgMgr")
        configuration = {
            "permissionModel": "v2",
            **{f"{name}Address": found.rules for name in names},
            "nwAdminOrg": "ADMIN",
            "nwAdminRole": "ADMIN",
            "orgAdminRole": "ORGADMIN",
            "accounts": [administrator],
            "subOrgBreadth": 3,
            "subOrgDepth": 4,
        }
        (network.folder / "nodes" / "node1" / "permission-config.json").write_text(json.dumps(configuration))
        network.restart("node1")
        network.wait_for_blocks(1)
        yield found


def options(permissioned: Permissioned, folder: Path) -> dict[str, Any]:
    places = {"KEYS": str(folder / "keys"), "DEPLOYMENT": str(folder / "address")}
    return {**permissioned.network.options(), "RPC": permissioned.network.nodes[0].rpc, **places, "WAIT": 5}


def found(ledger: QuorumLedger) -> None:
    ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)


def test_the_node_refuses_accounts_that_are_not_on_the_list(permissioned: Permissioned) -> None:
    """Whether the network that these tests run on is one that permits accounts at all."""
    key = permissioned.network.sender_keys()[1]
    node = permissioned.network.nodes[0]
    with pytest.raises(NetworkError, match="account does not have permission for the transaction"):
        send(permissioned.network, node, key=key, to=permissioned.rules, data=b"\0")


@pytest.mark.parametrize("option", ["KEYS", "FOUNDER"])
def test_founding_names_the_account_that_needs_the_right(
    option: str, permissioned: Permissioned, tmp_path: Path
) -> None:
    account = tmp_path / "account"
    account.write_text(permissioned.network.sender_keys()[1])
    own = {"FOUNDER": account} if option == "FOUNDER" else {}
    ledger = QuorumLedger.from_options("test", {**options(permissioned, tmp_path), **own})
    founder = Account.from_key(account.read_text()).address if own else ledger.senders[0].address
    said = f"^{option}: {founder} needs the right to put contracts on this network: account does not have permission"
    with pytest.raises(Misconfigured, match=said):
        found(ledger)
    assert not (tmp_path / "address").exists()


def test_commands_wait_until_the_senders_may_call_contracts(
    use: Use, permissioned: Permissioned, tmp_path: Path
) -> None:
    """The account to ask for is named where operators look; the same bytes go out when it has the right."""
    account = tmp_path / "account"
    account.write_text(permissioned.network.sender_keys()[0])
    ledger = use(QuorumLedger, {**options(permissioned, tmp_path), "FOUNDER": str(account)})
    assert isinstance(ledger, QuorumLedger)
    found(ledger)
    ids = queue_some(2)
    sweep("default")
    assert left(ids) == 2
    said = "needs the right to call contracts on this network, as the other senders do"
    refused = [sender.address for sender in ledger.senders if f"KEYS: {sender.address} {said}: " in standing()]
    assert len(refused) == standing().count("account does not have permission for the transaction") > 0
    permissioned.allow(sender.address for sender in ledger.senders)
    drain("default")
    assert_applied_once(ids)
    assert standing() == "no reason given"
    assert not Attempt.objects.filter(result="conflict").exists()
