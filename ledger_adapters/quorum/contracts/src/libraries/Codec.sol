// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title The bytes of commands
/// @notice An envelope is the ABI encoding of (uint8 version, uint32 kind, bytes32 market, bytes32 nonce, bytes fields,
/// bytes32 after, uint64 validUntil, bytes32[] signers, bytes32[] r, bytes32[] s). Only the one canonical encoding of a
/// value is accepted: tails follow each other without gap or overlap, and nothing stands behind them.
/// @dev Checked by hand, because `abi.decode` reverts on some encodings that have to be a named outcome and accepts
/// others that are not canonical. After `isEnvelope` the other functions may be used.
library Codec {
    // Words of the envelope's head
    uint256 private constant VERSION = 0;
    uint256 private constant KIND = 1;
    uint256 private constant MARKET = 2;
    uint256 private constant NONCE = 3;
    uint256 private constant FIELDS_AT = 4;
    uint256 private constant PREDECESSOR = 5;
    uint256 private constant VALID_UNTIL = 6;
    uint256 private constant SIGNERS_AT = 7;
    uint256 private constant R_AT = 8;
    uint256 private constant S_AT = 9;
    uint256 private constant HEAD = 10;

    uint256 private constant MOST_SIGNERS = 4;
    uint256 private constant MOST_ITEMS = 64;

    // Besides the bits of an unsigned integer, what a byte of `types` in `areFields` may say.
    uint8 private constant WORD = 0;
    uint8 private constant LIST = 0xff;

    /// @dev Whether `data` is the encoding of an envelope of version 1. Fields of any kind are whole words.
    function isEnvelope(bytes calldata data) internal pure returns (bool) {
        if (data.length < 32 * (HEAD + 1)) return false;
        uint256 length = uint256(word(data, HEAD));
        if (length % 32 != 0 || length >= data.length) return false;
        uint256 signersAt = HEAD + 1 + length / 32;
        if (data.length < 32 * (signersAt + 1)) return false;
        uint256 count = uint256(word(data, signersAt));
        if (count > MOST_SIGNERS) return false;
        uint256 rAt = signersAt + 1 + count;
        uint256 sAt = rAt + 1 + count;
        return
            data.length == 32 * (sAt + 1 + count) &&
            uint256(word(data, VERSION)) == 1 &&
            uint256(word(data, KIND)) <= type(uint32).max &&
            uint256(word(data, FIELDS_AT)) == 32 * HEAD &&
            uint256(word(data, VALID_UNTIL)) <= type(uint64).max &&
            uint256(word(data, SIGNERS_AT)) == 32 * signersAt &&
            uint256(word(data, R_AT)) == 32 * rAt &&
            uint256(word(data, S_AT)) == 32 * sAt &&
            uint256(word(data, rAt)) == count &&
            uint256(word(data, sAt)) == count;
    }

    /// @dev Whether `fields` is the encoding of fields of these `types`, one byte each: the bits of an unsigned
    /// integer, 0 for bytes32, 0xff for a list of at most 64 bytes32.
    function areFields(bytes calldata fields, bytes memory types) internal pure returns (bool) {
        uint256 tail = 32 * types.length;
        if (fields.length < tail) return false;
        for (uint256 i = 0; i < types.length; ++i) {
            uint256 value = uint256(word(fields, i));
            uint8 kind = uint8(types[i]);
            if (kind == LIST) {
                if (value != tail || fields.length < tail + 32) return false;
                uint256 count = uint256(word(fields, tail / 32));
                if (count > MOST_ITEMS) return false;
                tail += 32 * (1 + count);
            } else if (kind != WORD && value >> kind != 0) {
                return false;
            }
        }
        return fields.length == tail;
    }

    function word(bytes calldata data, uint256 index) internal pure returns (bytes32) {
        return bytes32(data[32 * index:32 * (index + 1)]);
    }

    function kindOf(bytes calldata envelope) internal pure returns (uint32) {
        return uint32(uint256(word(envelope, KIND)));
    }

    function marketOf(bytes calldata envelope) internal pure returns (bytes32) {
        return word(envelope, MARKET);
    }

    function nonceOf(bytes calldata envelope) internal pure returns (bytes32) {
        return word(envelope, NONCE);
    }

    /// @dev The id of the command that has to be applied before, or zero.
    function predecessorOf(bytes calldata envelope) internal pure returns (bytes32) {
        return word(envelope, PREDECESSOR);
    }

    function validUntilOf(bytes calldata envelope) internal pure returns (uint64) {
        return uint64(uint256(word(envelope, VALID_UNTIL)));
    }

    function fieldsOf(bytes calldata envelope) internal pure returns (bytes calldata) {
        uint256 length = uint256(word(envelope, HEAD));
        return envelope[32 * (HEAD + 1):32 * (HEAD + 1) + length];
    }

    function signerCount(bytes calldata envelope) internal pure returns (uint256) {
        return uint256(word(envelope, uint256(word(envelope, SIGNERS_AT)) / 32));
    }

    /// @dev The id of the key that signed at `index`.
    function signerAt(bytes calldata envelope, uint256 index) internal pure returns (bytes32) {
        return _item(envelope, SIGNERS_AT, index);
    }

    function signatureAt(bytes calldata envelope, uint256 index) internal pure returns (bytes32 r, bytes32 s) {
        return (_item(envelope, R_AT, index), _item(envelope, S_AT, index));
    }

    function _item(bytes calldata envelope, uint256 head, uint256 index) private pure returns (bytes32) {
        return word(envelope, uint256(word(envelope, head)) / 32 + 1 + index);
    }

    // An entry of another ledger: (bytes32 ledger, uint32 code, uint64 time, bytes envelope).

    uint256 private constant ENTRY_HEAD = 4;

    /// @dev Whether `data` is the encoding of an entry. After it the functions below may be used.
    function isEntry(bytes calldata data) internal pure returns (bool) {
        if (data.length < 32 * (ENTRY_HEAD + 1)) return false;
        uint256 length = uint256(word(data, ENTRY_HEAD));
        if (length >= data.length) return false;
        uint256 padding = (32 - (length % 32)) % 32;
        if (data.length != 32 * (ENTRY_HEAD + 1) + length + padding) return false;
        for (uint256 i = data.length - padding; i < data.length; ++i) {
            if (data[i] != 0) return false;
        }
        return
            uint256(word(data, 1)) <= type(uint32).max &&
            uint256(word(data, 2)) <= type(uint64).max &&
            uint256(word(data, 3)) == 32 * ENTRY_HEAD;
    }

    function oldLedgerOf(bytes calldata entry) internal pure returns (bytes32) {
        return word(entry, 0);
    }

    function codeOf(bytes calldata entry) internal pure returns (uint32) {
        return uint32(uint256(word(entry, 1)));
    }

    function timeOf(bytes calldata entry) internal pure returns (uint64) {
        return uint64(uint256(word(entry, 2)));
    }

    function envelopeOf(bytes calldata entry) internal pure returns (bytes calldata) {
        return entry[32 * (ENTRY_HEAD + 1):32 * (ENTRY_HEAD + 1) + uint256(word(entry, ENTRY_HEAD))];
    }
}
