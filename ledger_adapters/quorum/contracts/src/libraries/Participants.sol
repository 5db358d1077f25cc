// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IRules} from "../IRules.sol";
import {Codec} from "./Codec.sol";
import {Codes} from "./Codes.sol";
import {Keys} from "./Keys.sol";
import {Records} from "./Records.sol";
import {Signatures} from "./Signatures.sol";

/// @title Rules for participants
library Participants {
    using Codec for bytes;
    using Keys for Keys.Key;

    struct RegisterParticipant {
        bytes32 participant;
        uint8 role;
        Keys.Key key;
        uint8 custody;
        bytes32 contents;
    }

    struct ChangeParticipantState {
        bytes32 participant;
        uint8 state;
    }

    struct RotateParticipantKey {
        bytes32 participant;
        Keys.Key key;
        uint8 custody;
    }

    bytes32 private constant ROTATE_TYPE =
        keccak256(
            "RotateParticipantKey(bytes32 participant,uint8 algorithm,bytes32 x,bytes32 y,uint8 custody,"
            "bytes32 nonce,bytes32 after,uint64 validUntil)"
        );

    // Roles are numbered from utility (1) to auditor (6), custody is the participant's own (0) or the platform's (1).
    uint8 private constant FIRST_ROLE = 1;
    uint8 private constant LAST_ROLE = 6;
    uint8 private constant LAST_CUSTODY = 1;

    function register(bytes calldata content) internal returns (uint8) {
        RegisterParticipant memory fields = abi.decode(content, (RegisterParticipant));
        (bool found, ) = Records.findParticipant(fields.participant);
        if (found) return Codes.ALREADY_REGISTERED;
        if (fields.role < FIRST_ROLE || fields.role > LAST_ROLE) return Codes.BAD_ROLE;
        if (fields.custody > LAST_CUSTODY) return Codes.BAD_CUSTODY;
        if (!fields.key.isPoint()) return Codes.BAD_KEY;
        Records.putParticipant(
            fields.participant,
            Records.Participant(fields.role, Records.ACTIVE, fields.key, fields.custody, fields.contents)
        );
        return Codes.APPLIED;
    }

    function changeState(bytes calldata content) internal returns (uint8) {
        ChangeParticipantState memory fields = abi.decode(content, (ChangeParticipantState));
        (bool found, Records.Participant memory record) = Records.findParticipant(fields.participant);
        if (!found) return Codes.PARTICIPANT_UNKNOWN;
        if (!isChange(record.state, fields.state)) return Codes.BAD_STATE;
        record.state = fields.state;
        Records.putParticipant(fields.participant, record);
        return Codes.APPLIED;
    }

    function rotateKey(bytes calldata envelope, IRules.Context calldata context) internal returns (uint8) {
        RotateParticipantKey memory fields = abi.decode(envelope.fieldsOf(), (RotateParticipantKey));
        (uint8 code, Records.Participant memory record) = checkActor(
            envelope,
            context,
            fields.participant,
            ROTATE_TYPE
        );
        if (code != Codes.APPLIED) return code;
        if (fields.custody > LAST_CUSTODY) return Codes.BAD_CUSTODY;
        if (!fields.key.isPoint()) return Codes.BAD_KEY;
        if (fields.key.equal(record.key)) return Codes.SAME_KEY;
        record.key = fields.key;
        record.custody = fields.custody;
        Records.putParticipant(fields.participant, record);
        return Codes.APPLIED;
    }

    /// @dev `APPLIED`, or why the participant cannot act.
    function checkActive(bytes32 participant) internal view returns (uint8) {
        (bool found, Records.Participant memory record) = Records.findParticipant(participant);
        if (!found) return Codes.PARTICIPANT_UNKNOWN;
        return record.state == Records.ACTIVE ? Codes.APPLIED : Codes.PARTICIPANT_INACTIVE;
    }

    /// @dev The outcome of the one signature of a command, which is the participant's, and the participant.
    function checkSigner(
        bytes calldata envelope,
        IRules.Context calldata context,
        bytes32 participant,
        bytes32 typeHash
    ) internal view returns (uint8, Records.Participant memory) {
        (bool found, Records.Participant memory record) = Records.findParticipant(participant);
        if (!found) return (Codes.PARTICIPANT_UNKNOWN, record);
        Signatures.Signatory memory signatory = Signatures.person(envelope, context, record, typeHash);
        return (Signatures.checkOne(envelope, signatory), record);
    }

    /// @dev The same for a participant who also has to be active.
    function checkActor(
        bytes calldata envelope,
        IRules.Context calldata context,
        bytes32 participant,
        bytes32 typeHash
    ) internal view returns (uint8, Records.Participant memory) {
        (uint8 code, Records.Participant memory record) = checkSigner(envelope, context, participant, typeHash);
        if (code == Codes.APPLIED && record.state != Records.ACTIVE) code = Codes.PARTICIPANT_INACTIVE;
        return (code, record);
    }

    /// @dev The outcome of the signatures with which something goes from one participant to another.
    function checkTransfer(
        bytes calldata envelope,
        IRules.Context calldata context,
        bytes32 from,
        bytes32 to,
        bytes32 typeHash
    ) internal view returns (uint8) {
        (bool isFromFound, Records.Participant memory sender) = Records.findParticipant(from);
        if (!isFromFound) return Codes.PARTICIPANT_UNKNOWN;
        (bool isToFound, Records.Participant memory receiver) = Records.findParticipant(to);
        if (!isToFound) return Codes.PARTICIPANT_UNKNOWN;
        return
            Signatures.checkTwo(
                envelope,
                Signatures.person(envelope, context, sender, typeHash),
                Signatures.person(envelope, context, receiver, typeHash)
            );
    }

    /// @dev Whether a participant, plant or device may go from one state to another: closed is for ever.
    function isChange(uint8 current, uint8 next) internal pure returns (bool) {
        bool isState = next >= Records.ACTIVE && next <= Records.CLOSED;
        return isState && next != current && current != Records.CLOSED;
    }
}
