"""Private keys in PEM files."""

from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from evidence.keys import Algorithm, SoftwareKey

CURVES: dict[Algorithm, ec.EllipticCurve] = {Algorithm.P256: ec.SECP256R1(), Algorithm.SECP256K1: ec.SECP256K1()}
ALGORITHMS = {curve.name: algorithm for algorithm, curve in CURVES.items()}


@dataclass(frozen=True, slots=True)
class Software:
    """Makes keys of `algorithm`, and loads those of either."""

    algorithm: Algorithm = Algorithm.P256

    def make(self) -> bytes:
        key = ec.generate_private_key(CURVES[self.algorithm])
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def load(self, content: bytes) -> SoftwareKey:
        """Raises ValueError with what the content is not."""
        try:
            key = load_pem_private_key(content, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("does not hold an unencrypted private key in PEM form") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in ALGORITHMS:
            raise ValueError("holds a key of another kind than P-256 and secp256k1")
        return SoftwareKey(ALGORITHMS[key.curve.name], key.private_numbers().private_value.to_bytes(32, "big"))
