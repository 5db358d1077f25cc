// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Rules of a group of kinds of commands
/// @notice A module has no state and no rights of its own: what it writes goes to the contract that delegates to it.
interface IRules {
    /// @notice Whether a kind and its fields are well formed, whether the operator has to sign, and the state key of
    /// the command's conflict domain.
    struct Description {
        bool isKnown;
        bool byUtility;
        bytes32 domain;
    }

    /// @notice What a rule knows besides the envelope: the command's id, its ledger time, the ledger's id and the
    /// separator of the domain in which wallets sign.
    struct Context {
        bytes32 id;
        uint64 time;
        bytes32 ledger;
        bytes32 separator;
    }

    /// @notice Describes a command by its kind and fields alone. Never reverts for what a sender can choose.
    function describe(uint32 kind, bytes calldata fields) external pure returns (Description memory);

    /// @notice Checks the signatures and the rules of a described command and, if all hold, writes its records.
    /// @dev By delegatecall only. Returns a code of {Codes}; nothing is written unless that is `APPLIED`.
    function execute(bytes calldata envelope, Context calldata context) external returns (uint8);
}
