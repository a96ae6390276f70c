"""The shape of the house, read from its sources: who imports whom, what is documented, how long things are.

Nothing is computed here. The rules are those of the design: arrays below, Tensors in the middle, GANs on top;
heavy packages are imported where they are used and nowhere else; a backend has the reference's names and
signatures.
"""

import ast
import importlib.util
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from inachus import kernels
from inachus.models import MODELS

ROOT = Path(__file__).parents[1]
FOLDERS = ("engine", "kernels", "models")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
EVERYTHING = SOURCES + sorted(path for folder in ("tests", "bench") for path in (ROOT / folder).rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in SOURCES}
HEAVY = {"cupy", "numba", "matplotlib", "torch", "scipy"}
TENSOR_FLOOR = ("tensor.py", "optim.py", "losses.py", "random.py", "check.py", "errors.py", "ops", "nn")
ABOVE = {"kernels": ("inachus.engine", "inachus.models"), "engine": ("inachus.models",), "models": ()}
EXPLICIT = {"Generator", "Philox", "PCG64", "SeedSequence", "default_rng", "BitGenerator"}  # of numpy.random

each_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def imports(tree, *, everywhere=True):
    """(module, line) of each import, `from a import b` as a.b; or only of those that run at import time."""
    pending = list(ast.iter_child_nodes(tree))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((name.name, node.lineno) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{name.name}", node.lineno) for name in node.names)
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)


def offenders(path, *forbidden):
    """The imports of a file that lie in one of the forbidden packages."""
    return [f"line {line}: {name}" for name, line in imports(TREES[path])
            if any(name == package or name.startswith(f"{package}.") for package in forbidden)]


def functions(tree):
    """Every function and method of a file, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def python(code):
    """Python code in a process of its own, in the repository root."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


# --- who imports whom --------------------------------------------------------------------------------------


@each_source
def test_a_floor_imports_only_downwards(path):
    floor = path.relative_to(ROOT).parts
    above = ABOVE[floor[0]] if floor[1] != "_root" else ()  # the front door opens upwards
    rooms = ("inachus.engine.data", "inachus.engine.training", "inachus.engine.evaluation")
    above += rooms if floor[0] == "engine" and floor[1] in TENSOR_FLOOR else ()
    assert not offenders(path, *above)


@each_source
def test_imports_are_absolute_and_bare_names_are_not_used(path):
    assert not [n.lineno for n in ast.walk(TREES[path]) if isinstance(n, ast.ImportFrom) and n.level]
    assert not offenders(path, *FOLDERS)


@each_source
def test_heavy_packages_are_imported_by_kernels_alone_and_only_when_used(path):
    if path.relative_to(ROOT).parts[0] != "kernels":
        assert not offenders(path, *HEAVY)
    elif path.name == "__init__.py" and path.parent == ROOT / "kernels":
        assert not [name for name, _ in imports(TREES[path], everywhere=False) if name.split(".")[0] in HEAVY]


def test_importing_the_engine_loads_nothing_heavy():
    code = f"import sys, inachus.engine, inachus.models; print(sorted({HEAVY} & set(sys.modules)))"
    result = python(code)
    assert (result.stdout, result.stderr) == ("[]\n", "")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_bare_import_is_refused(folder):
    result = python(f"import {folder}")
    assert result.returncode == 1
    assert f"ImportError: import inachus.{folder}, not {folder}" in result.stderr


# --- backends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*kernels.HOSTS.values(), kernels.CUDA])
def test_a_backend_has_the_names_and_signatures_of_the_reference(name):
    reference, backend = import_module(kernels.HOSTS["reference"]), import_module(name)
    assert sorted(backend.__all__) == sorted(reference.__all__)
    for kernel in reference.__all__:
        expected, found = (inspect.signature(getattr(module, kernel)) for module in (reference, backend))
        assert _unannotated(found) == _unannotated(expected), kernel


def _unannotated(signature):
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


# --- what is written ---------------------------------------------------------------------------------------


@each_source
def test_what_is_public_has_a_docstring(path):
    tree = TREES[path]
    if tree.body:  # an empty __init__.py only marks a folder
        assert ast.get_docstring(tree), "the file says nothing about itself"
    naked = []
    for node in _public(tree):
        members = []
        if isinstance(node, ast.ClassDef):
            known = _inherited(path, node)
            members = [m for m in _public(node) if m.name not in known]
        naked += [f"line {n.lineno}: {n.name}" for n in (node, *members) if not ast.get_docstring(n)]
    assert not naked


def _public(owner):
    return [n for n in owner.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name[0] != "_"]


def _inherited(path, node):
    """Names that a parent class explains already."""
    name = "inachus." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    cls = getattr(import_module(name), node.name)
    return {name for parent in cls.__mro__[1:] for name in vars(parent)}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_names_its_paper(name):
    cls = MODELS[name]
    words = inspect.getmodule(cls).__doc__
    assert cls.__doc__ and re.search(r"\b(19|20)\d\d\b", words), "the file names no year of a paper"


@each_source
def test_files_and_functions_stay_short(path):
    assert len(path.read_text().splitlines()) <= 320
    long = {f.name: n for f in functions(TREES[path]) if (n := f.end_lineno - f.lineno + 1) > 60}
    assert not long


def test_no_file_is_a_drawer_for_odds_and_ends():
    drawers = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert not [path for path in EVERYTHING if path.stem in drawers]


@each_source
def test_no_number_comes_from_a_global_random_state(path):
    drawn = [node for node in ast.walk(TREES[path]) if isinstance(node, ast.Attribute)
             and ast.unparse(node.value) in ("np.random", "numpy.random") and node.attr not in EXPLICIT]
    assert not [f"line {node.lineno}: {ast.unparse(node)}" for node in drawn]
    assert not [line for name, line in imports(TREES[path]) if name.split(".")[0] == "random"]


def test_ruff_is_content():
    if not importlib.util.find_spec("ruff"):
        pytest.skip("ruff is not installed: pip install 'inachus[test]'")
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "--no-cache", "."]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_check_is_silenced():
    silenced = re.compile(r"#\s*(noqa|type:\s*ignore)")
    assert not [path for path in EVERYTHING if silenced.search(path.read_text())]


def test_the_readmes_example_runs():
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    space = {}
    exec(code.replace("range(2000)", "range(2)"), space)
    assert space["pictures"].shape == (64, 28, 28, 1)


def test_the_readmes_reading_order_is_true():
    readme = ROOT / "README.md"
    text = readme.read_text() if readme.is_file() else ""
    listed = re.findall(r"`([\w/.-]+\.(?:py|cu))` \((\d+) lines", text)
    if not listed:
        pytest.skip("the README has no reading order with line counts")
    for name, promised in listed:
        assert (ROOT / name).is_file(), f"{name} does not exist"
        lines = len((ROOT / name).read_text().splitlines())
        assert abs(lines - int(promised)) <= max(2, 0.1 * lines), f"{name} has {lines} lines, not {promised}"
