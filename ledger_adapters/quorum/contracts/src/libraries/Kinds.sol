// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IRules} from "../IRules.sol";
import {Codec} from "./Codec.sol";
import {Hashing} from "./Hashing.sol";
import {Records} from "./Records.sol";

/// @title How a kind of command describes itself
/// @dev `types` as in {Codec.areFields}; `table` is that of the domain, and `id` the field that names it.
library Kinds {
    using Codec for bytes;

    /// @dev A kind that the operator has to sign, with a domain of one id.
    function byUtility(
        bytes calldata fields,
        bytes memory types,
        uint8 table,
        uint256 id
    ) internal pure returns (IRules.Description memory description) {
        if (!fields.areFields(types)) return description;
        return IRules.Description(true, true, _domain(table, fields.word(id)));
    }

    /// @dev The same with a domain of the first two fields.
    function byUtility(
        bytes calldata fields,
        bytes memory types,
        uint8 table
    ) internal pure returns (IRules.Description memory description) {
        if (!fields.areFields(types)) return description;
        bytes32 first = bytes32(uint256(table));
        return IRules.Description(true, true, Hashing.stateKey(Records.DOMAIN, first, fields.word(0), fields.word(1)));
    }

    /// @dev A kind that only its own signers sign, with a domain of one id.
    function bySigners(
        bytes calldata fields,
        bytes memory types,
        uint8 table,
        uint256 id
    ) internal pure returns (IRules.Description memory description) {
        if (!fields.areFields(types)) return description;
        return IRules.Description(true, false, _domain(table, fields.word(id)));
    }

    /// @dev The same with the one domain of a table whose record has no id.
    function bySigners(
        bytes calldata fields,
        bytes memory types,
        uint8 table
    ) internal pure returns (IRules.Description memory description) {
        if (!fields.areFields(types)) return description;
        return IRules.Description(true, false, Hashing.stateKey(Records.DOMAIN, bytes32(uint256(table))));
    }

    function _domain(uint8 table, bytes32 id) private pure returns (bytes32) {
        return Hashing.stateKey(Records.DOMAIN, bytes32(uint256(table)), id);
    }
}
