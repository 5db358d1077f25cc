// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IRules} from "./IRules.sol";
import {Codec} from "./libraries/Codec.sol";
import {Codes} from "./libraries/Codes.sol";
import {Devices} from "./libraries/Devices.sol";
import {Kinds} from "./libraries/Kinds.sol";
import {Participants} from "./libraries/Participants.sol";
import {Plants} from "./libraries/Plants.sol";
import {Records} from "./libraries/Records.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title Participants, plants and devices
/// @notice Who they are, whose they are, and which keys speak for them.
contract Registry is IRules {
    using Codec for bytes;
    using Kinds for bytes;

    uint32 private constant REGISTER_PARTICIPANT = 101;
    uint32 private constant CHANGE_PARTICIPANT_STATE = 102;
    uint32 private constant ROTATE_PARTICIPANT_KEY = 103;
    uint32 private constant REGISTER_PLANT = 111;
    uint32 private constant TRANSFER_PLANT = 112;
    uint32 private constant CHANGE_PLANT_STATE = 113;
    uint32 private constant REGISTER_DEVICE = 121;
    uint32 private constant TRANSFER_DEVICE = 122;
    uint32 private constant CHANGE_DEVICE_STATE = 123;
    uint32 private constant ROTATE_DEVICE_KEY = 124;
    uint32 private constant REVOKE_DEVICE_KEY = 125;

    /// @inheritdoc IRules
    function describe(uint32 kind, bytes calldata fields) external pure returns (Description memory description) {
        if (kind == REGISTER_PARTICIPANT) return fields.byUtility(hex"00080800000800", Records.PARTICIPANT, 0);
        if (kind == CHANGE_PARTICIPANT_STATE) return fields.byUtility(hex"0008", Records.PARTICIPANT, 0);
        if (kind == ROTATE_PARTICIPANT_KEY) return fields.bySigners(hex"0008000008", Records.PARTICIPANT, 0);
        if (kind == REGISTER_PLANT) return fields.byUtility(hex"00000000402000", Records.PLANT, 0);
        if (kind == TRANSFER_PLANT) return fields.bySigners(hex"000000", Records.PLANT, 0);
        if (kind == CHANGE_PLANT_STATE) return fields.byUtility(hex"0008", Records.PLANT, 0);
        if (kind == REGISTER_DEVICE) return fields.byUtility(hex"000008000000ff", Records.DEVICE, 0);
        if (kind == TRANSFER_DEVICE) return fields.bySigners(hex"000000", Records.DEVICE, 0);
        if (kind == CHANGE_DEVICE_STATE) return fields.byUtility(hex"0008", Records.DEVICE, 0);
        if (kind == ROTATE_DEVICE_KEY) return fields.byUtility(hex"000800002020", Records.DEVICE, 0);
        if (kind == REVOKE_DEVICE_KEY) return fields.byUtility(hex"0000", Records.DEVICE, 0);
    }

    /// @inheritdoc IRules
    function execute(bytes calldata envelope, Context calldata context) external returns (uint8) {
        uint32 kind = envelope.kindOf();
        if (kind == ROTATE_PARTICIPANT_KEY) return Participants.rotateKey(envelope, context);
        if (kind == TRANSFER_PLANT) return Plants.transfer(envelope, context);
        if (kind == TRANSFER_DEVICE) return Devices.transfer(envelope, context);
        if (kind == ROTATE_DEVICE_KEY) return Devices.rotateKey(envelope, context);
        uint8 code = Signatures.checkNone(envelope);
        if (code != Codes.APPLIED) return code;
        bytes calldata fields = envelope.fieldsOf();
        if (kind == REGISTER_PARTICIPANT) return Participants.register(fields);
        if (kind == CHANGE_PARTICIPANT_STATE) return Participants.changeState(fields);
        if (kind == REGISTER_PLANT) return Plants.register(fields);
        if (kind == CHANGE_PLANT_STATE) return Plants.changeState(fields);
        if (kind == REGISTER_DEVICE) return Devices.register(fields, context.time);
        if (kind == CHANGE_DEVICE_STATE) return Devices.changeState(fields);
        return Devices.revokeKey(fields, context.time);
    }
}
