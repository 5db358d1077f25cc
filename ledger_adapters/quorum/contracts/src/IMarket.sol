// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title The market as its users see it
/// @notice All senders are alike: only signatures inside the call data give rights.
interface IMarket {
    /// @notice What became of a command at ledger time `time`. Bytes that are no command have the id zero.
    /// @dev A known id has no event: in a successful transaction each command without one is already applied, its
    /// time is in its record. Events stand in the order of the commands.
    event Outcome(uint8 code, uint64 time, bytes32 indexed id, bytes envelope);

    /// @notice An entry of the ledger `ledger` was taken over, with what became of the command there.
    event Imported(uint8 code, uint64 time, bytes32 indexed id, bytes32 indexed ledger, bytes envelope);

    event Founded(bytes32 indexed ledger, bytes32 indexed market);
    event ModuleInstalled(uint8 indexed slot, address indexed module);
    event Paused();
    event Unpaused();

    /// @notice The market takes no commands until both parties let it go on.
    error MarketPaused();

    /// @notice The market is not paused.
    error MarketNotPaused();

    /// @notice Not both parties have signed this digest.
    error MarketNotApproved(bytes32 digest);

    /// @notice There is no contract at this address.
    error MarketNoCode(address module);

    /// @notice A party's key is no point of its curve.
    error MarketBadKey();

    error MarketTakesNoMoney();

    /// @notice A batch of entries is not taken, for the reason that {Codes} numbers.
    error MarketImportRefused(uint8 code);

    /// @notice A batch of entries is not taken because of one of them.
    error MarketEntryRefused(uint256 position, uint8 code);

    /// @notice Applies commands in their order, each with an outcome of its own, or reverts as a whole.
    /// @param envelopes The commands.
    /// @param signature The operator's over the ids of all commands; may be empty where no command needs it.
    /// @return codes Outcomes as numbered in {Codes}.
    /// @return times Ledger times; of a known id the first time.
    function submit(
        bytes[] calldata envelopes,
        bytes calldata signature
    ) external returns (uint8[] memory codes, uint64[] memory times);

    /// @notice Takes entries of another ledger over while an import is open, all of them or none.
    /// @param start How many were taken over before.
    /// @param entries ABI encodings of (bytes32 ledger, uint32 code, uint64 time, bytes envelope).
    /// @param signature The operator's over all of them.
    function importEntries(uint64 start, bytes[] calldata entries, bytes calldata signature) external;

    /// @notice Records by state key, empty where there is none.
    function read(bytes32[] calldata keys) external view returns (bytes[] memory values);

    /// @notice Replaces the module in `slot` (0: the batch, otherwise the hundreds of its kinds).
    /// @param utility Signature of the utility's key over {approvalDigest}, 64 bytes.
    /// @param community Signature of the community's key over the same.
    function upgrade(uint8 slot, address module, bytes calldata utility, bytes calldata community) external;

    /// @notice Stops all commands. Signatures as for {upgrade}.
    function pause(bytes calldata utility, bytes calldata community) external;

    /// @notice Lets commands go on. Signatures as for {upgrade}.
    function unpause(bytes calldata utility, bytes calldata community) external;

    /// @notice What both parties sign next: action 1 to upgrade, 2 to pause, 3 to unpause (slot and module zero).
    function approvalDigest(uint8 action, uint8 slot, address module) external view returns (bytes32);

    /// @notice How many approvals were used; part of the next digest.
    function approvals() external view returns (uint64);

    function moduleAt(uint8 slot) external view returns (address);

    function isPaused() external view returns (bool);
}
