// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title What becomes of a command
/// @notice The numbers are those of every other ledger of the market and never change. `APPLIED` and
/// `ALREADY_APPLIED` are success; every other code names the first check that failed.
library Codes {
    uint8 internal constant APPLIED = 0;
    uint8 internal constant ALREADY_APPLIED = 1;

    // The same for every kind, in this order.
    uint8 internal constant BAD_ENCODING = 10;
    uint8 internal constant WRONG_MARKET = 11;
    uint8 internal constant EXPIRED = 12;
    uint8 internal constant PREDECESSOR_MISSING = 13;
    uint8 internal constant OPERATOR_SIGNATURE = 14;
    uint8 internal constant SIGNATURE_COUNT = 15;
    uint8 internal constant WRONG_SIGNER = 16;
    uint8 internal constant BAD_SIGNATURE = 17;
    uint8 internal constant KEY_REVOKED = 18;

    // Records named by a command
    uint8 internal constant PARTICIPANT_UNKNOWN = 20;
    uint8 internal constant PARTICIPANT_INACTIVE = 21;
    uint8 internal constant PLANT_UNKNOWN = 22;
    uint8 internal constant PLANT_INACTIVE = 23;
    uint8 internal constant DEVICE_UNKNOWN = 24;
    uint8 internal constant DEVICE_INACTIVE = 25;
    uint8 internal constant DECLARATION_UNKNOWN = 26;
    uint8 internal constant OFFER_UNKNOWN = 27;
    uint8 internal constant NOT_OF_THIS_RECORD = 28;
    uint8 internal constant AUCTION_UNKNOWN = 29;

    // Registry
    uint8 internal constant ALREADY_REGISTERED = 30;
    uint8 internal constant BAD_KEY = 31;
    uint8 internal constant BAD_ROLE = 32;
    uint8 internal constant BAD_STATE = 33;
    uint8 internal constant KEY_UNKNOWN = 34;
    uint8 internal constant KEY_ALREADY_REVOKED = 35;
    uint8 internal constant SAME_KEY = 36;
    uint8 internal constant NOT_THE_OWNER = 37;
    uint8 internal constant BAD_CUSTODY = 38;
    uint8 internal constant GRACE_RUNNING = 39;

    // Metering
    uint8 internal constant EMPTY_WINDOW = 40;
    uint8 internal constant ALREADY_ANCHORED = 41;
    uint8 internal constant ALREADY_REPORTED = 42;
    uint8 internal constant NOTHING_TO_CORRECT = 43;
    uint8 internal constant OUTSIDE_KEY_TIME = 44;
    uint8 internal constant NOTHING_ANCHORED = 45;
    uint8 internal constant NOT_ASCENDING = 46;

    // Offers
    uint8 internal constant NO_ENERGY = 50;
    uint8 internal constant MORE_THAN_DECLARED = 51;
    uint8 internal constant MORE_THAN_OFFERED = 52;
    uint8 internal constant OFFER_NOT_OPEN = 53;
    uint8 internal constant OFFER_OVER = 54;
    uint8 internal constant DELIVERY_STARTED = 55;
    uint8 internal constant NOT_YET_MEASURED = 56;
    uint8 internal constant OWN_OFFER = 57;
    uint8 internal constant STILL_OPEN = 58;
    uint8 internal constant BAD_MODE = 59;

    // Settlement and billing
    uint8 internal constant VERSION_NOT_NEXT = 60;
    uint8 internal constant OTHER_PREVIOUS_ROOT = 61;
    uint8 internal constant DOES_NOT_ADD_UP = 62;
    uint8 internal constant NUMBER_TAKEN = 70;
    uint8 internal constant NUMBER_ZERO = 71;
    uint8 internal constant OVERFLOW = 80;

    // Auctions
    uint8 internal constant BAD_PRICING = 90;
    uint8 internal constant BAD_DEADLINES = 91;
    uint8 internal constant ORDERS_OVER = 92;
    uint8 internal constant ORDERS_STILL_OPEN = 93;
    uint8 internal constant ALREADY_CLEARED = 94;
    uint8 internal constant OTHER_ORDERS = 95;

    // Moving from one ledger to another
    uint8 internal constant IMPORT_OPEN = 100;
    uint8 internal constant LEDGER_CLOSED = 101;
    uint8 internal constant IMPORT_NOT_OPEN = 102;
    uint8 internal constant IMPORT_OVER = 103;
    uint8 internal constant OTHER_ENTRIES = 104;
    uint8 internal constant BAD_OLD_LEDGERS = 105;
    uint8 internal constant OTHER_OUTCOME = 106;

    // A bit for each of the numbers above
    uint256 private constant ALL = 0x7f0fc0100c07ffc7ffffff7fc03;

    function isOne(uint256 code) internal pure returns (bool) {
        return code <= type(uint8).max && (ALL >> code) & 1 == 1;
    }
}
