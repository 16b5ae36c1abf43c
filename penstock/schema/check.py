"""BACKWARD_TRANSITIVE, checked: every schema reads what each earlier version of it wrote."""

from pathlib import Path

from penstock.schema import files
from penstock.schema.avro import SchemaError, parse_record
from penstock.schema.catalogue import Catalogue
from penstock.schema.compatibility import check_history, problems
from penstock.schema.registry import Registry


def check_files(folder: Path | None = None) -> tuple[int, list[str]]:
    """How many records have schemas, and what is wrong with them.

    Raises:
        PermanentError: a file is missing or not JSON.
    """
    names = files.records(folder)
    wrong = []
    for record in names:
        try:
            wrong += [f"{record}: {problem}" for problem in check_history(files.versions(record, folder))]
        except SchemaError as error:
            wrong.append(f"{record}: {error}")
    return len(names), wrong


async def check_registry(registry: Registry, catalogue: Catalogue, folder: Path | None = None) -> list[str]:
    """What the newest schema of each subject cannot read of the subject's registered versions.

    Raises:
        TransientError: the registry is away.
        PermanentError: a file is missing or not JSON.
    """
    wrong = []
    for subject, record in catalogue.subjects().items():
        try:
            newest = parse_record(files.latest(record, folder))
        except SchemaError:
            continue  # check_files says so
        for number, registered in enumerate(await registry.versions(subject), start=1):
            try:
                found = problems(newest, parse_record(registered))
            except SchemaError as error:
                found = [str(error)]
            wrong += [f"{subject}: cannot read registered version {number}: {problem}" for problem in found]
    return wrong
