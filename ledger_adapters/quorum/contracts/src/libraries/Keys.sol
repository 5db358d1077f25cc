// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {Hashing} from "./Hashing.sol";

/// @title Keys and signatures
/// @notice P-256 and secp256k1, r and s with low s, over a digest of 32 bytes. High s, zero, numbers beyond the order
/// and keys that are no points of their curve are refused alike.
library Keys {
    struct Key {
        uint8 algorithm;
        bytes32 x;
        bytes32 y;
    }

    uint8 internal constant ALGORITHM_P256 = 1;
    uint8 internal constant ALGORITHM_SECP256K1 = 2;

    uint256 private constant SECP256K1_P = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F;
    uint256 private constant SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// @dev The id by which envelopes name the key.
    function id(Key memory key) internal pure returns (bytes32) {
        return Hashing.keyId(key.algorithm, key.x, key.y);
    }

    function equal(Key memory a, Key memory b) internal pure returns (bool) {
        return a.algorithm == b.algorithm && a.x == b.x && a.y == b.y;
    }

    /// @dev Whether the key is a point of the curve of a known algorithm.
    function isPoint(Key memory key) internal pure returns (bool) {
        if (key.algorithm == ALGORITHM_P256) return P256.isValidPublicKey(key.x, key.y);
        return key.algorithm == ALGORITHM_SECP256K1 && _isOnSecp256k1(uint256(key.x), uint256(key.y));
    }

    /// @dev Whether (r, s) was made by `key` over `digest`. A precompile that runs out of gas reverts the call.
    function verifies(Key memory key, bytes32 digest, bytes32 r, bytes32 s) internal view returns (bool) {
        if (key.algorithm == ALGORITHM_P256) return P256.verifySolidity(digest, r, s, key.x, key.y);
        if (key.algorithm != ALGORITHM_SECP256K1) return false;
        // Below P - N a second point, beyond the order, has the same r: none that `ecrecover` would find.
        bool isRecoverable = uint256(r) >= SECP256K1_P - SECP256K1_N && uint256(r) < SECP256K1_N;
        bool isCanonical = isRecoverable && s != 0 && uint256(s) <= SECP256K1_N / 2;
        if (!isCanonical || !_isOnSecp256k1(uint256(key.x), uint256(key.y))) return false;
        // A signature has no recovery bit, so that both points with abscissa r are tried.
        address signer = address(uint160(uint256(keccak256(abi.encode(key.x, key.y)))));
        return ecrecover(digest, 27, r, s) == signer || ecrecover(digest, 28, r, s) == signer;
    }

    /// @dev The same for a signature of 64 bytes r ‖ s; one of another length is refused.
    function verifies(Key memory key, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        return
            signature.length == 64 && verifies(key, digest, bytes32(signature[:32]), bytes32(signature[32:]));
    }

    function _isOnSecp256k1(uint256 x, uint256 y) private pure returns (bool) {
        if (x >= SECP256K1_P || y >= SECP256K1_P) return false;
        uint256 cube = mulmod(mulmod(x, x, SECP256K1_P), x, SECP256K1_P);
        return mulmod(y, y, SECP256K1_P) == addmod(cube, 7, SECP256K1_P);
    }
}
