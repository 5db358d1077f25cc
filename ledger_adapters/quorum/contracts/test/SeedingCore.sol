// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Core} from "../src/Core.sol";
import {State} from "../src/libraries/State.sol";

/// @title A core for tests that start from a given state
/// @notice In slot 0 of a market it lets anybody write any record. Never deployed outside tests.
contract SeedingCore is Core {
    function seed(bytes32[] calldata keys, bytes[] calldata values) external {
        for (uint256 i = 0; i < keys.length; ++i) {
            State.put(keys[i], values[i]);
        }
    }
}
