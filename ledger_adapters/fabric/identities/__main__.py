"""python -m ledger_adapters.fabric.identities enrol|show|renew|register|revoke|crl|identities|exclude …"""

import argparse
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from ledger_adapters.exceptions import LedgerError
from ledger_adapters.fabric.identities.authority import Attribute, Authority, Reason
from ledger_adapters.fabric.identities.enrolment import enrol, is_due, renew
from ledger_adapters.fabric.identities.exclusion import exclude
from ledger_adapters.fabric.identities.folder import IdentityFolder

Options = argparse.Namespace


def do_enrol(options: Options) -> None:
    authority = Authority(options.ca, options.tls_ca, options.hfc_python, options.ca_name, options.timeout)
    secret = sys.stdin.readline() if str(options.secret_file) == "-" else options.secret_file.read_text("utf-8")
    enrol(options.folder, authority, options.id, secret.rstrip("\r\n"))
    do_show(options)


def do_show(options: Options) -> None:
    certificate = options.folder.identity().identity.x509
    [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    ends = certificate.not_valid_after_utc
    print(f"{name.value}, issued by {certificate.issuer.rfc4514_string()}, serial number {certificate.serial_number:x}")
    print(f"good until {ends.isoformat()} ({(ends - datetime.now(UTC)).days} days)")
    print(f"CERTIFICATE {options.folder.certificate}\nPRIVATE_KEY {options.folder.private_key}")


def do_renew(options: Options) -> None:
    if options.always or is_due(options.folder, timedelta(days=options.before)):
        renew(options.folder)
        do_show(options)
    else:
        print(f"not due: good until {options.folder.ends().isoformat()}")


def do_register(options: Options) -> None:
    # Before there is a secret, there has to be a place for it.
    with os.fdopen(os.open(options.secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        try:
            secret = options.folder.authority().register(
                options.folder.identity(),
                options.id,
                type=options.type,
                affiliation=options.affiliation,
                most_enrolments=options.most_enrolments,
                attributes=options.attribute,
            )
        except LedgerError:
            options.secret_file.unlink()
            raise
        file.write(secret + "\n")
    print(f"{options.id} is registered; the secret to enrol with is in {options.secret_file}")


def do_revoke(options: Options) -> None:
    authority, by = options.folder.authority(), options.folder.identity()
    if options.certificate:
        certificate = x509.load_pem_x509_certificate(options.certificate.read_bytes())
        revoked = authority.revoke_certificate(by, certificate, options.reason)
    else:
        revoked = authority.revoke(by, options.id, options.reason)
    print("\n".join(f"{serial:x} is revoked" for serial in revoked.serials) or "nothing was left to revoke")
    if options.crl:
        options.crl.write_bytes(revoked.crl)


def do_crl(options: Options) -> None:
    options.crl.write_bytes(options.folder.authority().revocations(options.folder.identity()))


def do_identities(options: Options) -> None:
    for each in options.folder.authority().identities(options.folder.identity()):
        attributes = " ".join(f"{attribute.name}={attribute.value}" for attribute in each.attributes)
        print(f"{each.id}\t{each.type}\t{each.affiliation}\t{each.most_enrolments}\t{attributes}")


def do_exclude(options: Options) -> None:
    update = exclude(options.config.read_bytes(), options.msp_id, options.crl.read_bytes())
    options.update.write_bytes(update)


def attribute(text: str) -> Attribute:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(text)
    return Attribute(name, value)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ledger_adapters.fabric.identities", description="Identities of Fabric, from a Fabric CA."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, do: Callable[[Options], None], meaning: str, folder: str | None) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=meaning, description=meaning)
        made.set_defaults(do=do)
        if folder:
            made.add_argument("folder", type=lambda text: IdentityFolder(Path(text)), help=folder)
        return made

    own, registrar = "folder of the identity", "folder of an identity that may do so"
    made = command("enrol", do_enrol, "get a registered identity's certificate, with a new key", own)
    made.add_argument("--id", required=True)
    made.add_argument("--secret-file", type=Path, required=True, help="file with the secret; - for standard input")
    made.add_argument("--ca", required=True, metavar="URL", help="address of the authority, with https")
    made.add_argument("--tls-ca", type=Path, required=True, help="certificates (PEM) that sign the authority's own")
    made.add_argument("--ca-name", default="", help="which authority of the server, by default its first")
    made.add_argument("--hfc-python", type=Path, default=Path(".venv-hfc/bin/python"), help="made by `make hfc`")
    made.add_argument("--timeout", type=float, default=15.0, help="seconds to wait for an answer")
    command("show", do_show, "say who it is and until when the certificate is good", own)
    made = command("renew", do_renew, "get a further certificate with a new key in place of one that ends soon", own)
    made.add_argument("--before", type=float, default=45.0, metavar="DAYS", help="how soon (default: %(default)s)")
    made.add_argument("--always", action="store_true", help="however long the certificate is good")
    made = command("register", do_register, "register an identity, so that it can enrol", registrar)
    made.add_argument("--id", required=True)
    made.add_argument("--secret-file", type=Path, required=True, help="where to write the secret; must not exist yet")
    made.add_argument("--type", default="client")
    made.add_argument("--affiliation", default="")
    made.add_argument("--attribute", type=attribute, action="append", default=[], metavar="NAME=VALUE")
    made.add_argument("--most-enrolments", type=int, default=1, help="-1 for no limit (default: %(default)s)")
    made = command("revoke", do_revoke, "revoke an identity with all its certificates, or one certificate", registrar)
    which = made.add_mutually_exclusive_group(required=True)
    which.add_argument("--id")
    which.add_argument("--certificate", type=Path)
    made.add_argument("--reason", type=Reason, default=Reason.UNSPECIFIED, help=", ".join(Reason))
    made.add_argument("--crl", type=Path, help="where to write the list of all that is revoked")
    made = command("crl", do_crl, "write the list of all that is revoked", registrar)
    made.add_argument("crl", type=Path)
    command("identities", do_identities, "list who is registered", registrar)
    made = command("exclude", do_exclude, "write the update that tells a channel what is revoked", None)
    made.add_argument("--config", type=Path, required=True, help="block written by `peer channel fetch config`")
    made.add_argument("--msp-id", required=True, help="whose certificates they are")
    made.add_argument("--crl", type=Path, required=True)
    made.add_argument("--update", type=Path, required=True, help="where to write it, for `peer channel update`")
    return parser


def main() -> None:
    options = build_parser().parse_args()
    try:
        options.do(options)
    except (LedgerError, OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
