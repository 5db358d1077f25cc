"""The ledgers behind one interface: the contract, the adapters and the suite that holds them to the same answers."""
