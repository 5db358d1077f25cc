"""Which failure may be tried again, and how."""

import pickle

import grpc
import pytest

from ledger_adapters.fabric.gateway import (
    CommitError,
    CommitStatusError,
    EndorseError,
    ErrorDetail,
    EvaluateError,
    EventsError,
    GatewayError,
    Retry,
    SubmitError,
    ValidationCode,
)

Code = grpc.StatusCode
SAME, NEW, NONE = Retry.SAME_TRANSACTION, Retry.NEW_TRANSACTION, Retry.NONE
PHASES = [EvaluateError, EndorseError, SubmitError, CommitStatusError, EventsError]


def details(*messages: str) -> tuple[ErrorDetail, ...]:
    return tuple(ErrorDetail(f"peer{n}:7051", f"Org{n}MSP", message) for n, message in enumerate(messages))


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.INTERNAL])
def test_what_may_pass_is_tried_again_unchanged(phase: type[GatewayError], code: grpc.StatusCode) -> None:
    assert phase(code, "gone").retry is SAME


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    "code",
    [Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.NOT_FOUND, Code.UNIMPLEMENTED, Code.RESOURCE_EXHAUSTED],
)
def test_what_will_not_pass_is_not_tried_again(phase: type[GatewayError], code: grpc.StatusCode) -> None:
    assert phase(code, "no").retry is NONE


@pytest.mark.parametrize("phase", PHASES)
def test_a_busy_peer_is_asked_again(phase: type[GatewayError]) -> None:
    message = "too many requests for /gateway.Gateway, exceeding concurrency limit (500)"
    assert phase(Code.UNKNOWN, message).retry is SAME


@pytest.mark.parametrize(
    ("said", "retry"),
    [
        (["chaincode response 500, offer is closed"], NONE),
        (["chaincode stream terminated", "chaincode response 500, offer is closed"], NONE),
        (["ProposalResponsePayloads do not match"], NEW),
        (["ProposalResponsePayloads do not match", "chaincode response 500, no"], NONE),
        (["error in simulation: failed to execute transaction ab: chaincode stream terminated"], SAME),
        (["error in simulation: failed to execute transaction ab: timeout expired while executing transaction"], SAME),
        (["rpc error: code = Unavailable desc = connection refused"], SAME),
        (["error validating proposal: access denied: channel [mychannel] creator org [Org1MSP]"], NONE),
        (["duplicate transaction found [ab]. Creator [cd]"], NONE),
    ],
)
def test_a_failed_endorsement_is_judged_by_what_the_endorsers_said(said: list[str], retry: Retry) -> None:
    assert EndorseError(Code.ABORTED, "failed to endorse transaction", details(*said)).retry is retry


@pytest.mark.parametrize(
    ("message", "retry"),
    [
        ("no combination of peers can be derived which satisfy the endorsement policy: unavailable", SAME),
        ("no peers available to evaluate chaincode basic in channel mychannel", SAME),
        (
            "failed to select a set of endorsers that satisfy the endorsement policy due to unavailability of peers",
            SAME,
        ),
        ("requires endorsement from organisation(s) that are not in the distribution policy", NONE),
    ],
)
def test_missing_peers_may_come_back(message: str, retry: Retry) -> None:
    assert EndorseError(Code.FAILED_PRECONDITION, message).retry is retry
    assert EvaluateError(Code.FAILED_PRECONDITION, message).retry is retry


def test_an_endorser_that_refuses_the_proposal_is_not_asked_again() -> None:
    error = EvaluateError(Code.FAILED_PRECONDITION, "evaluate call failed", details("any words of a later Fabric"))
    assert error.retry is NONE


def test_the_chaincodes_refusal_can_be_read() -> None:
    refused = details("chaincode stream terminated", "chaincode response 404, no such offer,\nreally")
    assert EndorseError(Code.ABORTED, "", refused).chaincode_response == (404, "no such offer,\nreally")
    assert EvaluateError(Code.UNKNOWN, "", refused).chaincode_response == (404, "no such offer,\nreally")
    assert EvaluateError(Code.UNKNOWN, "", refused).retry is NONE
    assert EndorseError(Code.ABORTED, "", details("x")).chaincode_response is None


def test_a_used_id_is_recognised() -> None:
    assert EndorseError(Code.ABORTED, "", details("duplicate transaction found [ab]. Creator [cd]")).duplicate
    assert not EndorseError(Code.ABORTED, "", details("chaincode stream terminated")).duplicate


def test_an_orderers_refusal_is_known_and_anything_else_is_not() -> None:
    refused = SubmitError(Code.ABORTED, "received unsuccessful response from orderer: status=FORBIDDEN")
    assert (refused.retry, refused.outcome_unknown) == (NONE, False)
    for code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.UNKNOWN, Code.INTERNAL):
        assert SubmitError(code, "").outcome_unknown


def test_a_ledger_that_closes_is_asked_for_the_status_again() -> None:
    assert CommitStatusError(Code.ABORTED, "unexpected close of commit notification channel").retry is SAME


@pytest.mark.parametrize("code", [code for code in ValidationCode if code is not ValidationCode.VALID])
def test_an_invalid_transaction_is_built_anew_if_the_state_moved_on(code: ValidationCode) -> None:
    moved_on = {"MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT", "ENDORSEMENT_POLICY_FAILURE"}
    moved_on |= {"EXPIRED_CHAINCODE", "CHAINCODE_VERSION_CONFLICT"}
    error = CommitError("ab", code, 7)
    assert error.retry is (NEW if code.name in moved_on else NONE)
    assert str(error) == f"transaction ab is invalid in block 7: {code.name}"


def test_a_code_of_a_newer_fabric_is_told_by_number() -> None:
    error = CommitError("ab", 77, 7)
    assert error.retry is NONE
    assert "code 77" in str(error)


def test_an_error_names_phase_transaction_and_every_peer() -> None:
    error = EndorseError(Code.ABORTED, "failed to endorse transaction", details("a", "b"), "ab12")
    assert str(error) == (
        "endorsement of ab12 failed: ABORTED: failed to endorse transaction; "
        "Org0MSP (peer0:7051): a; Org1MSP (peer1:7051): b"
    )


@pytest.mark.parametrize(
    "error", [SubmitError(Code.ABORTED, "no", details("a"), "ab"), CommitError("ab", ValidationCode.BAD_RWSET, 7)]
)
def test_errors_can_be_pickled(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, str(copy)) == (type(error), error.args, str(error))
