"""Which of several processes of a service this one is: the slot makes transactional ids stable over restarts."""

import fcntl
import os
import tempfile
from pathlib import Path

from penstock.errors import SystemFaultError

_MOST = 1000


class Slot:
    """A number held by a file lock for as long as the process lives; the kernel lets go of it even after kill -9."""

    def __init__(self, service: str, wanted: int | None, folder: Path | None) -> None:
        """
        Args:
            wanted: a StatefulSet's ordinal; None takes the first that is free on this machine.
            folder: where the locks lie; None for a folder of the user's among the temporary files.

        Raises:
            SystemFaultError: another process holds the wanted slot.
        """
        self._folder = folder or Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(_MOST) if wanted is None else (wanted,):
            descriptor = os.open(
                self._folder / f"{service}.{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            self.number = number
            self._descriptor = descriptor
            return
        raise SystemFaultError(
            f"slot {wanted if wanted is not None else f'0..{_MOST - 1}'} of {service} is held by another process"
            f" (lock files in {self._folder}); give this one another PENSTOCK_SLOT, or none"
        )

    def release(self) -> None:
        os.close(self._descriptor)
