"""g++ for the emulator: a `.cu` text becomes a shared library, once; what was made lies in a cache by content.

The name of a library is a digest of everything it depends on: the text, the defines, the flags, the compiler, the
emulator's own files. It appears whole or not at all, so processes may compile the same text at the same time.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
KERNELS = HERE.parent / "cuda"
FLAGS = ["-std=c++17", "-O2", "-g", "-fPIC", "-fvisibility=hidden", "-fstack-clash-protection"]
FLAGS += ["-ffp-contract=off", "-fno-strict-aliasing", "-Wno-attributes"]  # the same bits everywhere; what nvcc permits
SANITIZER = ["-fsanitize=address", "-fno-omit-frame-pointer", "-O1"]
KERNEL = re.compile(
    r'extern\s+"C"\s+__attribute__\(\(used\)\)\s+void\s+'
    r"(?:__attribute__\(\(launch_bounds\((?P<limit>.*?)\)\)\)\s*)?(?P<name>\w+)\s*\("
)


class EmulationError(RuntimeError):
    """A kernel that does not compile, or that did what a GPU forbids; or no compiler."""


def missing() -> str:
    """Why no kernel can be emulated here, and what to do about it; empty if they can."""
    if sys.platform != "linux":
        return f"the emulator of CUDA kernels runs on Linux, not on {sys.platform}"
    if not _compiler():
        return "the emulator of CUDA kernels needs a C++ compiler: apt-get install g++, or set CXX to one"
    return ""


def available() -> bool:
    """True if kernels can be emulated here."""
    return not missing()


def _compiler():
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    return next((path for name in names if (path := shutil.which(name))), None)


def sanitized() -> bool:
    """True if every address is checked."""
    return os.environ.get("INACHUS_EMULATOR_ASAN", "0") not in ("", "0")


def refuse_half_a_sanitizer() -> None:
    """Raises EmulationError if kernels are to be sanitized, but the process began without the sanitizer's library."""
    if sanitized() and not hasattr(ctypes.CDLL(None), "__asan_init"):
        words = sanitizer_environment.__doc__.splitlines()[2].strip()
        raise EmulationError(f"the sanitizer must be there when Python starts: {words}")


def cache_folder() -> Path:
    """`$INACHUS_CACHE/emulator`, or `~/.cache/inachus/emulator`; it need not exist."""
    root = os.environ.get("INACHUS_CACHE")
    if root:
        return Path(root) / "emulator"
    home = os.path.expanduser("~")  # stays "~" for a user without a home, as in some containers
    base = Path(home, ".cache") if os.path.isabs(home) else Path(tempfile.gettempdir())
    return base / "inachus" / "emulator"


def runtime() -> Path:
    """The compiled runtime. Raises EmulationError."""
    source = HERE / "runtime.cpp"
    return _library("runtime", f'#line 1 "{source}"\n{source.read_text()}', ["-O3", f"-I{HERE}"], [])


def compiled(name: str, source: str, defines=()) -> Path:
    """The compiled kernels of a text. Raises EmulationError with the compiler's words."""
    flags = [*(f"-D{key}={value}" for key, value in sorted(defines)), f"-I{HERE}"]
    return _library(Path(name).stem, source, flags, [runtime()])


def _library(name, source, flags, needs):
    """The shared library of a C++ text, from the cache if it is there."""
    if missing():
        raise EmulationError(missing())
    program = Path(_compiler())
    about = program.resolve().stat()
    flags = [*FLAGS, *flags, *os.environ.get("INACHUS_EMULATOR_FLAGS", "").split(), *SANITIZER * sanitized()]
    parts = [source, *flags, program, about.st_size, about.st_mtime_ns, *needs]
    parts += [path.read_text() for path in (*sorted(HERE.glob("*.h")), Path(__file__))]
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:20]
    target = cache_folder() / f"{name}-{digest}.so"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        _compile(program, source, flags, needs, target)
    return target


def _compile(program, source, flags, needs, target):
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(handle)
    try:
        text = _run([program, *flags, "-E", "-x", "c++", "-"], source)
        text += callers(text) if needs else ""
        link = [f"-L{target.parent}", *(f"-l:{path.name}" for path in needs), "-Wl,-rpath,$ORIGIN"]
        _run([program, *flags, "-shared", "-x", "c++-cpp-output", "-", "-o", temporary, "-x", "none", *link], text)
        os.replace(temporary, target)
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def _run(command, text):
    command = [str(word) for word in command]
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # no sanitizer in the compiler
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=KERNELS, env=plain)
    if done.returncode:
        raise EmulationError(f"{Path(command[0]).name} refuses the kernel:\n{done.stderr.strip()}")
    return done.stdout


def callers(text: str) -> str:
    """C++ for the end of a preprocessed `.cu` text: how each kernel is called, and what its parameters are."""
    kernels = [(found["name"], found["limit"] or "0") for found in KERNEL.finditer(text)]
    lines = [f"""
void emulator_call_{name}(const char* values) {{ emulator::call({name}, values); }}
const int* emulator_parameters_{name}() {{ return emulator::parameters({name}); }}
extern const int emulator_limit_{name} = emulator::first({limit});""" for name, limit in kernels]
    names = " ".join(name for name, _ in kernels)
    table = f'extern const char* const emulator_kernels = "{names}";'
    start = '\n# 1 "callers"\n#pragma GCC visibility push(default)\nextern "C" {'
    return "\n".join([start, *lines, table, "}\n"])


def sanitizer_environment() -> dict[str, str]:
    """The environment of a Python process whose kernels check every address; the same by hand:

    INACHUS_EMULATOR_ASAN=1 ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=$(g++ -print-file-name=libasan.so) python ...
    """
    command = [_compiler(), "-print-file-name=libasan.so"]
    library = os.path.realpath(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    return {**os.environ, "INACHUS_EMULATOR_ASAN": "1", "ASAN_OPTIONS": "detect_leaks=0", "LD_PRELOAD": library}
