"""The client could be published by itself: it works as a package of its own, outside this project."""

import shutil
import subprocess
import sys
from pathlib import Path

from ledger_adapters.fabric import gateway
from ledger_adapters.fabric.gateway import Target, Tls

CHECK = """
import sys
import fabric_gateway as package
assert all(hasattr(package, name) for name in package.__all__)
projects = {"apps", "energymarket", "evidence", "ledger_adapters", "market_math", "meter_agent", "django"}
print(sorted(projects & {name.partition(".")[0] for name in sys.modules}))
"""


def test_the_package_needs_nothing_of_the_project(tmp_path: Path) -> None:
    shutil.copytree(Path(gateway.__file__).parent, tmp_path / "fabric_gateway")
    done = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_private_keys_are_not_in_what_is_logged() -> None:
    target = Target("peer:7051", Tls(b"root", "peer", b"certificate", b"private key"))
    assert "private" not in repr(target)
