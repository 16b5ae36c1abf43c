"""`penstock lake`: care for the Parquet files."""

import asyncio
import json

import click

from penstock.cli.endpoints import resolve
from penstock.cli.printable import printable
from penstock.clock import SystemClock
from penstock.lake.store import open_store
from penstock.lake.vacuum import Survey, remove, survey


@click.group()
def lake() -> None:
    """Care for the Parquet files in the object store."""


@lake.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def vacuum(ctx: click.Context, *, dry_run: bool, as_json: bool) -> None:
    """Remove files that no manifest names and that are older than 24 hours.

    They are left behind by a writer that died before its manifest, and no reader of manifests sees them.
    """
    url = resolve(ctx).object_store_url
    found = asyncio.run(_vacuum(url, dry_run=dry_run))
    if as_json:
        click.echo(json.dumps(_as_json(found, removed=not dry_run), indent=2))
        return
    for orphan in found.orphans:
        click.echo(f"{orphan.written_at:%Y-%m-%d %H:%M} {orphan.bytes:>12,}  {printable(orphan.path)}")
    for path in found.strangers:
        click.echo(f"left alone, no file of Penstock's: {printable(path)}", err=True)
    what = "would be removed" if dry_run else "removed"
    click.echo(
        f"{len(found.orphans):,} files of {found.orphan_bytes:,} bytes {what}; {found.named_files:,} are named by "
        "manifests",
        err=True,
    )


async def _vacuum(url: str, *, dry_run: bool) -> Survey:
    store = open_store(url, make=False)
    found = await survey(store, SystemClock().now_ms())
    if not dry_run:
        await remove(store, found.orphans)
    return found


def _as_json(found: Survey, *, removed: bool) -> dict[str, object]:
    return {
        "removed": removed,
        "orphans": [
            {"path": orphan.path, "bytes": orphan.bytes, "written_at": orphan.written_at.isoformat()}
            for orphan in found.orphans
        ],
        "named_files": found.named_files,
        "young_files": found.young_files,
        "strangers": list(found.strangers),
    }
