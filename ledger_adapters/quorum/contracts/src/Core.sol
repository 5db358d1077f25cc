// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {IMarket} from "./IMarket.sol";
import {IRules} from "./IRules.sol";
import {Codec} from "./libraries/Codec.sol";
import {Codes} from "./libraries/Codes.sol";
import {Hashing} from "./libraries/Hashing.sol";
import {Keys} from "./libraries/Keys.sol";
import {Records} from "./libraries/Records.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {State} from "./libraries/State.sol";

/// @title Batches of commands
/// @notice The checks that are the same for every kind, in the order that every ledger keeps: encoding, market, known
/// id, valid until, predecessor, operator's signature. Then the kind's module checks signatures and rules.
/// @dev Nothing here or in a module catches a revert: a batch that runs out of gas leaves no outcome at all.
contract Core {
    using Codec for bytes;
    using Keys for Keys.Key;

    /// @dev A command before its turn; without a module the bytes are no command.
    struct Opened {
        address module;
        bytes32 id;
        IRules.Description description;
    }

    /// @dev What is the same for all commands of a batch.
    struct Batch {
        bytes32 ledger;
        bytes32 market;
        bytes32 separator;
        bool byUtility;
        bool isImported;
        uint64 time;
    }

    uint32 private constant MOVING = 9;
    uint32 private constant SEAL_IMPORT = 902;

    /// @notice See {IMarket-submit}.
    function submit(
        bytes[] calldata envelopes,
        bytes calldata signature
    ) external returns (uint8[] memory codes, uint64[] memory times) {
        Opened[] memory opened = new Opened[](envelopes.length);
        for (uint256 i = 0; i < envelopes.length; ++i) {
            opened[i] = _open(envelopes[i]);
        }
        Batch memory batch = _batch(envelopes, opened, signature);
        codes = new uint8[](envelopes.length);
        times = new uint64[](envelopes.length);
        for (uint256 i = 0; i < envelopes.length; ++i) {
            (codes[i], times[i]) = _apply(envelopes[i], opened[i], batch);
            if (codes[i] != Codes.ALREADY_APPLIED) {
                emit IMarket.Outcome(codes[i], times[i], opened[i].id, envelopes[i]);
            }
        }
    }

    /// @notice See {IMarket-importEntries}.
    function importEntries(uint64 start, bytes[] calldata entries, bytes calldata signature) external {
        bytes32[] memory digests = new bytes32[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            if (!entries[i].isEntry()) revert IMarket.MarketEntryRefused(i, Codes.BAD_ENCODING);
            digests[i] = Hashing.entryDigest(entries[i]);
        }
        Records.Genesis memory genesis = Records.genesis();
        if (!genesis.utility.verifies(Hashing.importDigest(genesis.ledger, start, digests), signature)) {
            revert IMarket.MarketImportRefused(Codes.OPERATOR_SIGNATURE);
        }
        (bool found, Records.Import memory taken) = Records.findImport();
        if (!found) revert IMarket.MarketImportRefused(Codes.IMPORT_NOT_OPEN);
        if (taken.sealedAt != 0) revert IMarket.MarketImportRefused(Codes.IMPORT_OVER);
        if (start != taken.count) revert IMarket.MarketImportRefused(Codes.OTHER_ENTRIES);
        for (uint256 i = 0; i < entries.length; ++i) {
            uint8 code = _take(entries[i], genesis.market);
            if (code != Codes.APPLIED) revert IMarket.MarketEntryRefused(i, code);
            taken.head = Hashing.chain(taken.head, digests[i]);
        }
        taken.count += uint64(entries.length);
        Records.putImport(taken);
    }

    /// @dev An applied entry has to give the outcome and the time that were recorded for it, in the domain of its
    /// ledger; what is about that ledger itself, and what was rejected there, is history only.
    function _take(bytes calldata entry, bytes32 market) private returns (uint8) {
        (bool found, Records.OldLedger memory old) = Records.findOldLedger(entry.oldLedgerOf());
        if (!found) return Codes.BAD_OLD_LEDGERS;
        if (!Codes.isOne(entry.codeOf())) return Codes.BAD_ENCODING;
        bytes calldata envelope = entry.envelopeOf();
        Opened memory opened = _open(envelope);
        if (entry.codeOf() == Codes.APPLIED) {
            if (opened.module == address(0)) return Codes.BAD_ENCODING;
            if (envelope.kindOf() / 100 != MOVING) {
                Batch memory batch = Batch(entry.oldLedgerOf(), market, old.separator, true, true, entry.timeOf());
                (uint8 code, uint64 time) = _apply(envelope, opened, batch);
                if (code != Codes.APPLIED || time != entry.timeOf()) return Codes.OTHER_OUTCOME;
            }
        }
        emit IMarket.Imported(uint8(entry.codeOf()), entry.timeOf(), opened.id, entry.oldLedgerOf(), envelope);
        return Codes.APPLIED;
    }

    function _open(bytes calldata envelope) private view returns (Opened memory opened) {
        if (!envelope.isEnvelope()) return opened;
        uint32 kind = envelope.kindOf();
        uint256 slot = kind / 100;
        if (slot == 0 || slot > type(uint8).max) return opened;
        address module = State.layout().modules[uint8(slot)];
        if (module == address(0)) return opened;
        bytes calldata fields = envelope.fieldsOf();
        IRules.Description memory description = IRules(module).describe(kind, fields);
        if (!description.isKnown) return opened;
        return
            Opened(module, Hashing.commandId(kind, envelope.marketOf(), envelope.nonceOf(), fields), description);
    }

    /// @dev The operator's signature is checked once, and only where a command asks for it.
    function _batch(
        bytes[] calldata envelopes,
        Opened[] memory opened,
        bytes calldata signature
    ) private view returns (Batch memory) {
        Records.Genesis memory genesis = Records.genesis();
        bytes32[] memory digests = new bytes32[](opened.length);
        bool isAsked = false;
        for (uint256 i = 0; i < opened.length; ++i) {
            if (opened[i].module == address(0)) continue;
            bytes calldata envelope = envelopes[i];
            digests[i] = Hashing.signDigest(
                genesis.ledger,
                opened[i].id,
                envelope.predecessorOf(),
                envelope.validUntilOf()
            );
            isAsked = isAsked || opened[i].description.byUtility;
        }
        return
            Batch({
                ledger: genesis.ledger,
                market: genesis.market,
                separator: Signatures.domainSeparator(genesis.ledger),
                byUtility: isAsked && genesis.utility.verifies(Hashing.batchDigest(genesis.ledger, digests), signature),
                isImported: false,
                time: uint64(block.timestamp)
            });
    }

    function _apply(
        bytes calldata envelope,
        Opened memory opened,
        Batch memory batch
    ) private returns (uint8 code, uint64 time) {
        if (opened.module == address(0)) return (Codes.BAD_ENCODING, batch.time);
        if (envelope.marketOf() != batch.market) return (Codes.WRONG_MARKET, batch.time);
        bytes32 applied = Hashing.stateKey(Records.APPLIED_ID, opened.id);
        bytes memory known = State.get(applied);
        if (known.length != 0) return (Codes.ALREADY_APPLIED, abi.decode(known, (Records.AppliedId)).time);
        time = _timeIn(opened.description.domain, batch.time);
        code = _check(envelope, opened, batch, time);
        if (code == Codes.APPLIED) {
            State.put(opened.description.domain, abi.encode(Records.Domain(time)));
            State.put(applied, abi.encode(Records.AppliedId(envelope.kindOf(), time)));
        }
    }

    /// @dev No command happens before the one that came before it in its domain.
    function _timeIn(bytes32 domain, uint64 time) private view returns (uint64) {
        bytes memory last = State.get(domain);
        if (last.length == 0) return time;
        uint64 lastTime = abi.decode(last, (Records.Domain)).time;
        return lastTime > time ? lastTime : time;
    }

    function _check(
        bytes calldata envelope,
        Opened memory opened,
        Batch memory batch,
        uint64 time
    ) private returns (uint8) {
        uint8 gate = batch.isImported ? Codes.APPLIED : _gate(envelope.kindOf());
        if (gate != Codes.APPLIED) return gate;
        uint64 validUntil = envelope.validUntilOf();
        if (validUntil != 0 && time > validUntil) return Codes.EXPIRED;
        bytes32 predecessor = envelope.predecessorOf();
        if (predecessor != 0 && !State.has(Hashing.stateKey(Records.APPLIED_ID, predecessor))) {
            return Codes.PREDECESSOR_MISSING;
        }
        if (opened.description.byUtility && !batch.byUtility) return Codes.OPERATOR_SIGNATURE;
        IRules.Context memory context = IRules.Context(opened.id, time, batch.ledger, batch.separator);
        bytes memory code = Address.functionDelegateCall(
            opened.module,
            abi.encodeCall(IRules.execute, (envelope, context))
        );
        return abi.decode(code, (uint8));
    }

    /// @dev A closed ledger takes nothing more; while an import is open, only its sealing.
    function _gate(uint32 kind) private view returns (uint8) {
        if (Records.isClosed()) return Codes.LEDGER_CLOSED;
        (bool found, Records.Import memory taken) = Records.findImport();
        return found && taken.sealedAt == 0 && kind != SEAL_IMPORT ? Codes.IMPORT_OPEN : Codes.APPLIED;
    }
}
