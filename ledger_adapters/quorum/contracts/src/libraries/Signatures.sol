// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IRules} from "../IRules.sol";
import {Codec} from "./Codec.sol";
import {Codes} from "./Codes.sol";
import {Hashing} from "./Hashing.sol";
import {Keys} from "./Keys.sol";
import {Records} from "./Records.sol";

/// @title Signatures of persons and devices on a command
library Signatures {
    using Codec for bytes;
    using Keys for Keys.Key;

    /// @dev A key whose signature is expected, and over what.
    struct Signatory {
        Keys.Key key;
        bytes32 digest;
    }

    bytes32 private constant DOMAIN_TYPE =
        keccak256(
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
        );

    /// @dev The EIP-712 domain of wallets. `address(this)` is the entry contract, whose address never changes.
    function domainSeparator(bytes32 ledger) internal view returns (bytes32) {
        return
            keccak256(
                abi.encode(DOMAIN_TYPE, keccak256("energymarket"), keccak256("1"), block.chainid, address(this), ledger)
            );
    }

    /// @dev A device, which signs the command's own digest.
    function device(
        bytes calldata envelope,
        IRules.Context calldata context,
        Keys.Key memory key
    ) internal pure returns (Signatory memory) {
        return Signatory(key, _ownDigest(envelope, context));
    }

    /// @dev A participant. A key on the wallets' curve is a wallet, which signs EIP-712 data of type `typeHash`.
    function person(
        bytes calldata envelope,
        IRules.Context calldata context,
        Records.Participant memory participant,
        bytes32 typeHash
    ) internal pure returns (Signatory memory) {
        bool isWallet = participant.key.algorithm == Keys.ALGORITHM_SECP256K1;
        bytes32 digest = isWallet ? _walletDigest(envelope, context, typeHash) : _ownDigest(envelope, context);
        return Signatory(participant.key, digest);
    }

    /// @dev The outcome of a command that nobody but the operator signs.
    function checkNone(bytes calldata envelope) internal pure returns (uint8) {
        return envelope.signerCount() == 0 ? Codes.APPLIED : Codes.SIGNATURE_COUNT;
    }

    function checkOne(bytes calldata envelope, Signatory memory signatory) internal view returns (uint8) {
        if (envelope.signerCount() != 1) return Codes.SIGNATURE_COUNT;
        return _check(envelope, 0, signatory);
    }

    function checkTwo(
        bytes calldata envelope,
        Signatory memory first,
        Signatory memory second
    ) internal view returns (uint8) {
        if (envelope.signerCount() != 2) return Codes.SIGNATURE_COUNT;
        uint8 code = _check(envelope, 0, first);
        return code == Codes.APPLIED ? _check(envelope, 1, second) : code;
    }

    function _check(
        bytes calldata envelope,
        uint256 index,
        Signatory memory signatory
    ) private view returns (uint8) {
        if (envelope.signerAt(index) != signatory.key.id()) return Codes.WRONG_SIGNER;
        (bytes32 r, bytes32 s) = envelope.signatureAt(index);
        return signatory.key.verifies(signatory.digest, r, s) ? Codes.APPLIED : Codes.BAD_SIGNATURE;
    }

    function _ownDigest(bytes calldata envelope, IRules.Context calldata context) private pure returns (bytes32) {
        return Hashing.signDigest(context.ledger, context.id, envelope.predecessorOf(), envelope.validUntilOf());
    }

    /// @dev The fields of what wallets sign are static words, so that their encoding is EIP-712's.
    function _walletDigest(
        bytes calldata envelope,
        IRules.Context calldata context,
        bytes32 typeHash
    ) private pure returns (bytes32) {
        bytes32 content = keccak256(
            abi.encodePacked(
                typeHash,
                envelope.fieldsOf(),
                envelope.nonceOf(),
                envelope.predecessorOf(),
                uint256(envelope.validUntilOf())
            )
        );
        return keccak256(abi.encodePacked(hex"1901", context.separator, content));
    }
}
