"""An installation of the chaincode that another operating-system user can run, wherever this one is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.fabric.description import PROJECT
from deploy.fabric.users import User, acting_as

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def python_of(user: User) -> str | None:
    """A Python of our version that the user can run, if the machine has one."""
    for folder in os.get_exec_path():
        candidate = os.path.join(folder, f"python{VERSION}")
        try:
            subprocess.run(
                acting_as(user, [candidate, "-I", "-c", "import venv"]), cwd="/", check=True, capture_output=True
            )
        except subprocess.CalledProcessError:
            continue
        return candidate
    return None


def install(folder: Path, python: str) -> str:
    """Install what the chaincode needs, in `folder`; returns the interpreter to run it with."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    packages = folder / "lib" / f"python{VERSION}" / "site-packages"
    for name, path in _needed().items():
        if path.is_dir():
            shutil.copytree(path, packages / name, ignore=shutil.ignore_patterns("__pycache__", "contracts"))
        else:
            shutil.copyfile(path, packages / name)
    return str(folder / "bin" / "python")


def _needed() -> dict[str, Path]:
    """The packages and modules that the chaincode loads, outside of Python's own library, by their names as files."""
    code = """
import sys, ledger_adapters.fabric.chaincode.__main__
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
"""
    loaded = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    roots = [PROJECT, Path(sys.prefix) / "lib" / f"python{VERSION}" / "site-packages"]
    found = {}
    for file in map(Path, loaded.stdout.split()):
        for root in roots:
            if file.is_relative_to(root):
                name = file.relative_to(root).parts[0]
                found[name] = root / name
    return found
