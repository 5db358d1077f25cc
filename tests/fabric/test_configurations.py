"""Whom readers trust when a channel changed over time: organisations that stay keep every authority they had."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from fabric_protos.common import configtx_pb2
from fabric_protos.msp import msp_config_pb2

from deploy.fabric.channel import organisation_group
from deploy.fabric.description import Standing
from evidence.bundle import FabricLog
from evidence.fabric.block import OutcomePlace
from evidence.fabric.identities import Role
from evidence.verify import VerificationError
from evidence.verify.ledger import read_log
from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.fabric.configurations import APPLICATION, organisations_of
from tests.evidence.fabric_made import Channel, Msp, announced, command


def configuration(folder: Path, *msps: Msp) -> Any:
    """A channel of these organisations (`common.Config`)."""
    config = configtx_pb2.Config()
    for msp in msps:
        for kind in ("cacerts", "tlscacerts"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / "ca.pem").write_bytes(msp.authority.public_bytes(Encoding.PEM))
        group = organisation_group(msp.id, folder, "127.0.0.1:7051", Standing.MEMBER)
        config.channel_group.groups[APPLICATION].groups[msp.id].CopyFrom(group)
    return config


NAMES = {"CommunityMSP", "UtilityMSP"}


def test_what_was_endorsed_before_an_authority_was_replaced_stays_proven(tmp_path: Path) -> None:
    before, after = Channel(), Channel(community=Msp("CommunityMSP"))
    now, then = (configuration(tmp_path, each.utility, each.community) for each in (after, before))
    proof = before.block([before.envelope(announced(command()))], OutcomePlace(0, 0))
    for configurations, holds in (([now, then], True), ([then], True), ([now], False)):
        members = organisations_of(configurations, APPLICATION, Role.PEER, NAMES)
        trust = replace(before.trust, endorsers=tuple(members[name] for name in sorted(members)))
        if holds:
            [proven], _ = read_log(FabricLog((proof,)), trust)
            assert proven.command.id == command().id
        else:
            with pytest.raises(VerificationError, match="no authority that is trusted"):
                read_log(FabricLog((proof,)), trust)


def test_an_authority_that_stayed_counts_once(tmp_path: Path) -> None:
    channel = Channel()
    config = configuration(tmp_path, channel.utility, channel.community)
    members = organisations_of([config, config], APPLICATION, Role.PEER)
    assert members == {each.id: each.organisation for each in (channel.utility, channel.community)}


def test_organisations_that_need_not_endorse_are_not_looked_at(tmp_path: Path) -> None:
    channel, third = Channel(), Msp("ThirdMSP")
    config = configuration(tmp_path, channel.utility, channel.community, third)
    without_roles(config, third.id)
    assert set(organisations_of([config], APPLICATION, Role.PEER, NAMES)) == NAMES
    with pytest.raises(Misconfigured, match=r"^CHANNEL: ThirdMSP does not tell its peers"):
        organisations_of([config], APPLICATION, Role.PEER)


def without_roles(config: Any, name: str) -> None:
    value = config.channel_group.groups[APPLICATION].groups[name].values["MSP"]
    written = msp_config_pb2.MSPConfig.FromString(value.value)
    msp = msp_config_pb2.FabricMSPConfig.FromString(written.config)
    msp.fabric_node_ous.enable = False
    written.config = msp.SerializeToString()
    value.value = written.SerializeToString()
