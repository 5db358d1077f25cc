// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title The storage of the market
/// @notice Records under their state keys, each as the ABI encoding that every other ledger stores, so that the state
/// can be read back and compared byte by byte. Nothing is deleted.
/// @dev The entry contract and all modules work on this one struct: modules are reached by delegatecall.
library State {
    struct Layout {
        mapping(bytes32 key => bytes value) records;
        mapping(uint8 slot => address module) modules;
        uint64 approvals;
        bool isPaused;
    }

    // ERC-7201: keccak256(abi.encode(uint256(keccak256("energymarket.storage.Ledger")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant LOCATION = 0x11d7eabbcc29486e5fc70b3eb328ae6758fd5c7f31a9e95174b958d6918b9700;

    function layout() internal pure returns (Layout storage $) {
        assembly ("memory-safe") {
            $.slot := LOCATION
        }
    }

    /// @dev The record's bytes, none where it is absent.
    function get(bytes32 key) internal view returns (bytes memory) {
        return layout().records[key];
    }

    function has(bytes32 key) internal view returns (bool) {
        return layout().records[key].length != 0;
    }

    function put(bytes32 key, bytes memory value) internal {
        layout().records[key] = value;
    }
}
