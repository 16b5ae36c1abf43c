"""The copying stage written with Quix Streams, exactly once; run by copy_stage in a virtual environment of its own.

It knows nothing of this project, whose packages that environment does not have. The clock runs from the first record
to the last one processed: the last commit is not counted, in its favour.
"""

import json
import sys
import time

from quixstreams import Application  # type: ignore[import-not-found]  # only in its own environment


def main() -> None:
    servers, source, target, records, name = sys.argv[sys.argv.index("--contender") + 2 :]
    left, began = int(records), [0.0, 0.0]
    went = [0.0, 0.0]

    def processed(_topic: str, _partition: int, _offset: int) -> None:
        nonlocal left
        if left == int(records):
            began[:] = [time.monotonic(), time.process_time()]
        left -= 1
        if left == 0:
            took_s, cpu_s = time.monotonic() - began[0], time.process_time() - began[1]
            went[:] = [int(records) / took_s, cpu_s / int(records) * 1e6]
            app.stop()

    app = Application(
        servers,
        consumer_group=name,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=0.1,  # as often as the others
        on_message_processed=processed,
        producer_extra_config={"compression.type": "lz4", "linger.ms": 5, "queue.buffering.max.messages": 500_000},
        consumer_extra_config={"fetch.queue.backoff.ms": 10, "queued.max.messages.kbytes": 65536},
        loglevel="ERROR",
    )
    frame = app.dataframe(app.topic(source, value_deserializer="bytes", key_deserializer="bytes"))
    frame.to_topic(app.topic(target, value_serializer="bytes", key_serializer="bytes"))
    app.run()
    print(json.dumps(went))


if __name__ == "__main__":
    main()
