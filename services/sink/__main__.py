import sys

from penstock.service import run
from services.sink import app
from services.sink.settings import PostgresSettings, S3Settings

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["postgres"]:
            run(app.POSTGRES, PostgresSettings, app.build_postgres)
        case ["s3"]:
            run(app.S3, S3Settings, app.build_s3)
        case _:
            sys.exit("usage: python -m services.sink postgres|s3")
