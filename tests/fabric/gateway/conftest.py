from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ledger_adapters.fabric.gateway import SigningIdentity
from tests.fabric.gateway.peer import Peer, certificate, private_pem


@pytest.fixture(scope="session")
def identity() -> SigningIdentity:
    key = ec.generate_private_key(ec.SECP256R1())
    return SigningIdentity.from_pem("OrgÑMSP", certificate(key, "user1"), private_pem(key))


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer.start()
    yield peer
    peer.stop()
