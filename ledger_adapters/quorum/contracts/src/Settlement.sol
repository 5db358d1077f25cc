// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IRules} from "./IRules.sol";
import {Codec} from "./libraries/Codec.sol";
import {Codes} from "./libraries/Codes.sol";
import {Hashing} from "./libraries/Hashing.sol";
import {Kinds} from "./libraries/Kinds.sol";
import {Participants} from "./libraries/Participants.sol";
import {Records} from "./libraries/Records.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {State} from "./libraries/State.sol";

/// @title Settlement roots and invoices
/// @notice Versions only rise, energy adds up, a number is used once. In the slots of settlement and of billing.
contract Settlement is IRules {
    using Codec for bytes;
    using Kinds for bytes;

    uint32 private constant RECORD_SETTLEMENT = 601;
    uint32 private constant RECORD_INVOICE = 701;

    struct RecordSettlement {
        bytes32 area;
        uint32 day;
        uint32 version;
        uint32 count;
        bytes32 root;
        bytes32 previous;
        uint64 produced;
        uint64 consumed;
        uint64 allocated;
        uint64 fedIn;
        uint64 supplied;
    }

    struct RecordInvoice {
        bytes32 issuer;
        bytes32 series;
        uint64 number;
        bytes32 document;
        bytes32 corrects;
    }

    /// @inheritdoc IRules
    function describe(uint32 kind, bytes calldata fields) external pure returns (Description memory description) {
        if (kind == RECORD_SETTLEMENT) {
            return fields.byUtility(hex"0020202000004040404040", Records.SETTLEMENT);
        }
        if (kind == RECORD_INVOICE) return fields.byUtility(hex"0000400000", Records.INVOICE);
    }

    /// @inheritdoc IRules
    function execute(bytes calldata envelope, Context calldata) external returns (uint8) {
        uint8 code = Signatures.checkNone(envelope);
        if (code != Codes.APPLIED) return code;
        bytes calldata fields = envelope.fieldsOf();
        if (envelope.kindOf() == RECORD_SETTLEMENT) return _settle(abi.decode(fields, (RecordSettlement)));
        return _invoice(abi.decode(fields, (RecordInvoice)));
    }

    function _settle(RecordSettlement memory fields) private returns (uint8) {
        bytes32 key = Hashing.stateKey(Records.SETTLEMENT, fields.area, bytes32(uint256(fields.day)));
        bytes memory value = State.get(key);
        Records.Settlement memory stands;
        if (value.length != 0) stands = abi.decode(value, (Records.Settlement));
        if (fields.version != uint256(stands.version) + 1) return Codes.VERSION_NOT_NEXT;
        if (fields.previous != stands.root) return Codes.OTHER_PREVIOUS_ROOT;
        if (fields.produced != uint256(fields.allocated) + fields.fedIn) return Codes.DOES_NOT_ADD_UP;
        if (fields.consumed != uint256(fields.allocated) + fields.supplied) return Codes.DOES_NOT_ADD_UP;
        State.put(key, abi.encode(Records.Settlement(fields.version, fields.root)));
        return Codes.APPLIED;
    }

    function _invoice(RecordInvoice memory fields) private returns (uint8) {
        uint8 code = Participants.checkActive(fields.issuer);
        if (code != Codes.APPLIED) return code;
        if (fields.number == 0) return Codes.NUMBER_ZERO;
        bytes32 number = bytes32(uint256(fields.number));
        bytes32 key = Hashing.stateKey(Records.INVOICE, fields.issuer, fields.series, number);
        if (State.has(key)) return Codes.NUMBER_TAKEN;
        State.put(key, abi.encode(Records.Invoice(fields.document, fields.corrects)));
        return Codes.APPLIED;
    }
}
