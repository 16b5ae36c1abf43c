"""`python -m services.sink postgres|s3`: one process for each, since one may run without the other."""

import sys

from penstock.service import run
from services.sink.settings import PostgresSettings, S3Settings

if __name__ == "__main__":
    # Neither loads what only the other needs, the migrations' libraries above all: starts take long enough.
    match sys.argv[1:]:
        case ["postgres"]:
            from services.sink.postgres import app as postgres

            run(postgres.STAGE, PostgresSettings, postgres.build)
        case ["s3"]:
            from services.sink.s3 import app as s3

            run(s3.STAGE, S3Settings, s3.build)
        case _:
            sys.exit("usage: python -m services.sink postgres|s3")
