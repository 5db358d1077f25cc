"""The outcomes of a command. Numbers are frozen: an outcome recorded today is read in twenty years."""

from enum import IntEnum


class Code(IntEnum):
    """`APPLIED` and `ALREADY_APPLIED` are success; every other code names the first check that failed."""

    APPLIED = 0
    ALREADY_APPLIED = 1

    # Encoding, known id, valid_until, predecessor, signatures: the same for every kind, in this order.
    BAD_ENCODING = 10
    WRONG_MARKET = 11
    EXPIRED = 12
    PREDECESSOR_MISSING = 13
    OPERATOR_SIGNATURE = 14
    SIGNATURE_COUNT = 15
    WRONG_SIGNER = 16
    BAD_SIGNATURE = 17
    KEY_REVOKED = 18

    # Records named by a command.
    PARTICIPANT_UNKNOWN = 20
    PARTICIPANT_INACTIVE = 21
    PLANT_UNKNOWN = 22
    PLANT_INACTIVE = 23
    DEVICE_UNKNOWN = 24
    DEVICE_INACTIVE = 25
    DECLARATION_UNKNOWN = 26
    OFFER_UNKNOWN = 27
    NOT_OF_THIS_RECORD = 28
    AUCTION_UNKNOWN = 29

    # Registry
    ALREADY_REGISTERED = 30
    BAD_KEY = 31
    BAD_ROLE = 32
    BAD_STATE = 33
    KEY_UNKNOWN = 34
    KEY_ALREADY_REVOKED = 35
    SAME_KEY = 36
    NOT_THE_OWNER = 37
    BAD_CUSTODY = 38
    GRACE_RUNNING = 39

    # Metering
    EMPTY_WINDOW = 40
    ALREADY_ANCHORED = 41
    ALREADY_REPORTED = 42
    NOTHING_TO_CORRECT = 43
    OUTSIDE_KEY_TIME = 44
    NOTHING_ANCHORED = 45
    NOT_ASCENDING = 46

    # Offers
    NO_ENERGY = 50
    MORE_THAN_DECLARED = 51
    MORE_THAN_OFFERED = 52
    OFFER_NOT_OPEN = 53
    OFFER_OVER = 54
    DELIVERY_STARTED = 55
    NOT_YET_MEASURED = 56
    OWN_OFFER = 57
    STILL_OPEN = 58
    BAD_MODE = 59

    # Settlement and billing
    VERSION_NOT_NEXT = 60
    OTHER_PREVIOUS_ROOT = 61
    DOES_NOT_ADD_UP = 62
    NUMBER_TAKEN = 70
    NUMBER_ZERO = 71
    OVERFLOW = 80

    # Auctions
    BAD_PRICING = 90
    BAD_DEADLINES = 91
    ORDERS_OVER = 92
    ORDERS_STILL_OPEN = 93
    ALREADY_CLEARED = 94
    OTHER_ORDERS = 95

    # Moving from one ledger to another
    IMPORT_OPEN = 100
    LEDGER_CLOSED = 101
    IMPORT_NOT_OPEN = 102
    IMPORT_OVER = 103
    OTHER_ENTRIES = 104
    BAD_OLD_LEDGERS = 105
    OTHER_OUTCOME = 106

    @property
    def is_success(self) -> bool:
        return self in (Code.APPLIED, Code.ALREADY_APPLIED)


class ContractError(Exception):
    """A command breaks a rule; `code` says which."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code
