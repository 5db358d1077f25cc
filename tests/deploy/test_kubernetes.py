"""The Helm chart, by helm and kubernetes-validate where they are on PATH."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from energymarket.settings.environment import Environment, variable_name

CHART = Path(__file__).parents[2] / "deploy" / "kubernetes"
LEDGERS = ("embedded", "fabric", "quorum")


def rendered(*values: str) -> str:
    if shutil.which("helm") is None:
        pytest.skip("helm is not on PATH")
    options = [part for value in values for part in ("--set", value)]
    finished = subprocess.run(["helm", "template", "market", CHART, *options], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def pods(text: str) -> dict[str, dict[str, Any]]:
    found = [each for each in yaml.safe_load_all(text) if each and each["kind"] in ("Deployment", "Job")]
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in found}


def test_the_chart_sets_variables_that_the_application_knows() -> None:
    text = (CHART / "templates" / "_helpers.tpl").read_text(encoding="utf-8")
    named = set(re.findall(r"name: ([A-Z][A-Z_]+)\b", text))
    assert "ENERGYMARKET_LEDGER" in named
    assert named <= {variable_name(name) for name in Environment.model_fields}


@pytest.mark.parametrize("ledger", LEDGERS)
def test_kubernetes_takes_what_helm_makes(tmp_path: Path, ledger: str) -> None:
    path = tmp_path / "rendered.yaml"
    path.write_text(rendered(f"ledger.name={ledger}", "email.secret=mail"), encoding="utf-8")
    if shutil.which("kubernetes-validate") is None:
        pytest.skip("kubernetes-validate is not on PATH")
    finished = subprocess.run(["kubernetes-validate", "--strict", path], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_secrets_come_by_reference_only() -> None:
    text = rendered("email.secret=mail")
    assert "kind: Secret" not in text
    for pod in pods(text).values():
        given = {each["name"]: each for each in pod["containers"][0]["env"]}
        for name in (
            "ENERGYMARKET_SECRET_KEY",
            "ENERGYMARKET_CUSTODY_KEY",
            "DATABASE_URL",
            "ENERGYMARKET_EMAIL_PASSWORD",
        ):
            assert "secretKeyRef" in given[name]["valueFrom"]


def test_probes_ask_by_a_name_that_django_answers_to() -> None:
    (web,) = pods(rendered("host=strom.example"))["market-web"]["containers"]
    assert web["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz"
    for probe in ("livenessProbe", "startupProbe", "readinessProbe"):
        assert web[probe]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "strom.example"}]


def test_only_the_job_migrates_and_everything_else_waits_for_it() -> None:
    found = pods(rendered())
    assert found.pop("market-migrate-1")["containers"][0]["args"][2] == "migrate"
    assert set(found) == {"market-web", "market-worker", "market-scheduler"}
    assert all("migrate --check" in pod["initContainers"][0]["command"][2] for pod in found.values())
