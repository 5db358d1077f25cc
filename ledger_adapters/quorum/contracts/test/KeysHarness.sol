// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Keys} from "../src/libraries/Keys.sol";

/// @title The library of keys, as it can be called from outside
contract KeysHarness {
    using Keys for Keys.Key;

    function id(Keys.Key calldata key) external pure returns (bytes32) {
        return key.id();
    }

    function isPoint(Keys.Key calldata key) external pure returns (bool) {
        return key.isPoint();
    }

    function verifies(Keys.Key calldata key, bytes32 digest, bytes calldata signature) external view returns (bool) {
        return key.verifies(digest, signature);
    }
}
