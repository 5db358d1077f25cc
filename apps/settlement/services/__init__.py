"""Settle days: gather, run the waterfall, commit to it by a root, store, and queue the root for the ledger."""
