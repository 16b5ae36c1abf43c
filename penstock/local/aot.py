"""A Java part's second start is quicker: the JDK's ahead-of-time cache (JEP 483, JEP 514).

The first run of a part is watched by the JVM, which at its orderly end writes what it loaded and linked into a
file (a few seconds, once per machine); later runs map that file. A file that does not fit (another Java, other
jars) is ignored by the JVM, which then starts as if there were none.
"""

import hashlib
import shutil
from pathlib import Path

from penstock.local.folders import make_folder


class StartCache:
    """`home` is where a part's own run writes; what is complete moves to `shared`, for all stacks.

    Without `makes` a run only uses the file: of several nodes that end together, one writes it.
    """

    def __init__(self, home: Path, shared: Path, part: str, *, makes: bool = True) -> None:
        self._home = home
        self._shared = shared
        self._part = part
        self._makes = makes

    def options(self, java: Path, classpath: str) -> list[str]:
        """For a part's run: use the file, or make one; none where it does neither."""
        name = self._name(java, classpath)
        if (self._shared / name).exists():
            return [f"-XX:AOTCache={self._shared / name}"]
        return [f"-XX:AOTCacheOutput={self._home / name}"] if self._makes else []

    def options_of_tool(self, java: Path, classpath: str) -> list[str]:
        """For a short run on the same class path before the part's own: use the file, if there is one."""
        file = self._shared / self._name(java, classpath)
        return [f"-XX:AOTCache={file}", "-XX:TieredStopAtLevel=1"] if file.exists() else []

    def _name(self, java: Path, classpath: str) -> str:
        jvm = java.parent.parent / "lib" / "server" / "libjvm.so"
        made = jvm.stat() if jvm.exists() else java.stat()
        key = hashlib.sha256(f"{java} {made.st_size} {made.st_mtime_ns} {classpath}".encode()).hexdigest()[:16]
        return f"{self._part}-{key}.aot"

    def farewell(self) -> str:
        """Why this end may take longer than others; empty if it does not."""
        if not self._makes or any(self._shared.glob(f"{self._part}-*.aot")):
            return ""
        return "stopping, and this first time writing down what makes later starts quick"

    def adopt(self) -> None:
        """Called when the part is gone: keeps the file that it made, drops one that it could not finish."""
        for made in self._home.glob(f"{self._part}-*.aot"):
            # The JVM removes this one last, when the cache is complete.
            if not made.with_suffix(".aot.config").exists():
                whose = hashlib.sha256(str(made).encode()).hexdigest()[:8]
                staging = make_folder(self._shared) / f"{made.name}.{whose}"
                shutil.move(made, staging)
                staging.replace(self._shared / made.name)
        for rest in self._home.glob(f"{self._part}-*.aot*"):
            rest.unlink(missing_ok=True)
