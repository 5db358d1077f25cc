// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Proxy} from "@openzeppelin/contracts/proxy/Proxy.sol";
import {IMarket} from "./IMarket.sol";
import {Hashing} from "./libraries/Hashing.sol";
import {Keys} from "./libraries/Keys.sol";
import {Records} from "./libraries/Records.sol";
import {State} from "./libraries/State.sol";

/// @title The market's address
/// @notice Holds the state, gives it out, and delegates all else to the module in slot 0. Its address never changes:
/// wallets sign for it. What changes is approved by both parties of the genesis record, and nobody else has any rights.
/// @dev The functions of {IMarket} that are missing here are those of {Core}.
contract Market is Proxy {
    using Keys for Keys.Key;

    struct Installation {
        uint8 slot;
        address module;
    }

    uint8 private constant CORE = 0;

    uint8 private constant UPGRADE = 1;
    uint8 private constant PAUSE = 2;
    uint8 private constant UNPAUSE = 3;

    /// @notice Founds the ledger: writes its genesis record, once.
    constructor(Records.Genesis memory genesis, Installation[] memory installations) {
        if (!genesis.utility.isPoint() || !genesis.community.isPoint()) revert IMarket.MarketBadKey();
        State.put(Hashing.stateKey(Records.GENESIS), abi.encode(genesis));
        emit IMarket.Founded(genesis.ledger, genesis.market);
        for (uint256 i = 0; i < installations.length; ++i) {
            _install(installations[i].slot, installations[i].module);
        }
        if (_implementation() == address(0)) revert IMarket.MarketNoCode(address(0));
    }

    /// @notice The market holds no money.
    receive() external payable {
        revert IMarket.MarketTakesNoMoney();
    }

    /// @notice See {IMarket-upgrade}.
    function upgrade(uint8 slot, address module, bytes calldata utility, bytes calldata community) external {
        _approve(UPGRADE, slot, module, utility, community);
        _install(slot, module);
    }

    /// @notice See {IMarket-pause}.
    function pause(bytes calldata utility, bytes calldata community) external {
        if (isPaused()) revert IMarket.MarketPaused();
        _approve(PAUSE, 0, address(0), utility, community);
        State.layout().isPaused = true;
        emit IMarket.Paused();
    }

    /// @notice See {IMarket-unpause}.
    function unpause(bytes calldata utility, bytes calldata community) external {
        if (!isPaused()) revert IMarket.MarketNotPaused();
        _approve(UNPAUSE, 0, address(0), utility, community);
        State.layout().isPaused = false;
        emit IMarket.Unpaused();
    }

    /// @notice See {IMarket-read}.
    function read(bytes32[] calldata keys) external view returns (bytes[] memory values) {
        values = new bytes[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            values[i] = State.get(keys[i]);
        }
    }

    /// @notice See {IMarket-approvals}.
    function approvals() external view returns (uint64) {
        return State.layout().approvals;
    }

    /// @notice See {IMarket-moduleAt}.
    function moduleAt(uint8 slot) external view returns (address) {
        return State.layout().modules[slot];
    }

    /// @notice See {IMarket-approvalDigest}.
    function approvalDigest(uint8 action, uint8 slot, address module) external view returns (bytes32) {
        return _approvalDigest(Records.genesis().ledger, action, slot, module);
    }

    /// @notice See {IMarket-isPaused}.
    function isPaused() public view returns (bool) {
        return State.layout().isPaused;
    }

    function _fallback() internal override {
        if (isPaused()) revert IMarket.MarketPaused();
        super._fallback();
    }

    function _implementation() internal view override returns (address) {
        return State.layout().modules[CORE];
    }

    function _install(uint8 slot, address module) private {
        if (module.code.length == 0) revert IMarket.MarketNoCode(module);
        State.layout().modules[slot] = module;
        emit IMarket.ModuleInstalled(slot, module);
    }

    /// @dev Uses up the next approval, or reverts unless both parties have signed it.
    function _approve(
        uint8 action,
        uint8 slot,
        address module,
        bytes calldata utility,
        bytes calldata community
    ) private {
        Records.Genesis memory genesis = Records.genesis();
        bytes32 digest = _approvalDigest(genesis.ledger, action, slot, module);
        if (!genesis.utility.verifies(digest, utility) || !genesis.community.verifies(digest, community)) {
            revert IMarket.MarketNotApproved(digest);
        }
        ++State.layout().approvals;
    }

    function _approvalDigest(
        bytes32 ledger,
        uint8 action,
        uint8 slot,
        address module
    ) private view returns (bytes32) {
        return Hashing.approval(ledger, address(this), State.layout().approvals, action, slot, module);
    }
}
