"""The embedded ledger: a journal with the contract's rules, a Merkle log over it and signed checkpoints."""
