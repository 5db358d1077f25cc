"""A Fabric network of two organisations on this machine: made, started, stopped, changed, its chaincode deployed.

One orderer (etcdraft) and, for the utility and the community each, a peer and a chaincode server, all on loopback, from
the programs on PATH and without Docker; more organisations can join. See README.md beside this file;
`python -m deploy.fabric.network --help`.
"""

import argparse
import hashlib
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from deploy.fabric.addresses import fetch, free_addresses, is_healthy, is_listening
from deploy.fabric.administration import Administration, for_each, genesis_file
from deploy.fabric.channel import Change, Channel, organisation_group, with_organisation, without_organisation
from deploy.fabric.description import (
    CHAINCODE,
    CHANNEL,
    ENDORSEMENT_POLICY,
    MSP_IDS,
    PROJECT,
    Description,
    NetworkError,
    Organisation,
    Standing,
)
from deploy.fabric.making import Maker
from deploy.fabric.processes import START_TIMEOUT, Processes, Program, check_programs
from deploy.fabric.users import find_user
from ledger_adapters.fabric.configurations import APPLICATION
from ledger_adapters.fabric.gateway import BlockingGateway, EndorseError, GatewayError, Proposal, SigningIdentity

__all__ = ["Network", "NetworkError", "check_programs"]

# An organisation's name is that of a folder beside others.
NAME = re.compile(r"(?!(orderer|channel|run|logs)$)[a-z][a-z0-9]*")
NOBODY: Mapping[str, str] = {}


