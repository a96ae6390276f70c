"""The wheel, built through the sdist and installed where no source tree is in sight: nothing missing, nothing extra.

Minutes, and it needs the package registry; so it is marked slow.
"""

import email
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("engine", "kernels", "models")
UNTRACKED = (".*", "__pycache__", "*.egg-info", "build", "dist", "runs")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

pytestmark = pytest.mark.slow

EVERY_MODULE = """
import importlib, pkgutil, sys
import inachus
assert inachus.__file__.startswith(sys.prefix), inachus.__file__
names = [module.name for module in pkgutil.walk_packages(inachus.__path__, "inachus.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print("\\n".join(sorted(names)))
"""


def check(*words, **more):
    """The stdout of a command that must succeed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "INACHUS"))}
    words = [str(word) for word in words]
    result = subprocess.run(words, capture_output=True, text=True, env=clean, timeout=900, **more)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(sdist, wheel) of a clean copy of the sources, as a fresh clone would make them."""
    if not importlib.util.find_spec("build"):
        pytest.skip("build is not installed: pip install 'inachus[test]'")
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(*UNTRACKED))
    check(sys.executable, "-m", "build", "--outdir", folder, folder / "source")
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder of the programs of a fresh environment that holds the wheel and what it requires."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=True)
    check(home / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", built[1])
    return home / "bin"


def shipped_files():
    """What the wheel should hold of the three folders, under the names it has there."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield "inachus/" + path.relative_to(ROOT).as_posix().removeprefix("engine/_root/")


def test_the_wheel_holds_the_three_folders_and_nothing_else(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert sorted(names) == sorted(shipped_files())


def test_the_sdist_holds_what_a_build_needs(built):
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "setup.py", "engine/_root/__init__.py"} <= names


def test_the_metadata_are_those_of_the_project(built):
    with zipfile.ZipFile(built[1]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        told = email.message_from_bytes(wheel.read(name))
    assert (told["Name"], told["Version"]) == (PROJECT["name"], PROJECT["version"])
    required = [line.replace(" ", "") for line in told.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(required) == sorted(line.replace(" ", "") for line in PROJECT["dependencies"])


def test_every_module_can_be_imported_from_anywhere(installed, tmp_path):
    names = check(installed / "python", "-W", "error", "-c", EVERY_MODULE, cwd=tmp_path).split()
    files = [name.removesuffix(".py") for name in shipped_files() if name.endswith(".py")]
    modules = {name.removesuffix("/__init__").replace("/", ".") for name in files}
    assert sorted(names) == sorted(modules - {"inachus"})


def test_the_installed_command_trains(installed, tmp_path):
    assert "train" in check(installed / "inachus", "--help", cwd=tmp_path)
    for program in ([installed / "inachus"], [installed / "python", "-m", "inachus"]):
        assert check(*program, "--version", cwd=tmp_path) == f"inachus {PROJECT['version']}\n"
    words = ["train", "gan", "--data", "mixture-ring8", "--steps", "2", "--batch", "8", "--out", "run"]
    printed = check(installed / "inachus", *words, cwd=tmp_path)
    assert "run/report.html" in printed and (tmp_path / "run/report.html").is_file()
    assert (tmp_path / check(installed / "inachus", "sample", "run", cwd=tmp_path).strip()).is_file()
