"""How long the ledger counts: `python -m loadtests.ledger [--records 100000]`, with `eval "$(penstock env)"` before it.

Four topics, the table and ten files with as many records each, in topics and a database of its own, which it drops.
Prints the seconds of every account, and of a second count that finds nothing new.
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

from tests.conftest import RunningStack
from tests.integration.ledger.world import World, small_world

TOPICS = ("raw", "unique", "enriched", "scored")
FILES = 10


async def fill(world: World, records: int) -> None:
    uids = [os.urandom(16) for _ in range(records)]
    for account in TOPICS:
        for first in range(0, records, 10_000):
            world.write(account, *uids[first : first + 10_000])
    await world.insert(*uids)
    for first in range(0, records, -(-records // FILES)):
        await world.store(*uids[first : first - (-records // FILES)])


async def main(records: int) -> int:
    stack = RunningStack(
        os.environ["PENSTOCK_BOOTSTRAP_SERVERS"], "", os.environ["PENSTOCK_POSTGRES_DSN"], "", "", Path()
    )
    with tempfile.TemporaryDirectory() as folder:
        async with small_world(stack, Path(folder)) as world:
            await fill(world, records)
            ledger = await world.open()
            try:
                started_s = time.perf_counter()
                now = [started_s]

                def told(what: str, done: int, total: int) -> None:
                    now.append(time.perf_counter())
                    print(f"{what.rpartition('.')[2]:<12} {done:>9,} of {total:>9,}  {now[-1] - now[-2]:6.2f} s")

                verdict = await ledger.count(told)
                print(f"balanced {verdict.balanced}, {time.perf_counter() - started_s:.2f} s of {records:,} records")
                started_s = time.perf_counter()
                await ledger.count(lambda *_: None)
                print(f"again {time.perf_counter() - started_s:.2f} s")
            finally:
                await ledger.close()
    return 0 if verdict.balanced else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000, help="in each topic and store")
    raise SystemExit(asyncio.run(main(parser.parse_args().records)))
