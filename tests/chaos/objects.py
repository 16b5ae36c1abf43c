"""`python -m tests.chaos.objects BUCKET`: an S3 endpoint in a process of its own, until its standard input ends."""

import sys

from tests.integration.sink.s3_server import make_bucket, s3_server

with s3_server() as port:
    make_bucket(port, sys.argv[1])
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
