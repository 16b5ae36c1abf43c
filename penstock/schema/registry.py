"""The schema registry, over the Confluent REST API; with Apicurio its address ends in /apis/ccompat/v7.

Schemas go out as JSON without white space and in the order of their file: Apicurio gives one id per text, so the same
schema has the same id under every subject, and bytes that are passed on stay valid.
"""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from types import TracebackType
from typing import Any
from urllib.parse import quote

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from penstock.dependency import Attempting
from penstock.errors import DataError, PermanentError, SystemFaultError, TransientError
from penstock.schema.files import AvroSchema

COMPATIBILITY = "BACKWARD_TRANSITIVE"
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_REQUEST_S = 10.0
_LEAST_REQUEST_S = 2.0
"""However little patience there is: a slow answer is not none."""
_NOT_THERE = (40401, 40402, 40403, 40408)
"""Codes for a subject, a version, a schema or a subject's setting; a bare 404 only means that the address is wrong."""
_MAX_ANSWER_BYTES = 4 * 1024 * 1024


class _AnswerError(Exception):
    """An answer other than 200 that the caller may know what to do with."""

    def __init__(self, status: int, message: str, code: object) -> None:
        super().__init__(message)
        self.status = status
        self.not_there = code in _NOT_THERE


class Registry:
    """A client for one event loop; close it, or use it with `async with`.

    Every method waits out what may pass by itself (no connection, 5xx) for `patience_s`, then raises TransientError.

    Args:
        look_up_patience_s: that of `schema`, which a stage waits for in mid-batch; as the others' by default.
        attempting: goes around each of these waits.
    """

    def __init__(
        self,
        url: str,
        *,
        patience_s: float = 10.0,
        look_up_patience_s: float | None = None,
        attempting: Attempting = nullcontext,
    ) -> None:
        self._url = url.rstrip("/")
        self._patience_s = patience_s
        self._look_up_patience_s = patience_s if look_up_patience_s is None else look_up_patience_s
        self._attempting = attempting
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Registry":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """The id of this schema under this subject; registering it again changes nothing.

        Raises:
            PermanentError: the registry refuses it: not valid, or incompatible with what the subject holds.
        """
        try:
            answer = await self._ask("POST", f"/subjects/{_path(subject)}/versions", _body(schema))
        except _AnswerError as error:
            if error.status == 404:
                raise self._unexpected(error) from error
            why = "is incompatible with earlier versions" if error.status == 409 else "is refused"
            raise PermanentError(
                f"the schema for {subject} {why} by the registry at {self._url}: {error};"
                " `penstock schemas check` says more"
            ) from error
        return self._number(answer, "id")

    async def schema(self, schema_id: int) -> AvroSchema:
        """Raises DataError("unknown-schema") for an id nobody registered, or one that is not Avro."""
        try:
            path = f"/schemas/ids/{schema_id}"
            answer = await self._ask("GET", path, patience_s=self._look_up_patience_s)
        except _AnswerError as error:
            if error.not_there:
                raise DataError("unknown-schema", f"the registry at {self._url} has no schema {schema_id}") from error
            raise self._unexpected(error) from error
        try:
            schema = json.loads(answer["schema"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise DataError("unknown-schema", f"schema {schema_id} in the registry is not Avro") from error
        if not isinstance(schema, dict):
            raise DataError("unknown-schema", f"schema {schema_id} in the registry is not an Avro record")
        return schema

    async def versions(self, subject: str) -> list[AvroSchema]:
        """Every version under a subject, oldest first; none where the subject is not there."""
        try:
            numbers = await self._ask("GET", f"/subjects/{_path(subject)}/versions")
            if not isinstance(numbers, list):
                raise PermanentError(f"the registry at {self._url} lists versions as {numbers!r}")
            answers = [await self._ask("GET", f"/subjects/{_path(subject)}/versions/{number}") for number in numbers]
            return [json.loads(answer["schema"]) for answer in answers]
        except _AnswerError as error:
            if error.not_there:
                return []
            raise self._unexpected(error) from error
        except (KeyError, TypeError, ValueError) as error:
            raise PermanentError(f"a version of {subject} in the registry at {self._url} is not Avro") from error

    async def require_compatibility(self, subject: str) -> bool:
        """Holds a subject to BACKWARD_TRANSITIVE; whether that was a change."""
        path = f"/config/{_path(subject)}"
        try:
            answer = await self._ask("GET", path)
        except _AnswerError as error:
            if not error.not_there:
                raise self._unexpected(error) from error
            answer = None
        if isinstance(answer, dict) and answer.get("compatibilityLevel") == COMPATIBILITY:
            return False
        try:
            await self._ask("PUT", path, {"compatibility": COMPATIBILITY})
        except _AnswerError as error:
            raise self._unexpected(error) from error
        return True

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, patience_s: float | None = None
    ) -> Any:
        patience_s = self._patience_s if patience_s is None else patience_s
        request_s = min(_REQUEST_S, max(_LEAST_REQUEST_S, patience_s))
        async with self._attempting() as before_sleep:
            retrying = AsyncRetrying(
                retry=retry_if_exception_type(TransientError),
                wait=wait_exponential_jitter(multiplier=0.1, max=2.0, jitter=0.1),
                stop=stop_after_delay(patience_s),
                before_sleep=before_sleep,
                reraise=True,
            )
            return await retrying(self._ask_once, method, path, body, request_s)

    async def _ask_once(self, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = {"Accept": f"{_CONTENT_TYPE}, application/json", "Content-Type": _CONTENT_TYPE}
        data = json.dumps(body).encode() if body is not None else None
        try:
            async with self._session.request(
                method, self._url + path, data=data, headers=headers, timeout=aiohttp.ClientTimeout(total=timeout_s)
            ) as response:
                status, content = response.status, await response.content.read(_MAX_ANSWER_BYTES)
                while not response.content.at_eof() and len(content) < _MAX_ANSWER_BYTES:
                    content += await response.content.read(_MAX_ANSWER_BYTES)
        except aiohttp.InvalidURL as error:
            raise SystemFaultError(f"{self._url} is no address of a schema registry") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            said = str(error) or type(error).__name__
            raise TransientError(f"the schema registry at {self._url} does not answer: {said}") from error
        return self._understood(status, content)

    def _understood(self, status: int, content: bytes) -> Any:
        if status >= 500 or status == 429:
            raise TransientError(
                f"the schema registry at {self._url} answers {status}: {_shown(content)}", cause=str(status)
            )
        if status in (401, 403):
            raise SystemFaultError(f"the schema registry at {self._url} does not let us in: {status}")
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise SystemFaultError(
                f"{self._url} answers {status} with something that is not JSON ({_shown(content)}):"
                " is it the address of a schema registry? Apicurio's ends in /apis/ccompat/v7"
            ) from error
        if status != 200:
            said = answer if isinstance(answer, dict) else {}
            raise _AnswerError(status, str(said.get("message") or _shown(content)), said.get("error_code"))
        return answer

    def _number(self, answer: Any, name: str) -> int:
        number = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(number, int):
            raise PermanentError(f"the registry at {self._url} answers without {name}: {answer!r}")
        return number

    def _unexpected(self, error: _AnswerError) -> SystemFaultError:
        return SystemFaultError(
            f"the schema registry at {self._url} answers {error.status}: {error}."
            " Is the address right? Apicurio's ends in /apis/ccompat/v7"
        )


def _path(subject: str) -> str:
    return quote(subject, safe="")


def _body(schema: Mapping[str, Any]) -> dict[str, str]:
    return {"schema": json.dumps(schema, separators=(",", ":"), ensure_ascii=False)}


def _shown(content: bytes) -> str:
    return ascii(content[:120].decode("utf-8", "replace"))
