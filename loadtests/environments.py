"""An environment for each peer, apart from ours and from each other: made once from a hashed lock, kept in the cache.

The locks are those of requirements/peers, for Python 3.11 and 3.12: Bytewax has no wheels for newer ones.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from penstock.local.folders import cache_folder, make_folder

_LOCKS = Path(__file__).parents[1] / "requirements" / "peers"


def python_of(peer: str) -> str:
    """The interpreter of the peer's environment, which is made if this lock has none yet."""
    lock = _LOCKS / f"{peer}.txt"
    stamp = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = make_folder(cache_folder(os.environ) / "peers") / f"{peer}-{stamp}"
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        print(f"making the environment of {peer} in {folder}", file=sys.stderr)
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(lock)]
        subprocess.run(install, check=True)
        whole.touch()
    return str(python)
