"""Python source under construction: lines, indentation, fresh names and the constants they refer to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from penstock.schema.avro import SchemaError


class Source:
    """Text from a schema enters only as constants or through `repr`, never as code."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._indent = 0
        self._count = 0
        self.constants: dict[str, Any] = {}

    def add(self, *lines: str) -> None:
        self._lines += ["    " * self._indent + line for line in lines]

    @contextmanager
    def block(self, opening: str) -> Iterator[None]:
        """Lines added within belong to `opening`."""
        self.add(opening)
        self._indent += 1
        yield
        self._indent -= 1

    def name(self) -> str:
        """A name not used before."""
        self._count += 1
        return f"v{self._count}"

    def constant(self, value: Any) -> str:
        name = f"C{len(self.constants)}"
        self.constants[name] = value
        return name

    def compile(self, function: str, names: dict[str, Any]) -> Callable[..., Any]:
        """The function of that name out of the source, which sees `names` and the constants.

        Raises:
            SchemaError: Python refuses the source, which happens when it is nested too deep.
        """
        scope = {**names, **self.constants}
        try:
            exec(compile("\n".join(self._lines), "<avro>", "exec"), scope)  # noqa: S102  our own source, see the class
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise SchemaError(f"the schema is nested too deep to be compiled: {error}") from error
        made: Callable[..., Any] = scope[function]
        return made
