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

/// @title Surplus declared for sale, offers on it, and purchases
/// @notice Committed ≤ offered ≤ declared, whoever asks.
contract Offers is IRules {
    using Codec for bytes;
    using Kinds for bytes;

    uint32 private constant DECLARE_SURPLUS = 301;
    uint32 private constant PUBLISH_OFFER = 302;
    uint32 private constant COMMIT_PURCHASE = 303;
    uint32 private constant WITHDRAW_OFFER = 304;
    uint32 private constant CLOSE_OFFER = 305;

    // A metered surplus lies in the past, a forecast one in the future.
    uint8 private constant METERED = 1;
    uint8 private constant FORECAST = 2;

    // States of an offer
    uint8 private constant OPEN = 1;
    uint8 private constant WITHDRAWN = 2;
    uint8 private constant CLOSED = 3;

    bytes32 private constant PUBLISH_OFFER_TYPE =
        keccak256(
            "PublishOffer(bytes32 offer,bytes32 declaration,bytes32 seller,uint64 energy,uint64 price,uint64 openUntil,"
            "bytes32 nonce,bytes32 after,uint64 validUntil)"
        );
    bytes32 private constant COMMIT_PURCHASE_TYPE =
        keccak256(
            "CommitPurchase(bytes32 purchase,bytes32 offer,bytes32 declaration,bytes32 buyer,bytes32 point,"
            "uint64 energy,bytes32 nonce,bytes32 after,uint64 validUntil)"
        );
    bytes32 private constant WITHDRAW_OFFER_TYPE =
        keccak256(
            "WithdrawOffer(bytes32 offer,bytes32 declaration,bytes32 seller,"
            "bytes32 nonce,bytes32 after,uint64 validUntil)"
        );

    struct DeclareSurplus {
        bytes32 declaration;
        bytes32 area;
        bytes32 plant;
        bytes32 seller;
        uint8 mode;
        uint64 start;
        uint64 end;
        uint64 energy;
        bytes32 basis;
    }

    struct PublishOffer {
        bytes32 offer;
        bytes32 declaration;
        bytes32 seller;
        uint64 energy;
        uint64 price;
        uint64 openUntil;
    }

    struct CommitPurchase {
        bytes32 purchase;
        bytes32 offer;
        bytes32 declaration;
        bytes32 buyer;
        bytes32 point;
        uint64 energy;
    }

    struct WithdrawOffer {
        bytes32 offer;
        bytes32 declaration;
        bytes32 seller;
    }

    struct CloseOffer {
        bytes32 offer;
        bytes32 declaration;
    }

    /// @inheritdoc IRules
    function describe(uint32 kind, bytes calldata fields) external pure returns (Description memory description) {
        if (kind == DECLARE_SURPLUS) return fields.byUtility(hex"000000000840404000", Records.DECLARATION, 0);
        if (kind == PUBLISH_OFFER) return fields.bySigners(hex"000000404040", Records.DECLARATION, 1);
        if (kind == COMMIT_PURCHASE) return fields.bySigners(hex"000000000040", Records.DECLARATION, 2);
        if (kind == WITHDRAW_OFFER) return fields.bySigners(hex"000000", Records.DECLARATION, 1);
        if (kind == CLOSE_OFFER) return fields.byUtility(hex"0000", Records.DECLARATION, 1);
    }

    /// @inheritdoc IRules
    function execute(bytes calldata envelope, Context calldata context) external returns (uint8) {
        uint32 kind = envelope.kindOf();
        if (kind == PUBLISH_OFFER) return _publish(envelope, context);
        if (kind == COMMIT_PURCHASE) return _commit(envelope, context);
        if (kind == WITHDRAW_OFFER) return _withdraw(envelope, context);
        uint8 code = Signatures.checkNone(envelope);
        if (code != Codes.APPLIED) return code;
        bytes calldata fields = envelope.fieldsOf();
        if (kind == DECLARE_SURPLUS) return _declare(abi.decode(fields, (DeclareSurplus)), context.time);
        return _close(abi.decode(fields, (CloseOffer)), context.time);
    }

    function _declare(DeclareSurplus memory fields, uint64 time) private returns (uint8) {
        uint8 code = Participants.checkActive(fields.seller);
        if (code != Codes.APPLIED) return code;
        (bool isPlantFound, Records.Plant memory plant) = Records.findPlant(fields.plant);
        if (!isPlantFound) return Codes.PLANT_UNKNOWN;
        if (plant.state != Records.ACTIVE) return Codes.PLANT_INACTIVE;
        if (plant.owner != fields.seller || plant.area != fields.area) return Codes.NOT_OF_THIS_RECORD;
        (bool found, Records.Declaration memory declaration) = Records.findDeclaration(fields.declaration);
        if (found) return Codes.ALREADY_REGISTERED;
        if (fields.mode != METERED && fields.mode != FORECAST) return Codes.BAD_MODE;
        if (fields.start >= fields.end) return Codes.EMPTY_WINDOW;
        if (fields.energy == 0) return Codes.NO_ENERGY;
        if (fields.mode == METERED && fields.end > time) return Codes.NOT_YET_MEASURED;
        if (fields.mode == FORECAST && fields.start <= time) return Codes.DELIVERY_STARTED;
        declaration.area = fields.area;
        declaration.plant = fields.plant;
        declaration.seller = fields.seller;
        declaration.mode = fields.mode;
        declaration.start = fields.start;
        declaration.end = fields.end;
        declaration.energy = fields.energy;
        declaration.basis = fields.basis;
        Records.putDeclaration(fields.declaration, declaration);
        return Codes.APPLIED;
    }

    function _publish(bytes calldata envelope, Context calldata context) private returns (uint8) {
        PublishOffer memory fields = abi.decode(envelope.fieldsOf(), (PublishOffer));
        (uint8 code, ) = Participants.checkActor(envelope, context, fields.seller, PUBLISH_OFFER_TYPE);
        if (code != Codes.APPLIED) return code;
        (bool isDeclared, Records.Declaration memory declared) = Records.findDeclaration(fields.declaration);
        if (!isDeclared) return Codes.DECLARATION_UNKNOWN;
        if (declared.seller != fields.seller) return Codes.NOT_THE_OWNER;
        (bool found, ) = Records.findOffer(fields.offer);
        if (found) return Codes.ALREADY_REGISTERED;
        if (fields.energy == 0) return Codes.NO_ENERGY;
        if (uint256(declared.offered) + fields.energy > declared.energy) return Codes.MORE_THAN_DECLARED;
        if (fields.openUntil <= context.time) return Codes.OFFER_OVER;
        if (declared.mode == FORECAST && context.time >= declared.start) return Codes.DELIVERY_STARTED;
        declared.offered += fields.energy;
        Records.putDeclaration(fields.declaration, declared);
        Records.putOffer(
            fields.offer,
            Records.Offer(fields.declaration, fields.energy, fields.price, 0, fields.openUntil, OPEN)
        );
        return Codes.APPLIED;
    }

    function _commit(bytes calldata envelope, Context calldata context) private returns (uint8) {
        CommitPurchase memory fields = abi.decode(envelope.fieldsOf(), (CommitPurchase));
        (uint8 code, ) = Participants.checkActor(envelope, context, fields.buyer, COMMIT_PURCHASE_TYPE);
        if (code != Codes.APPLIED) return code;
        (bool isDeclared, Records.Declaration memory declared) = Records.findDeclaration(fields.declaration);
        if (!isDeclared) return Codes.DECLARATION_UNKNOWN;
        Records.Offer memory offer;
        (code, offer) = _openOffer(fields.offer, fields.declaration);
        if (code != Codes.APPLIED) return code;
        bytes32 key = Hashing.stateKey(Records.PURCHASE, fields.purchase);
        if (State.has(key)) return Codes.ALREADY_REGISTERED;
        if (fields.buyer == declared.seller) return Codes.OWN_OFFER;
        if (fields.energy == 0) return Codes.NO_ENERGY;
        if (context.time > offer.openUntil) return Codes.OFFER_OVER;
        if (declared.mode == FORECAST && context.time >= declared.start) return Codes.DELIVERY_STARTED;
        if (uint256(offer.committed) + fields.energy > offer.energy) return Codes.MORE_THAN_OFFERED;
        offer.committed += fields.energy;
        Records.putOffer(fields.offer, offer);
        State.put(
            key,
            abi.encode(Records.Purchase(fields.offer, fields.buyer, fields.point, fields.energy, offer.price))
        );
        return Codes.APPLIED;
    }

    function _withdraw(bytes calldata envelope, Context calldata context) private returns (uint8) {
        WithdrawOffer memory fields = abi.decode(envelope.fieldsOf(), (WithdrawOffer));
        (uint8 code, ) = Participants.checkSigner(envelope, context, fields.seller, WITHDRAW_OFFER_TYPE);
        if (code != Codes.APPLIED) return code;
        (bool isDeclared, Records.Declaration memory declared) = Records.findDeclaration(fields.declaration);
        if (!isDeclared) return Codes.DECLARATION_UNKNOWN;
        Records.Offer memory offer;
        (code, offer) = _openOffer(fields.offer, fields.declaration);
        if (code != Codes.APPLIED) return code;
        if (declared.seller != fields.seller) return Codes.NOT_THE_OWNER;
        offer.state = WITHDRAWN;
        return _end(fields.offer, offer);
    }

    /// @dev Anybody who runs the market may close an offer that is over or sold out, nobody one that still sells.
    function _close(CloseOffer memory fields, uint64 time) private returns (uint8) {
        (uint8 code, Records.Offer memory offer) = _openOffer(fields.offer, fields.declaration);
        if (code != Codes.APPLIED) return code;
        if (time <= offer.openUntil && offer.committed != offer.energy) return Codes.STILL_OPEN;
        offer.state = CLOSED;
        return _end(fields.offer, offer);
    }

    function _openOffer(bytes32 id, bytes32 declaration) private view returns (uint8, Records.Offer memory) {
        (bool found, Records.Offer memory offer) = Records.findOffer(id);
        if (!found) return (Codes.OFFER_UNKNOWN, offer);
        if (offer.declaration != declaration) return (Codes.NOT_OF_THIS_RECORD, offer);
        return (offer.state == OPEN ? Codes.APPLIED : Codes.OFFER_NOT_OPEN, offer);
    }

    /// @dev What was offered and not bought goes back to the declaration.
    function _end(bytes32 id, Records.Offer memory offer) private returns (uint8) {
        (bool found, Records.Declaration memory declared) = Records.findDeclaration(offer.declaration);
        if (!found) return Codes.DECLARATION_UNKNOWN;
        int256 offered = int256(uint256(declared.offered)) + int256(uint256(offer.committed));
        offered -= int256(uint256(offer.energy));
        if (offered < 0 || offered > int256(uint256(type(uint64).max))) return Codes.OVERFLOW;
        declared.offered = uint64(uint256(offered));
        Records.putDeclaration(offer.declaration, declared);
        Records.putOffer(id, offer);
        return Codes.APPLIED;
    }
}
