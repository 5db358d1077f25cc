"""Transactions by hfc (fabric-sdk-py), in a process and an environment of its own: `requirements/hfc.txt`.

Started with the path of a network.json; knows nothing of this project. Each line of standard input is a JSON object:
`batches`, arguments of the chaincode's `submit` in hexadecimal, and `at_once`, how many transactions to have in flight.
The answer is a line with what the chaincode returned for each, in hexadecimal.
"""

import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

from hfc.fabric import Client
from hfc.fabric.orderer import Orderer
from hfc.fabric.peer import Peer
from hfc.fabric.user import create_user
from hfc.util.keyvaluestore import FileKeyValueStore


class Network:
    """The network as the utility's client sees it, which asks both peers itself."""

    def __init__(self, made: dict[str, Any], folder: str) -> None:
        self.channel, self.chaincode = made["channel"], made["chaincode"]
        self.peers = [
            Peer(name, each["gateway"], tls_ca_cert_file=each["tls_roots"], opts=_named(f"peer0.{name}.example"))
            for name, each in made["organisations"].items()
        ]
        orderer = made["orderer"]
        self.orderer = Orderer(
            "orderer", orderer["address"], tls_ca_cert_file=orderer["tls_roots"], opts=_named("orderer.orderer.example")
        )
        own = made["organisations"]["utility"]
        store = FileKeyValueStore(folder)
        self.user = create_user("client", "utility", store, own["msp_id"], own["client_key"], own["client_certificate"])

    def client(self) -> Any:
        """One for each transaction in flight: hfc keeps a transaction's status in its client."""
        client = Client()
        client.new_channel(self.channel)
        client._orderers["orderer"] = self.orderer
        return client

    async def submit(self, client: Any, batch: bytes) -> bytes:
        try:
            answer = await client.chaincode_invoke(
                self.user, self.channel, self.peers, [batch], self.chaincode, fcn="submit", wait_for_event=True
            )
        except UnicodeDecodeError as committed:
            # hfc takes every result for text, after the status of the transaction has come.
            result: bytes = committed.object
            return result
        raise RuntimeError(f"refused: {answer}")


def _named(name: str) -> list[tuple[str, str]]:
    return [("grpc.ssl_target_name_override", name)]


async def submit_all(network: Network, batches: list[bytes], at_once: int) -> list[bytes]:
    clients: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(at_once):
        clients.put_nowait(network.client())

    async def work(batch: bytes) -> bytes:
        client = await clients.get()
        try:
            return await network.submit(client, batch)
        finally:
            clients.put_nowait(client)

    return list(await asyncio.gather(*map(work, batches)))


async def main(path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        network = Network(json.loads(Path(path).read_text()), folder)
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            results = await submit_all(network, list(map(bytes.fromhex, asked["batches"])), asked["at_once"])
            print(json.dumps([result.hex() for result in results]), flush=True)


if __name__ == "__main__":
    logging.disable(logging.INFO)
    asyncio.run(main(sys.argv[1]))
