"""python -m ledger_adapters.fabric.chaincode --address HOST:PORT --id PACKAGE_ID [--genesis-file … --tls-cert … …]"""

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
    parser.add_argument(
        "--genesis-file",
        type=Path,
        help="file with the SHA-256 (hex) of the genesis record that this organisation agreed to; it is looked at when "
        "the ledger is founded, and without it the ledger is not",
    )
    options = parser.parse_args()
    given = [options.tls_key, options.tls_cert, options.client_ca]
    if any(given) and not all(given):
        parser.error("--tls-cert, --tls-key and --client-ca go together")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        tls = Tls.from_files(*given) if all(given) else None
        asyncio.run(run(options.address, options.id, tls, options.genesis_file))
    except Misconfigured as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
