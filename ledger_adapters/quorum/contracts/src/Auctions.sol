// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IRules} from "./IRules.sol";
import {Codec} from "./libraries/Codec.sol";
import {Codes} from "./libraries/Codes.sol";
import {Hashing} from "./libraries/Hashing.sol";
import {Kinds} from "./libraries/Kinds.sol";
import {Participants} from "./libraries/Participants.sol";
import {Records} from "./libraries/Records.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {State} from "./libraries/State.sol";

/// @title Auctions with sealed orders
/// @notice Every order is on the ledger before anybody can know how the auction ends.
contract Auctions is IRules {
    using Codec for bytes;
    using Kinds for bytes;

    uint32 private constant OPEN_AUCTION = 401;
    uint32 private constant PLACE_ORDER = 402;
    uint32 private constant CLEAR_AUCTION = 403;

    // Uniform (1), pay as bid (2), ascending (3)
    uint8 private constant FIRST_PRICING = 1;
    uint8 private constant LAST_PRICING = 3;

    uint8 private constant OPEN = 1;
    uint8 private constant CLEARED = 2;

    // The role of participants whose orders end before the others'
    uint8 private constant UTILITY = 1;

    // Ledger time is exact to 60 seconds on either side, so that twice that lies between the last order and clearing.
    uint256 private constant CLEARING_DELAY = 120;

    bytes32 private constant PLACE_ORDER_TYPE =
        keccak256(
            "PlaceOrder(bytes32 order,bytes32 auction,bytes32 bidder,bytes32 commitment,"
            "bytes32 nonce,bytes32 after,uint64 validUntil)"
        );

    struct OpenAuction {
        bytes32 auction;
        bytes32 area;
        uint8 pricing;
        uint64 start;
        uint64 end;
        uint64 ownOrdersUntil;
        uint64 ordersUntil;
        bytes32 terms;
    }

    struct PlaceOrder {
        bytes32 order;
        bytes32 auction;
        bytes32 bidder;
        bytes32 commitment;
    }

    struct ClearAuction {
        bytes32 auction;
        uint64 price;
        uint64 volume;
        uint64 count;
        bytes32 head;
        bytes32 orders;
        bytes32 awards;
    }

    /// @inheritdoc IRules
    function describe(uint32 kind, bytes calldata fields) external pure returns (Description memory description) {
        if (kind == OPEN_AUCTION) return fields.byUtility(hex"0000084040404000", Records.AUCTION, 0);
        if (kind == PLACE_ORDER) return fields.bySigners(hex"00000000", Records.AUCTION, 1);
        if (kind == CLEAR_AUCTION) return fields.byUtility(hex"00404040000000", Records.AUCTION, 0);
    }

    /// @inheritdoc IRules
    function execute(bytes calldata envelope, Context calldata context) external returns (uint8) {
        uint32 kind = envelope.kindOf();
        if (kind == PLACE_ORDER) return _place(envelope, context);
        uint8 code = Signatures.checkNone(envelope);
        if (code != Codes.APPLIED) return code;
        bytes calldata fields = envelope.fieldsOf();
        if (kind == OPEN_AUCTION) return _open(abi.decode(fields, (OpenAuction)), context.time);
        return _clear(abi.decode(fields, (ClearAuction)), context.time);
    }

    function _open(OpenAuction memory fields, uint64 time) private returns (uint8) {
        (bool found, Records.Auction memory auction) = Records.findAuction(fields.auction);
        if (found) return Codes.ALREADY_REGISTERED;
        if (fields.pricing < FIRST_PRICING || fields.pricing > LAST_PRICING) return Codes.BAD_PRICING;
        if (fields.start >= fields.end) return Codes.EMPTY_WINDOW;
        bool inOrder = time < fields.ownOrdersUntil && fields.ownOrdersUntil < fields.ordersUntil;
        if (!inOrder) return Codes.BAD_DEADLINES;
        auction.area = fields.area;
        auction.pricing = fields.pricing;
        auction.state = OPEN;
        auction.start = fields.start;
        auction.end = fields.end;
        auction.ownOrdersUntil = fields.ownOrdersUntil;
        auction.ordersUntil = fields.ordersUntil;
        auction.terms = fields.terms;
        Records.putAuction(fields.auction, auction);
        return Codes.APPLIED;
    }

    function _place(bytes calldata envelope, Context calldata context) private returns (uint8) {
        PlaceOrder memory fields = abi.decode(envelope.fieldsOf(), (PlaceOrder));
        (uint8 code, Records.Participant memory bidder) = Participants.checkActor(
            envelope,
            context,
            fields.bidder,
            PLACE_ORDER_TYPE
        );
        if (code != Codes.APPLIED) return code;
        (bool found, Records.Auction memory auction) = Records.findAuction(fields.auction);
        if (!found) return Codes.AUCTION_UNKNOWN;
        bytes32 key = Hashing.stateKey(Records.ORDER, fields.order);
        if (State.has(key)) return Codes.ALREADY_REGISTERED;
        uint64 deadline = bidder.role == UTILITY ? auction.ownOrdersUntil : auction.ordersUntil;
        if (context.time > deadline) return Codes.ORDERS_OVER;
        if (auction.count == type(uint64).max) return Codes.OVERFLOW;
        ++auction.count;
        auction.head = Hashing.chain(auction.head, fields.order);
        Records.putAuction(fields.auction, auction);
        State.put(
            key,
            abi.encode(Records.Order(fields.auction, fields.bidder, fields.commitment, auction.count))
        );
        return Codes.APPLIED;
    }

    function _clear(ClearAuction memory fields, uint64 time) private returns (uint8) {
        (bool found, Records.Auction memory auction) = Records.findAuction(fields.auction);
        if (!found) return Codes.AUCTION_UNKNOWN;
        if (auction.state != OPEN) return Codes.ALREADY_CLEARED;
        if (time < uint256(auction.ordersUntil) + CLEARING_DELAY) return Codes.ORDERS_STILL_OPEN;
        if (fields.count != auction.count || fields.head != auction.head) return Codes.OTHER_ORDERS;
        auction.state = CLEARED;
        auction.price = fields.price;
        auction.volume = fields.volume;
        auction.orders = fields.orders;
        auction.awards = fields.awards;
        Records.putAuction(fields.auction, auction);
        return Codes.APPLIED;
    }
}