class Network:
    """A network that lives in `folder`: its certificates, configuration, data, logs and pid files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.processes = Processes(self.folder / "run", self.folder / "logs")
        self._file = self.folder / "network.json"
        self._maker = Maker(self.folder)
        self._made: Description | None = None

    @property
    def description(self) -> Description:
        if self._made is None:
            if not self._file.exists():
                raise NetworkError(f"{self.folder} holds no network: start one first")
            self._made = Description.from_file(self._file)
        return self._made

    @property
    def _administration(self) -> Administration:
        return Administration(self.folder, self.description)

    # Making

    def start(self, users: Mapping[str, str] = NOBODY, pythons: Mapping[str, str] = NOBODY) -> Description:
        """Start all processes; in a folder that does not exist yet make the network and deploy its chaincode first.

        `users`: what the processes of the orderer or an organisation run as, by its name, where that is not who calls
        this; `pythons`: the interpreters that run their chaincode. They count when the network is made.
        """
        check_programs()
        if self._file.exists():
            self.processes.start(self._of_those_who_stay())
            self._wait_for_leader()
            self._wait_until_endorsing()
            return self.description
        if self.folder.exists() and any(self.folder.iterdir()):
            raise NetworkError(f"{self.folder} holds an unfinished network, or something else: remove it")
        if strangers := {*users, *pythons} - {"orderer", *MSP_IDS}:
            raise NetworkError(f"there is no {', '.join(sorted(strangers))}, but orderer, {', '.join(MSP_IDS)}")
        for user in users.values():
            find_user(user)
        try:
            self._make(users, pythons)
            self.processes.start(self.programs().values())
            self._administration.start_channel()
            self._wait_for_leader()
            for_each(list(MSP_IDS), self._administration.join)
            self.deploy()
        except BaseException:
            self.processes.stop(self.processes.running())
            raise
        return self.description

    def _make(self, users: Mapping[str, str], pythons: Mapping[str, str]) -> None:
        """Keys and certificates, configuration files and the channel's first block."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = iter(free_addresses(3 + 2 * len(MSP_IDS)))
        orderer = self._maker.orderer(next(new), next(new), next(new), users.get("orderer", ""))
        organisations = {
            name: self._maker.organisation(
                name, next(new), next(new), Standing.FOUNDER, users.get(name, ""), pythons.get(name, sys.executable)
            )
            for name in MSP_IDS
        }
        pids = str(self.processes.folder)
        self._made = Description(CHANNEL, CHAINCODE, 0, ENDORSEMENT_POLICY, pids, orderer, organisations)
        self._maker.first_block(self._made)

    # Organisations that join and leave

    def add(self, name: str, standing: Standing = Standing.MEMBER, user: str = "", python: str = "") -> None:
        """Let an organisation join, with the approval of the founders' administrators.

        A member reads and sends, an auditor reads; neither's endorsement is asked for. Its peer fetches all blocks, and
        it runs the chaincode that the channel has. What was cut short can be done again. Raises `NetworkError`.
        """
        own = self._newcomer(name, user, python)
        if own.standing not in (standing, Standing.LEFT):
            raise NetworkError(f"{name} is on the channel as {own.standing}: remove it first")
        self._describe(name, replace(own, standing=standing))
        if own.msp_id not in self.on_channel():
            group = organisation_group(own.msp_id, self._maker.msp(name), own.gateway, standing)
            self.change_channel(lambda config: with_organisation(config, own.msp_id, group, standing))
            self._wait_until(lambda: own.msp_id in self.on_channel(), f"the channel does not take {name} in")
        self.processes.start([self.programs()[f"peer-{name}"]])
        self._administration.join(name)
        self._follow(name)
        self._wait_until_endorsing([name])

    def _newcomer(self, name: str, user: str, python: str) -> Organisation:
        made = self.description
        if not NAME.fullmatch(name) or name in made.named(Standing.FOUNDER):
            raise NetworkError(
                f"{name!r} is no name for an organisation that joins: small letters and digits, and not taken"
            )
        if name not in made.organisations:
            address, operations_address = free_addresses(2)
            new = (address, operations_address, Standing.LEFT, user, python or sys.executable)
            self._describe(name, self._maker.organisation(name, *new))
        return self.description.organisations[name]

    def remove(self, name: str) -> None:
        """Let an organisation leave, with the approval of the founders' administrators, and end its processes.

        It keeps what it has read. Raises `NetworkError`.
        """
        own = self.description.organisations.get(name)
        if own is None or own.standing is Standing.FOUNDER:
            raise NetworkError(f"{name} is no organisation that has joined")
        if own.msp_id in self.on_channel():
            self.change_channel(lambda config: without_organisation(config, own.msp_id))
            self._wait_until(lambda: own.msp_id not in self.on_channel(), f"the channel does not let {name} go")
        self._describe(name, replace(own, standing=Standing.LEFT))
        self.processes.stop([f"chaincode-{name}", f"peer-{name}"])

    def change_channel(self, update: Callable[[Any], bytes], approvers: Sequence[str] = tuple(MSP_IDS)) -> None:
        """Have a change of the channel's configuration approved and sent; `update` makes it from the one that stands.

        Raises `NetworkError` where the approvers are not enough.
        """
        with self._channel() as channel:
            self._administration.change_channel(update(channel.config()), approvers)

    def on_channel(self) -> set[str]:
        """The MSP ids of the organisations that the channel has now."""
        with self._channel() as channel:
            return set(channel.config().channel_group.groups[APPLICATION].groups)

    def changes(self) -> list[Change]:
        """Every configuration of the channel with those who approved it, the latest first."""
        with self._channel() as channel:
            return list(channel.changes())

    @contextmanager
    def _channel(self) -> Iterator[Channel]:
        own = self.description.organisations["utility"]
        with own.connect() as gateway:
            try:
                yield Channel(gateway, own.identity())
            except GatewayError as error:
                raise NetworkError(f"the channel cannot be read at the utility's peer: {error}") from error

    def _describe(self, name: str, organisation: Organisation) -> None:
        before = self.description
        self._made = replace(before, organisations={**before.organisations, name: organisation})
        self._save()

    # Chaincode

    def deploy(self) -> None:
        """Deploy the chaincode of this working copy as the next version, once both founders have approved it.

        Until then the servers of the version before go on. The others follow afterwards; `NetworkError` names those
        that could not, which `add` brings up to date.
        """
        sequence, founders = self._administration.committed() + 1, self.description.named(Standing.FOUNDER)

        def agree() -> None:
            self._approve(founders, sequence)
            self._administration.commit(sequence, founders)

        self._switch(founders, sequence, agree)
        failures = []
        for name in self.description.named(Standing.MEMBER, Standing.AUDITOR):
            try:
                self._follow(name)
            except NetworkError as error:
                failures.append(f"{name} does not run version {sequence} yet: {error}")
        self._wait_until_endorsing()
        if failures:
            raise NetworkError("\n".join(failures))

    def _follow(self, name: str) -> None:
        """Have an organisation run the version that the channel has."""
        sequence = self.description.sequence
        if self.description.organisations[name].package_id.startswith(f"{CHAINCODE}_{sequence}:"):
            self.processes.start([self.programs()[f"chaincode-{name}"]])
        else:
            self._switch([name], sequence, lambda: self._approve([name], sequence))

    def _approve(self, names: Sequence[str], sequence: int) -> None:
        made, administration = self.description, self._administration
        for_each(names, lambda name: administration.approve(name, made.organisations[name].package_id, sequence))

    def _switch(self, names: Sequence[str], sequence: int, agree: Callable[[], None]) -> None:
        """Start servers of a version, have it agreed to, and end those that ran before."""
        before = self.description
        addresses = dict(zip(names, free_addresses(len(names)), strict=True))
        packages = for_each(names, lambda name: self._administration.install(name, addresses[name], sequence))
        changed = {
            name: replace(before.organisations[name], chaincode_address=addresses[name], package_id=packages[name])
            for name in names
        }
        self._made = replace(before, sequence=sequence, organisations={**before.organisations, **changed})
        servers = [self.programs()[f"chaincode-{name}"] for name in names]
        new = [replace(server, name=f"{server.name}-{sequence}") for server in servers]
        try:
            self.processes.start(new)
            agree()
        except BaseException:
            self._made = before
            self.processes.stop([server.name for server in new])
            raise
        for server, successor in zip(servers, new, strict=True):
            self.processes.stop([server.name])
            self.processes.rename(successor.name, server.name)
        self._save()

    def agree(self, digest: bytes) -> None:
        """Have the organisations agree to the genesis record of that SHA-256: no other can be the ledger's first."""
        for name in self.description.organisations:
            self._administration.agree(name, digest)

    def _save(self) -> None:
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self.description), indent=2) + "\n", encoding="utf-8")
        draft.replace(self._file)

    # Running

    def programs(self) -> dict[str, Program]:
        """Every process, in the order in which they are started."""
        made = self.description
        programs = [self._orderer(), *(self._peer(name, each) for name, each in made.organisations.items())]
        programs += [self._chaincode(name, each) for name, each in made.organisations.items() if each.chaincode_address]
        return {program.name: program for program in programs}

    def _orderer(self) -> Program:
        orderer, home = self.description.orderer, self.folder / "orderer"
        places = (orderer.address, orderer.admin_address)
        return Program(
            "orderer",
            ["orderer"],
            home,
            lambda: is_healthy(orderer.operations_address) and all(map(is_listening, places)),
            find_user(orderer.user),
            home,
        )

    def _peer(self, name: str, organisation: Organisation) -> Program:
        home = self.folder / name
        return Program(
            f"peer-{name}",
            ["peer", "node", "start"],
            home,
            lambda: is_healthy(organisation.operations_address) and is_listening(organisation.gateway),
            find_user(organisation.user),
            home,
        )

    def _chaincode(self, name: str, organisation: Organisation) -> Program:
        home = self.folder / name
        tls, user = home / "chaincode", find_user(organisation.user)
        argv = [organisation.python or sys.executable, "-m", "ledger_adapters.fabric.chaincode"]
        argv += ["--address", organisation.chaincode_address, "--id", organisation.package_id]
        argv += ["--tls-cert", str(tls / "server.pem"), "--tls-key", str(tls / "server-key.pem")]
        argv += ["--client-ca", str(tls / "ca.pem"), "--genesis-file", str(genesis_file(home))]
        is_ready = partial(is_listening, organisation.chaincode_address)
        # Without a user of its own it runs this working copy.
        return Program(f"chaincode-{name}", argv, None, is_ready, user, home if user else PROJECT)

    def _of_those_who_stay(self) -> list[Program]:
        gone = {f"{kind}-{name}" for name in self.description.named(Standing.LEFT) for kind in ("peer", "chaincode")}
        return [program for name, program in self.programs().items() if name not in gone]

    def _wait_for_leader(self) -> None:
        """Until the orderer takes transactions: also a single one elects itself after each start."""
        address = self.description.orderer.operations_address
        line = f'consensus_etcdraft_is_leader{{channel="{CHANNEL}"}} 1'
        self._wait_until(
            lambda: line in (fetch(address, "/metrics") or "").splitlines(),
            "the orderer does not become its own leader",
        )

    def _wait_until(self, condition: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                raise NetworkError(complaint)
            time.sleep(0.05)

    def _wait_until_endorsing(self, names: Sequence[str] = tuple(MSP_IDS)) -> None:
        """Until the gateways of these organisations bring the endorsements together: peers first have to meet."""
        deadline = time.monotonic() + START_TIMEOUT
        for name in names:
            each = self.description.organisations[name]
            with each.connect() as gateway:
                while (error := self._try_endorsing(gateway, each.identity())) is not None:
                    if time.monotonic() > deadline:
                        raise NetworkError(f"{each.gateway} brings no endorsements together: {error}")
                    time.sleep(0.1)

    def _try_endorsing(self, gateway: BlockingGateway, identity: SigningIdentity) -> EndorseError | None:
        made = self.description
        proposal = Proposal.build(identity.identity, made.channel, made.chaincode, ["read", b""])
        try:
            gateway.endorse(proposal.sign(identity))
        except EndorseError as error:
            return error
        return None

    def stop(self) -> None:
        self.processes.stop(reversed(self._names()))

    def restart(self, name: str) -> None:
        """Stop one process if it runs, and start it on its data."""
        program = self._program(name)
        self.processes.stop([name])
        self.processes.start([program])

    def kill(self, name: str) -> None:
        """End one process as a power cut would."""
        self.processes.stop([self._program(name).name], signal.SIGKILL)

    def status(self) -> dict[str, str]:
        """What each process does: running with its pid, not answering, or stopped."""
        return {name: self._status(program) for name, program in self.programs().items()}

    def _status(self, program: Program) -> str:
        process = self.processes.find(program.name)
        if process is None:
            return "stopped"
        return f"running, pid {process.pid}" if program.is_ready() else f"not answering, pid {process.pid}"

    def _program(self, name: str) -> Program:
        if name not in self.programs():
            raise NetworkError(f"no process {name}: there are {', '.join(self.programs())}")
        return self.programs()[name]

    def _names(self) -> list[str]:
        return sorted(self.processes.running(), key=list(self.programs()).index)


def sha256(text: str) -> bytes:
    """Raises `ValueError` unless the text is one in hexadecimal."""
    digest = bytes.fromhex(text)
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError(text)
    return digest


def pair(text: str) -> tuple[str, str]:
    """Raises `ValueError` unless the text is NAME=VALUE."""
    name, value = text.split("=", 1)
    return name, value


def command_line() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--folder", type=Path, default=PROJECT / "var" / "fabric", help="where the network lives")
    parser = argparse.ArgumentParser(description="A Fabric network on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, meaning: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[common], help=meaning, description=meaning)

    start = command("start", "start all; make the network first where there is none")
    user = "name or number of the operating-system user that its processes run as"
    python = "an installed Python with this project, which that user can run, for its chaincode"
    start.add_argument("--user", type=pair, action="append", default=[], metavar="ORGANISATION=USER", help=user)
    start.add_argument("--python", type=pair, action="append", default=[], metavar="ORGANISATION=PATH", help=python)
    command("stop", "stop all")
    options = command("options", "print what ENERGYMARKET_LEDGER_OPTIONS has to hold on this network")
    options.add_argument("--organisation", default="utility", help="whose client it is for")
    command("status", "say what runs")
    command("deploy", "deploy the chaincode of this working copy as the next version")
    agree = command("agree", "have all agree to a genesis record, so that the ledger can be founded with it")
    agree.add_argument("--genesis", type=sha256, required=True, help="SHA-256 of the record, in hex")
    add = command("add", "let an organisation join, approved by both founders")
    add.add_argument("name")
    add.add_argument("--auditor", action="store_true", help="it reads and sends nothing")
    add.add_argument("--user", default="", help=user)
    add.add_argument("--python", default="", help=python)
    command("remove", "let an organisation leave, approved by both founders").add_argument("name")
    command("approvals", "say who approved which change of the channel")
    command("restart", "stop and start one process").add_argument("name")
    command("kill", "end one process at once").add_argument("name")
    return parser


def main() -> None:
    options = command_line().parse_args()
    network = Network(options.folder)
    try:
        match options.command:
            case "start":
                begun = time.monotonic()
                network.start(dict(options.user), dict(options.python))
                print(f"started in {time.monotonic() - begun:.1f} s; {network.folder / 'network.json'} says where")
            case "restart" | "kill" | "remove":
                getattr(network, options.command)(options.name)
            case "add":
                standing = Standing.AUDITOR if options.auditor else Standing.MEMBER
                network.add(options.name, standing, options.user, options.python)
            case "approvals":
                for change in network.changes():
                    print(change)
            case "agree":
                network.agree(options.genesis)
            case "options":
                print(json.dumps(network.description.options(options.organisation), indent=2))
            case "stop" | "deploy":
                getattr(network, options.command)()
            case "status":
                for name, state in network.status().items():
                    print(f"{name:20} {state}")
    except NetworkError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
