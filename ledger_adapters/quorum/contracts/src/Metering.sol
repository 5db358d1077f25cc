// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IRules} from "./IRules.sol";
import {Codec} from "./libraries/Codec.sol";
import {Codes} from "./libraries/Codes.sol";
import {Hashing} from "./libraries/Hashing.sol";
import {Keys} from "./libraries/Keys.sol";
import {Kinds} from "./libraries/Kinds.sol";
import {Records} from "./libraries/Records.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {State} from "./libraries/State.sol";

/// @title Anchors of signed readings and the daily totals that devices report themselves
contract Metering is IRules {
    using Codec for bytes;
    using Keys for Keys.Key;
    using Kinds for bytes;

    uint32 private constant ANCHOR_READINGS = 201;
    uint32 private constant REPORT_DAILY_ENERGY = 202;

    struct AnchorReadings {
        bytes32 area;
        uint32 day;
        uint64 start;
        uint64 end;
        uint32 count;
        bytes32 root;
    }

    struct ReportDailyEnergy {
        bytes32 device;
        uint32 day;
        uint64 generated;
        uint64 imported;
        uint64 exported;
        bytes32 corrects;
    }

    /// @inheritdoc IRules
    function describe(uint32 kind, bytes calldata fields) external pure returns (Description memory description) {
        if (kind == ANCHOR_READINGS) return fields.byUtility(hex"002040402000", Records.ANCHOR);
        if (kind == REPORT_DAILY_ENERGY) return fields.bySigners(hex"002040404000", Records.DEVICE, 0);
    }

    /// @inheritdoc IRules
    function execute(bytes calldata envelope, Context calldata context) external returns (uint8) {
        if (envelope.kindOf() == REPORT_DAILY_ENERGY) return _report(envelope, context);
        uint8 code = Signatures.checkNone(envelope);
        if (code != Codes.APPLIED) return code;
        return _anchor(abi.decode(envelope.fieldsOf(), (AnchorReadings)), context.time);
    }

    function _anchor(AnchorReadings memory fields, uint64 time) private returns (uint8) {
        if (fields.start >= fields.end) return Codes.EMPTY_WINDOW;
        if (fields.count == 0) return Codes.NOTHING_ANCHORED;
        bytes32 day = bytes32(uint256(fields.day));
        bytes32 key = Hashing.stateKey(Records.ANCHOR, fields.area, day, fields.root);
        if (State.has(key)) return Codes.ALREADY_ANCHORED;
        State.put(key, abi.encode(Records.Anchor(fields.start, fields.end, fields.count, time)));
        return Codes.APPLIED;
    }

    function _report(bytes calldata envelope, Context calldata context) private returns (uint8) {
        ReportDailyEnergy memory fields = abi.decode(envelope.fieldsOf(), (ReportDailyEnergy));
        (bool found, Records.Device memory device) = Records.findDevice(fields.device);
        if (!found) return Codes.DEVICE_UNKNOWN;
        (uint8 code, Keys.Key memory signer) = _reportingKey(envelope, device, fields.day, context.time);
        if (code != Codes.APPLIED) return code;
        code = Signatures.checkOne(envelope, Signatures.device(envelope, context, signer));
        if (code != Codes.APPLIED) return code;
        if (device.state != Records.ACTIVE) return Codes.DEVICE_INACTIVE;
        bytes32 key = Hashing.stateKey(Records.DAILY_ENERGY, fields.device, bytes32(uint256(fields.day)));
        code = _checkCorrection(State.get(key), fields.corrects);
        if (code != Codes.APPLIED) return code;
        Records.DailyEnergy memory report = Records.DailyEnergy({
            report: context.id,
            generated: fields.generated,
            imported: fields.imported,
            exported: fields.exported,
            signedBy: envelope.signerAt(0)
        });
        State.put(key, abi.encode(report));
        return Codes.APPLIED;
    }

    /// @dev The current key, or the one before it when that signed; each speaks about its own days only.
    function _reportingKey(
        bytes calldata envelope,
        Records.Device memory device,
        uint32 day,
        uint64 time
    ) private pure returns (uint8, Keys.Key memory) {
        bool isSignedOnce = device.oldKey.algorithm != 0 && envelope.signerCount() == 1;
        if (isSignedOnce && envelope.signerAt(0) == device.oldKey.id()) {
            if (device.oldRevokedAt != 0) return (Codes.KEY_REVOKED, device.oldKey);
            bool inTime = device.oldSinceDay <= day && day < device.sinceDay && time <= device.graceUntil;
            return (inTime ? Codes.APPLIED : Codes.OUTSIDE_KEY_TIME, device.oldKey);
        }
        if (device.revokedAt != 0) return (Codes.KEY_REVOKED, device.key);
        return (day >= device.sinceDay ? Codes.APPLIED : Codes.OUTSIDE_KEY_TIME, device.key);
    }

    /// @dev `value` is the report that stands, if any; `corrects` the one that is to be replaced, or zero.
    function _checkCorrection(bytes memory value, bytes32 corrects) private pure returns (uint8) {
        if (corrects == 0) return value.length == 0 ? Codes.APPLIED : Codes.ALREADY_REPORTED;
        if (value.length == 0) return Codes.NOTHING_TO_CORRECT;
        bytes32 stands = abi.decode(value, (Records.DailyEnergy)).report;
        return stands == corrects ? Codes.APPLIED : Codes.NOTHING_TO_CORRECT;
    }
}
