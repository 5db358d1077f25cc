"""Hyperledger Fabric: the ledger of several organisations, none of which can write alone."""
