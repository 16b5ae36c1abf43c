"""What the embedded stack says when the machine does not let it work."""

from penstock.errors import SystemFaultError


class StackError(SystemFaultError):
    """The stack could not do what it was told; the text says what happened and what to do."""


class NotAnsweringError(Exception):
    """A part that runs, or should, does not answer its protocol (yet)."""
