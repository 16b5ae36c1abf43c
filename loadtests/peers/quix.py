"""The copying stage by Quix Streams. The last commit is not counted, in its favour."""

from quixstreams import Application  # type: ignore[import-not-found]  # only in its own environment

from loadtests.contender import COMMIT_EVERY_S, Job, Stopwatch, Told, serve


def quix(job: Job) -> Told:
    watch, left = Stopwatch(), job.records

    def processed(_topic: str, _partition: int, _offset: int) -> None:
        nonlocal left
        watch.start()
        left -= 1
        if left == 0:
            watch.stop()
            app.stop()

    app = Application(
        job.bootstrap_servers,
        consumer_group=job.name,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once" if job.exactly_once else "at-least-once",
        commit_interval=COMMIT_EVERY_S,
        on_message_processed=processed,
        producer_extra_config={"compression.type": "lz4", "linger.ms": 5, "queue.buffering.max.messages": 500_000},
        consumer_extra_config={"fetch.queue.backoff.ms": 10, "queued.max.messages.kbytes": 65536},
        loglevel="ERROR",
    )
    frame = app.dataframe(app.topic(job.source, value_deserializer="bytes", key_deserializer="bytes"))
    frame.to_topic(app.topic(job.target, value_serializer="bytes", key_serializer="bytes"))
    app.run()
    return watch.told()


if __name__ == "__main__":
    serve(quix)
