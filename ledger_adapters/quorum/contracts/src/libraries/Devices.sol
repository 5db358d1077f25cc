// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IRules} from "../IRules.sol";
import {Codec} from "./Codec.sol";
import {Codes} from "./Codes.sol";
import {Hashing} from "./Hashing.sol";
import {Keys} from "./Keys.sol";
import {Participants} from "./Participants.sol";
import {Records} from "./Records.sol";
import {Signatures} from "./Signatures.sol";
import {State} from "./State.sol";

/// @title Rules for devices
library Devices {
    using Codec for bytes;
    using Keys for Keys.Key;

    struct TransferDevice {
        bytes32 device;
        bytes32 owner;
        bytes32 nextOwner;
    }

    struct ChangeDeviceState {
        bytes32 device;
        uint8 state;
    }

    struct RotateDeviceKey {
        bytes32 device;
        Keys.Key key;
        uint32 day;
        uint32 graceDays;
    }

    struct RevokeDeviceKey {
        bytes32 device;
        bytes32 key;
    }

    bytes32 private constant TRANSFER_TYPE =
        keccak256(
            "TransferDevice(bytes32 device,bytes32 owner,bytes32 nextOwner,"
            "bytes32 nonce,bytes32 after,uint64 validUntil)"
        );

    function register(bytes calldata content, uint64 time) internal returns (uint8) {
        // Not a struct: one with a list is encoded behind an offset of its own.
        (bytes32 device, bytes32 owner, Keys.Key memory key, bytes32 contents, bytes32[] memory points) = abi.decode(
            content,
            (bytes32, bytes32, Keys.Key, bytes32, bytes32[])
        );
        uint8 code = Participants.checkActive(owner);
        if (code != Codes.APPLIED) return code;
        (bool found, ) = Records.findDevice(device);
        if (found) return Codes.ALREADY_REGISTERED;
        for (uint256 i = 1; i < points.length; ++i) {
            if (points[i - 1] >= points[i]) return Codes.NOT_ASCENDING;
        }
        if (!key.isPoint()) return Codes.BAD_KEY;
        Records.Device memory record;
        record.owner = owner;
        record.state = Records.ACTIVE;
        record.key = key;
        record.contents = contents;
        State.put(_usedKey(device, key), abi.encode(Records.UsedKey(time)));
        Records.putDevice(device, record);
        return Codes.APPLIED;
    }

    function transfer(bytes calldata envelope, IRules.Context calldata context) internal returns (uint8) {
        TransferDevice memory fields = abi.decode(envelope.fieldsOf(), (TransferDevice));
        uint8 code = Participants.checkTransfer(envelope, context, fields.owner, fields.nextOwner, TRANSFER_TYPE);
        if (code != Codes.APPLIED) return code;
        code = Participants.checkActive(fields.nextOwner);
        if (code != Codes.APPLIED) return code;
        (bool found, Records.Device memory record) = Records.findDevice(fields.device);
        if (!found) return Codes.DEVICE_UNKNOWN;
        if (record.state != Records.ACTIVE) return Codes.DEVICE_INACTIVE;
        if (record.owner != fields.owner) return Codes.NOT_THE_OWNER;
        record.owner = fields.nextOwner;
        Records.putDevice(fields.device, record);
        return Codes.APPLIED;
    }

    function changeState(bytes calldata content) internal returns (uint8) {
        ChangeDeviceState memory fields = abi.decode(content, (ChangeDeviceState));
        (bool found, Records.Device memory record) = Records.findDevice(fields.device);
        if (!found) return Codes.DEVICE_UNKNOWN;
        if (!Participants.isChange(record.state, fields.state)) return Codes.BAD_STATE;
        record.state = fields.state;
        Records.putDevice(fields.device, record);
        return Codes.APPLIED;
    }

    function rotateKey(bytes calldata envelope, IRules.Context calldata context) internal returns (uint8) {
        RotateDeviceKey memory fields = abi.decode(envelope.fieldsOf(), (RotateDeviceKey));
        (bool found, Records.Device memory record) = Records.findDevice(fields.device);
        if (!found) return Codes.DEVICE_UNKNOWN;
        uint8 code = Signatures.checkOne(envelope, Signatures.device(envelope, context, record.key));
        if (code != Codes.APPLIED) return code;
        if (record.state != Records.ACTIVE) return Codes.DEVICE_INACTIVE;
        if (record.revokedAt != 0) return Codes.KEY_REVOKED;
        if (!fields.key.isPoint()) return Codes.BAD_KEY;
        bytes32 usedKey = _usedKey(fields.device, fields.key);
        if (State.has(usedKey)) return Codes.SAME_KEY;
        if (fields.day < record.sinceDay) return Codes.OUTSIDE_KEY_TIME;
        bool inGrace = record.oldKey.algorithm != 0 && record.oldRevokedAt == 0 && context.time <= record.graceUntil;
        if (inGrace) return Codes.GRACE_RUNNING;
        uint256 graceUntil = uint256(context.time) + uint256(fields.graceDays) * 1 days;
        if (graceUntil > type(uint64).max) return Codes.OVERFLOW;
        State.put(usedKey, abi.encode(Records.UsedKey(context.time)));
        record.oldKey = record.key;
        record.oldSinceDay = record.sinceDay;
        record.graceUntil = uint64(graceUntil);
        record.oldRevokedAt = 0;
        record.key = fields.key;
        record.sinceDay = fields.day;
        Records.putDevice(fields.device, record);
        return Codes.APPLIED;
    }

    function revokeKey(bytes calldata content, uint64 time) internal returns (uint8) {
        RevokeDeviceKey memory fields = abi.decode(content, (RevokeDeviceKey));
        (bool found, Records.Device memory record) = Records.findDevice(fields.device);
        if (!found) return Codes.DEVICE_UNKNOWN;
        if (fields.key == record.key.id()) {
            if (record.revokedAt != 0) return Codes.KEY_ALREADY_REVOKED;
            record.revokedAt = time;
        } else if (record.oldKey.algorithm != 0 && fields.key == record.oldKey.id()) {
            if (record.oldRevokedAt != 0) return Codes.KEY_ALREADY_REVOKED;
            record.oldRevokedAt = time;
        } else {
            return Codes.KEY_UNKNOWN;
        }
        Records.putDevice(fields.device, record);
        return Codes.APPLIED;
    }

    function _usedKey(bytes32 device, Keys.Key memory key) private pure returns (bytes32) {
        return Hashing.stateKey(Records.USED_KEY, device, key.id());
    }
}
