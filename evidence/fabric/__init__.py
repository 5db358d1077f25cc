"""What Hyperledger Fabric's peers and orderers sign, read without Fabric's own libraries."""
