"""The Compose files: what they set and what they mount."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.compose.material import VALIDATORS, make_fabric, make_quorum
from deploy.fabric.network import NetworkError, check_programs
from energymarket.settings.environment import Environment, is_secret, variable_name
from ledger_adapters.fabric.adapter import Options as FabricOptions
from ledger_adapters.quorum.options import Options as QuorumOptions

FOLDER = Path(__file__).parents[2] / "deploy" / "compose"
FILES = ("application.yaml", "fabric.yaml", "quorum.yaml")


def services(name: str) -> dict[str, dict[str, Any]]:
    content = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = content["services"]
    return found


def known_variables() -> set[str]:
    names = {variable_name(name) for name in Environment.model_fields}
    return names | {
        f"{variable_name(name)}_FILE" for name, field in Environment.model_fields.items() if is_secret(field)
    }


@pytest.mark.parametrize("service", ["migrate", "web", "worker", "scheduler"])
def test_the_application_is_given_settings_that_it_knows(service: str) -> None:
    found = services("application.yaml")[service]
    assert set(found["environment"]) <= known_variables()
    read = [value for name, value in found["environment"].items() if name.endswith("_FILE")]
    assert sorted(read) == sorted(f"/run/secrets/{secret}" for secret in found["secrets"])


@pytest.mark.parametrize("file", FILES)
def test_images_have_a_version_and_no_host(file: str) -> None:
    for service in services(file).values():
        name, _, version = service["image"].rpartition(":")
        assert version.strip("0123456789.") == "", service["image"]
        assert "." not in name.split("/")[0]


def test_validators_stand_where_the_others_look_for_them() -> None:
    nodes = services("quorum.yaml")
    assert [node["networks"]["validators"]["ipv4_address"] for node in nodes.values()] == VALIDATORS


def test_the_material_of_a_quorum_network_fits_application_and_nodes(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    make_quorum(tmp_path)
    options = json.loads((tmp_path / "ledger" / "options.json").read_text(encoding="utf-8"))
    chosen = QuorumOptions.read("default", {**options, "KEYS": tmp_path, "DEPLOYMENT": tmp_path / "address"})
    nodes = services("quorum.yaml")
    assert chosen.rpc == tuple(f"http://{name}:8545" for name in nodes)
    assert all(f"--networkid {chosen.chain_id} " in node["command"][0] for node in nodes.values())
    if shutil.which("geth") is None:
        pytest.skip("geth is not on PATH")
    taken = subprocess.run(
        ["geth", "--datadir", tmp_path / "node1", "init", tmp_path / "genesis.json"],
        env={"PRIVATE_CONFIG": "ignore", "HOME": str(tmp_path), "PATH": str(Path(shutil.which("geth") or "").parent)},
        capture_output=True,
        text=True,
    )
    assert "Successfully wrote genesis state" in taken.stderr


def test_the_material_of_a_fabric_network_names_the_containers(tmp_path: Path) -> None:
    try:
        check_programs()
    except NetworkError as error:
        pytest.skip(str(error))
    (tmp_path / "ledger").mkdir()
    make_fabric(tmp_path)
    aliases = {
        alias
        for service in services("fabric.yaml").values()
        for alias in service.get("networks", {}).get("ledger", {}).get("aliases", [])
    }
    options = json.loads((tmp_path / "ledger" / "options.json").read_text(encoding="utf-8"))
    mounted = {name: str(value).replace("/ledger/", f"{tmp_path}/ledger/") for name, value in options.items()}
    chosen = FabricOptions.read("default", {**mounted, "KEYS": tmp_path})
    channel = (tmp_path / "channel" / "configtx.yaml").read_text(encoding="utf-8")
    assert chosen.address.split(":")[0] in aliases
    assert all(alias in channel for alias in aliases)
    assert "127.0.0.1" not in channel
    assert (tmp_path / "channel" / "genesis.block").stat().st_size > 0


@pytest.mark.parametrize("ledger", ["fabric", "quorum"])
def test_compose_takes_the_files(tmp_path: Path, ledger: str) -> None:
    if shutil.which("docker") is None:
        pytest.skip("docker is not on PATH")
    # A client may be there without this plugin.
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker has no compose")
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("files", "secrets", ".env"))
    for name in ("utility", "community"):
        (tmp_path / "files" / name).mkdir(parents=True)
        (tmp_path / "files" / name / "package.env").write_text("PACKAGE_ID=market_1:0\n", encoding="ascii")
    (tmp_path / ".env").write_text("ENERGYMARKET_HOST=market.example\n", encoding="ascii")
    command = ["docker", "compose", "--file", f"{ledger}.yaml", "config", "--quiet"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
