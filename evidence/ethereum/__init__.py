"""What a chain with an EVM proves without being asked: headers sealed by IBFT or QBFT, receipts under their root."""
