"""python -m ledger_adapters.fabric.chaincode --address HOST:PORT --id PACKAGE_ID [--tls-cert … --tls-key … …]"""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.fabric.chaincode.server import Tls, run


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="ledger_adapters.fabric.chaincode", description="Serve the market's chaincode."
    )
    parser.add_argument("--address", required=True, help="host:port to listen at")
    parser.add_argument("--id", required=True, help="package id (label:sha256) under which the peer installed it")
    parser.add_argument("--tls-cert", type=Path, help="PEM file of the server's certificate")
    parser.add_argument("--tls-key", type=Path, help="PEM file of its private key")
    parser.add_argument("--client-ca", type=Path, help="PEM file of the roots of the peer's client certificate")
    options = parser.parse_args()
    given = [options.tls_key, options.tls_cert, options.client_ca]
    if any(given) and not all(given):
        parser.error("--tls-cert, --tls-key and --client-ca go together")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(run(options.address, options.id, Tls.from_files(*given) if all(given) else None))
    except Misconfigured as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
