// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IRules} from "../IRules.sol";
import {Codec} from "./Codec.sol";
import {Codes} from "./Codes.sol";
import {Participants} from "./Participants.sol";
import {Records} from "./Records.sol";

/// @title Rules for plants
library Plants {
    using Codec for bytes;

    struct RegisterPlant {
        bytes32 plant;
        bytes32 area;
        bytes32 owner;
        bytes32 point;
        uint64 powerW;
        uint32 since;
        bytes32 contents;
    }

    struct TransferPlant {
        bytes32 plant;
        bytes32 owner;
        bytes32 nextOwner;
    }

    struct ChangePlantState {
        bytes32 plant;
        uint8 state;
    }

    bytes32 private constant TRANSFER_TYPE =
        keccak256(
            "TransferPlant(bytes32 plant,bytes32 owner,bytes32 nextOwner,"
            "bytes32 nonce,bytes32 after,uint64 validUntil)"
        );

    function register(bytes calldata content) internal returns (uint8) {
        RegisterPlant memory fields = abi.decode(content, (RegisterPlant));
        uint8 code = Participants.checkActive(fields.owner);
        if (code != Codes.APPLIED) return code;
        (bool found, ) = Records.findPlant(fields.plant);
        if (found) return Codes.ALREADY_REGISTERED;
        Records.putPlant(
            fields.plant,
            Records.Plant({
                area: fields.area,
                owner: fields.owner,
                point: fields.point,
                state: Records.ACTIVE,
                powerW: fields.powerW,
                sinceDay: fields.since,
                contents: fields.contents
            })
        );
        return Codes.APPLIED;
    }

    function transfer(bytes calldata envelope, IRules.Context calldata context) internal returns (uint8) {
        TransferPlant memory fields = abi.decode(envelope.fieldsOf(), (TransferPlant));
        uint8 code = Participants.checkTransfer(envelope, context, fields.owner, fields.nextOwner, TRANSFER_TYPE);
        if (code != Codes.APPLIED) return code;
        code = Participants.checkActive(fields.nextOwner);
        if (code != Codes.APPLIED) return code;
        (bool found, Records.Plant memory record) = Records.findPlant(fields.plant);
        if (!found) return Codes.PLANT_UNKNOWN;
        if (record.state != Records.ACTIVE) return Codes.PLANT_INACTIVE;
        if (record.owner != fields.owner) return Codes.NOT_THE_OWNER;
        record.owner = fields.nextOwner;
        Records.putPlant(fields.plant, record);
        return Codes.APPLIED;
    }

    function changeState(bytes calldata content) internal returns (uint8) {
        ChangePlantState memory fields = abi.decode(content, (ChangePlantState));
        (bool found, Records.Plant memory record) = Records.findPlant(fields.plant);
        if (!found) return Codes.PLANT_UNKNOWN;
        if (!Participants.isChange(record.state, fields.state)) return Codes.BAD_STATE;
        record.state = fields.state;
        Records.putPlant(fields.plant, record);
        return Codes.APPLIED;
    }
}
