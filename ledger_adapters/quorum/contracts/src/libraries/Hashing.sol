// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Tagged SHA-256
/// @notice `H(tag, x) = SHA-256(SHA-256(tag) ‖ x)`: no two kinds of content share a digest.
/// @dev The constants are the SHA-256 digests of the tags, which the compiler cannot work out by itself.
library Hashing {
    bytes32 private constant ID = 0x26d271a89e5ffd818c77244bdd22b5a7af3de88b9d5f1a0426d58beb87a320e5; // em/id/1
    bytes32 private constant SIGN = 0xb0f1db0dd4cb26cb94b8db906457ca540f8a2999fe4c7d1cb820d664311cfb54; // em/sign/1
    bytes32 private constant BATCH = 0x455de04dc066291d25803d2d91c9130134c96440b0855fd9834ee2472933308d; // em/batch/1
    bytes32 private constant KEY = 0x5b751aa895d87d2f29304b137c6ca8924dc3ff6ab416bf48e7cb446db812f3c1; // em/key/1
    bytes32 private constant STATE = 0x6f2b46c036cebd92e8afac56d606fcd8aaee979eca8a07430ab50fc2e58e26f8; // em/state/1
    bytes32 private constant CHAIN = 0x96326662e6b6f497e9cb3f0631f9cd84372b3fe5a40f292d6d0af3e792fce2f0; // em/chain/1
    bytes32 private constant GOVERN = 0xdca6f942f1cb9b9fb29c91ca95c4771f4a1e63382f7336b76493f1220428b6ef; // em/govern/1
    bytes32 private constant ENTRY = 0x06f28845090a3e2e7fabba0728611167c0c725069009b6843cfb0d32c46f1cd5; // em/import/1
    // em/import-batch/1
    bytes32 private constant ENTRIES = 0x23c07b5e8bbe93c18de3e5fb536c9dc4854ae33f69767f8e1bbab1e495aba74c;

    /// @dev The identity of a command.
    function commandId(
        uint32 kind,
        bytes32 market,
        bytes32 nonce,
        bytes calldata fields
    ) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(ID, uint256(1), uint256(kind), market, nonce, fields));
    }

    /// @dev What a device or a key kept by the platform signs.
    function signDigest(
        bytes32 ledger,
        bytes32 id,
        bytes32 predecessor,
        uint64 validUntil
    ) internal pure returns (bytes32) {
        return sha256(abi.encode(SIGN, ledger, id, predecessor, validUntil));
    }

    /// @dev What the operator signs once per batch: the commands' own digests, zero for bytes that are no command.
    function batchDigest(bytes32 ledger, bytes32[] memory digests) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(BATCH, ledger, digests));
    }

    /// @dev The id of a public key.
    function keyId(uint8 algorithm, bytes32 x, bytes32 y) internal pure returns (bytes32) {
        return sha256(abi.encode(KEY, algorithm, x, y));
    }

    /// @dev The key of a record; numbers among the ids are left-padded to a word.
    function stateKey(uint8 table) internal pure returns (bytes32) {
        return sha256(abi.encode(STATE, table));
    }

    function stateKey(uint8 table, bytes32 id) internal pure returns (bytes32) {
        return sha256(abi.encode(STATE, table, id));
    }

    function stateKey(uint8 table, bytes32 first, bytes32 second) internal pure returns (bytes32) {
        return sha256(abi.encode(STATE, table, first, second));
    }

    function stateKey(uint8 table, bytes32 first, bytes32 second, bytes32 third) internal pure returns (bytes32) {
        return sha256(abi.encode(STATE, table, first, second, third));
    }

    /// @dev The head of an accumulator after `item` was added.
    function chain(bytes32 head, bytes32 item) internal pure returns (bytes32) {
        return sha256(abi.encode(CHAIN, head, item));
    }

    /// @dev Stands for an entry of another ledger.
    function entryDigest(bytes calldata entry) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(ENTRY, entry));
    }

    /// @dev What the operator signs once for entries that are taken over behind `start` others.
    function importDigest(bytes32 ledger, uint64 start, bytes32[] memory digests) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(ENTRIES, ledger, uint256(start), digests));
    }

    /// @dev What both parties sign to change or stop the contract at `market` on this chain. `nonce` counts approvals.
    function approval(
        bytes32 ledger,
        address market,
        uint64 nonce,
        uint8 action,
        uint8 slot,
        address module
    ) internal view returns (bytes32) {
        return sha256(abi.encode(GOVERN, ledger, block.chainid, market, nonce, action, slot, module));
    }
}
