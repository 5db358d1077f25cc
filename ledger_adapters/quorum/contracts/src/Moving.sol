// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IRules} from "./IRules.sol";
import {Codec} from "./libraries/Codec.sol";
import {Codes} from "./libraries/Codes.sol";
import {Hashing} from "./libraries/Hashing.sol";
import {Kinds} from "./libraries/Kinds.sol";
import {Records} from "./libraries/Records.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {State} from "./libraries/State.sol";

/// @title From one ledger to another
/// @notice The old one is closed; the new one opens an import, takes entries over and is sealed for ever. Each of these
/// is signed by both parties of the genesis record.
contract Moving is IRules {
    using Codec for bytes;
    using Kinds for bytes;

    uint32 private constant OPEN_IMPORT = 901;
    uint32 private constant SEAL_IMPORT = 902;
    uint32 private constant CLOSE_LEDGER = 903;

    struct SealImport {
        uint64 count;
        bytes32 head;
        bytes32 root;
    }

    /// @inheritdoc IRules
    function describe(uint32 kind, bytes calldata fields) external pure returns (Description memory description) {
        if (kind == OPEN_IMPORT) return fields.bySigners(hex"ffff", Records.IMPORT);
        if (kind == SEAL_IMPORT) return fields.bySigners(hex"400000", Records.IMPORT);
        if (kind == CLOSE_LEDGER) return fields.bySigners(hex"00", Records.IMPORT);
    }

    /// @inheritdoc IRules
    function execute(bytes calldata envelope, Context calldata context) external returns (uint8) {
        Records.Genesis memory genesis = Records.genesis();
        uint8 code = Signatures.checkTwo(
            envelope,
            Signatures.device(envelope, context, genesis.utility),
            Signatures.device(envelope, context, genesis.community)
        );
        if (code != Codes.APPLIED) return code;
        uint32 kind = envelope.kindOf();
        if (kind == OPEN_IMPORT) return _open(envelope.fieldsOf());
        if (kind == SEAL_IMPORT) return _seal(abi.decode(envelope.fieldsOf(), (SealImport)), context.time);
        Records.Closing memory closing = Records.Closing(envelope.fieldsOf().word(0), context.time);
        State.put(Hashing.stateKey(Records.CLOSING), abi.encode(closing));
        return Codes.APPLIED;
    }

    function _open(bytes calldata fields) private returns (uint8) {
        (bool found, Records.Import memory record) = Records.findImport();
        if (found) return Codes.IMPORT_OVER;
        (bytes32[] memory ledgers, bytes32[] memory separators) = abi.decode(fields, (bytes32[], bytes32[]));
        if (!_areNamed(ledgers) || ledgers.length != separators.length) return Codes.BAD_OLD_LEDGERS;
        for (uint256 i = 0; i < ledgers.length; ++i) {
            bytes32 key = Hashing.stateKey(Records.OLD_LEDGER, ledgers[i]);
            State.put(key, abi.encode(Records.OldLedger(record.ledger, separators[i])));
            record.ledger = ledgers[i];
        }
        Records.putImport(record);
        return Codes.APPLIED;
    }

    /// @dev Whether these are ids, each once.
    function _areNamed(bytes32[] memory ledgers) private pure returns (bool) {
        for (uint256 i = 0; i < ledgers.length; ++i) {
            if (ledgers[i] == 0) return false;
            for (uint256 j = 0; j < i; ++j) {
                if (ledgers[i] == ledgers[j]) return false;
            }
        }
        return ledgers.length != 0;
    }

    function _seal(SealImport memory fields, uint64 time) private returns (uint8) {
        (bool found, Records.Import memory record) = Records.findImport();
        if (!found) return Codes.IMPORT_NOT_OPEN;
        if (record.sealedAt != 0) return Codes.IMPORT_OVER;
        if (fields.count != record.count || fields.head != record.head) return Codes.OTHER_ENTRIES;
        record.sealedAt = time;
        record.root = fields.root;
        Records.putImport(record);
        return Codes.APPLIED;
    }
}
