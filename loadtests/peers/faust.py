"""The copying stage by faust-streaming. What it does after the last record is not counted, in its favour."""

import asyncio
import tempfile

import faust as library  # type: ignore[import-not-found]  # only in its own environment

from loadtests.contender import COMMIT_EVERY_S, Job, Stopwatch, Told, serve


def faust(job: Job) -> Told:
    watch, left = Stopwatch(), job.records
    with tempfile.TemporaryDirectory() as folder:
        app = library.App(
            job.name,
            broker=f"kafka://{job.bootstrap_servers}",
            datadir=folder,
            processing_guarantee="exactly_once" if job.exactly_once else "at_least_once",
            broker_commit_interval=COMMIT_EVERY_S,
            consumer_auto_offset_reset="earliest",
            producer_compression_type="lz4",
            producer_linger_ms=5,
            producer_acks=-1,
            topic_disable_leader=True,
            web_enabled=False,
        )
        source = app.topic(job.source, key_serializer="raw", value_serializer="raw")
        target = app.topic(job.target, key_serializer="raw", value_serializer="raw")
        done = asyncio.Event()

        @app.agent(source)  # type: ignore[untyped-decorator]  # only in its own environment
        async def copy(stream: "library.Stream[bytes]") -> None:
            nonlocal left
            async for event in stream.events():
                watch.start()
                await event.forward(target, timestamp=event.message.timestamp)
                left -= 1
                if left == 0:
                    watch.stop()
                    done.set()

        async def until_done() -> None:
            async with app:
                await done.wait()

        asyncio.run(until_done())
    return watch.told()


if __name__ == "__main__":
    serve(faust)
