"""A contender that copies everything twice."""

from dataclasses import replace

from loadtests.bare import bare
from loadtests.contender import Job, Told, serve


def doubling(job: Job) -> Told:
    bare(job)
    return bare(replace(job, name=f"{job.name}-again"))


if __name__ == "__main__":
    serve(doubling)
