// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Hashing} from "./Hashing.sol";
import {Keys} from "./Keys.sol";
import {State} from "./State.sol";

/// @title What the ledger stores
/// @notice One struct per table; a record's ids are in its key, not in its value.
library Records {
    uint8 internal constant GENESIS = 0;
    uint8 internal constant DOMAIN = 1;
    uint8 internal constant APPLIED_ID = 2;
    uint8 internal constant PARTICIPANT = 3;
    uint8 internal constant PLANT = 4;
    uint8 internal constant DEVICE = 5;
    uint8 internal constant ANCHOR = 6;
    uint8 internal constant DAILY_ENERGY = 7;
    uint8 internal constant DECLARATION = 8;
    uint8 internal constant OFFER = 9;
    uint8 internal constant PURCHASE = 10;
    uint8 internal constant SETTLEMENT = 11;
    uint8 internal constant INVOICE = 12;
    uint8 internal constant USED_KEY = 13;
    uint8 internal constant AUCTION = 14;
    uint8 internal constant ORDER = 15;
    uint8 internal constant IMPORT = 16;
    uint8 internal constant OLD_LEDGER = 17;
    uint8 internal constant CLOSING = 18;

    // States of participants, plants and devices
    uint8 internal constant ACTIVE = 1;
    uint8 internal constant SUSPENDED = 2;
    uint8 internal constant CLOSED = 3;

    /// @notice Which ledger and market this is, and the keys of the two parties that run it.
    struct Genesis {
        bytes32 ledger;
        bytes32 market;
        Keys.Key utility;
        Keys.Key community;
    }

    /// @notice A conflict domain's last time: no command in it happens before the one that came before it.
    struct Domain {
        uint64 time;
    }

    struct AppliedId {
        uint32 kind;
        uint64 time;
    }

    struct Participant {
        uint8 role;
        uint8 state;
        Keys.Key key;
        uint8 custody;
        bytes32 contents;
    }

    struct Plant {
        bytes32 area;
        bytes32 owner;
        bytes32 point;
        uint8 state;
        uint64 powerW;
        uint32 sinceDay;
        bytes32 contents;
    }

    /// @notice `sinceDay` is the first day of the current key; the key before it, if its algorithm is not zero, speaks
    /// about its own days, from `oldSinceDay` on, until `graceUntil`. A revocation's time is zero while a key stands.
    struct Device {
        bytes32 owner;
        uint8 state;
        Keys.Key key;
        uint32 sinceDay;
        uint64 revokedAt;
        Keys.Key oldKey;
        uint32 oldSinceDay;
        uint64 graceUntil;
        uint64 oldRevokedAt;
        bytes32 contents;
    }

    /// @notice Keyed by area, day and root.
    struct Anchor {
        uint64 start;
        uint64 end;
        uint32 count;
        uint64 time;
    }

    /// @notice Keyed by device and day; `report` is the id of the command that stands.
    struct DailyEnergy {
        bytes32 report;
        uint64 generated;
        uint64 imported;
        uint64 exported;
        bytes32 signedBy;
    }

    struct Declaration {
        bytes32 area;
        bytes32 plant;
        bytes32 seller;
        uint8 mode;
        uint64 start;
        uint64 end;
        uint64 energy;
        uint64 offered;
        bytes32 basis;
    }

    struct Offer {
        bytes32 declaration;
        uint64 energy;
        uint64 price;
        uint64 committed;
        uint64 openUntil;
        uint8 state;
    }

    struct Purchase {
        bytes32 offer;
        bytes32 buyer;
        bytes32 point;
        uint64 energy;
        uint64 price;
    }

    /// @notice Keyed by area and day.
    struct Settlement {
        uint32 version;
        bytes32 root;
    }

    /// @notice Keyed by issuer, series and number.
    struct Invoice {
        bytes32 document;
        bytes32 corrects;
    }

    /// @notice Keyed by device and key id: a key that once spoke for a device never comes back to it.
    struct UsedKey {
        uint64 time;
    }

    /// @notice `head` and `count` stand for the orders placed so far; what was cleared is zero until then.
    struct Auction {
        bytes32 area;
        uint8 pricing;
        uint8 state;
        uint64 start;
        uint64 end;
        uint64 ownOrdersUntil;
        uint64 ordersUntil;
        bytes32 terms;
        uint64 count;
        bytes32 head;
        uint64 price;
        uint64 volume;
        bytes32 orders;
        bytes32 awards;
    }

    /// @notice `number` counts the auction's orders from 1.
    struct Order {
        bytes32 auction;
        bytes32 bidder;
        bytes32 commitment;
        uint64 number;
    }

    /// @notice What this ledger took over from others, one at most: `head` and `count` stand for their entries.
    /// `ledger` was closed for it; `sealedAt` and `root` are zero until sealing.
    struct Import {
        bytes32 ledger;
        uint64 count;
        bytes32 head;
        uint64 sealedAt;
        bytes32 root;
    }

    /// @notice Keyed by the id of a ledger that entries come from: the ledger that it had taken over, or zero, and the
    /// separator of its EIP-712 domain.
    struct OldLedger {
        bytes32 previous;
        bytes32 separator;
    }

    /// @notice One at most: what comes is on the ledger `successor`.
    struct Closing {
        bytes32 successor;
        uint64 time;
    }

    function genesis() internal view returns (Genesis memory) {
        return abi.decode(State.get(Hashing.stateKey(GENESIS)), (Genesis));
    }

    function findParticipant(bytes32 id) internal view returns (bool found, Participant memory record) {
        bytes memory value = State.get(Hashing.stateKey(PARTICIPANT, id));
        if (value.length != 0) return (true, abi.decode(value, (Participant)));
    }

    function putParticipant(bytes32 id, Participant memory record) internal {
        State.put(Hashing.stateKey(PARTICIPANT, id), abi.encode(record));
    }

    function findPlant(bytes32 id) internal view returns (bool found, Plant memory record) {
        bytes memory value = State.get(Hashing.stateKey(PLANT, id));
        if (value.length != 0) return (true, abi.decode(value, (Plant)));
    }

    function putPlant(bytes32 id, Plant memory record) internal {
        State.put(Hashing.stateKey(PLANT, id), abi.encode(record));
    }

    function findDevice(bytes32 id) internal view returns (bool found, Device memory record) {
        bytes memory value = State.get(Hashing.stateKey(DEVICE, id));
        if (value.length != 0) return (true, abi.decode(value, (Device)));
    }

    function putDevice(bytes32 id, Device memory record) internal {
        State.put(Hashing.stateKey(DEVICE, id), abi.encode(record));
    }

    function findDeclaration(bytes32 id) internal view returns (bool found, Declaration memory record) {
        bytes memory value = State.get(Hashing.stateKey(DECLARATION, id));
        if (value.length != 0) return (true, abi.decode(value, (Declaration)));
    }

    function putDeclaration(bytes32 id, Declaration memory record) internal {
        State.put(Hashing.stateKey(DECLARATION, id), abi.encode(record));
    }

    function findOffer(bytes32 id) internal view returns (bool found, Offer memory record) {
        bytes memory value = State.get(Hashing.stateKey(OFFER, id));
        if (value.length != 0) return (true, abi.decode(value, (Offer)));
    }

    function putOffer(bytes32 id, Offer memory record) internal {
        State.put(Hashing.stateKey(OFFER, id), abi.encode(record));
    }

    function findAuction(bytes32 id) internal view returns (bool found, Auction memory record) {
        bytes memory value = State.get(Hashing.stateKey(AUCTION, id));
        if (value.length != 0) return (true, abi.decode(value, (Auction)));
    }

    function putAuction(bytes32 id, Auction memory record) internal {
        State.put(Hashing.stateKey(AUCTION, id), abi.encode(record));
    }

    function findImport() internal view returns (bool found, Import memory record) {
        bytes memory value = State.get(Hashing.stateKey(IMPORT));
        if (value.length != 0) return (true, abi.decode(value, (Import)));
    }

    function putImport(Import memory record) internal {
        State.put(Hashing.stateKey(IMPORT), abi.encode(record));
    }

    function findOldLedger(bytes32 id) internal view returns (bool found, OldLedger memory record) {
        bytes memory value = State.get(Hashing.stateKey(OLD_LEDGER, id));
        if (value.length != 0) return (true, abi.decode(value, (OldLedger)));
    }

    function isClosed() internal view returns (bool) {
        return State.has(Hashing.stateKey(CLOSING));
    }
}
