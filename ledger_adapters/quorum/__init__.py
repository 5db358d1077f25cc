"""Quorum and other EVM networks: the market as Solidity contracts, and what speaks to them."""
