"""How a command ends when it is not good. Usage errors (2) are click's own."""

import click


class NotSo(click.ClickException):
    """What was asked is not so: unbalanced, some failed, not up."""

    exit_code = 1


class EnvironmentProblem(click.ClickException):
    """What the command needs is not there: a broker, a port, disk space."""

    exit_code = 3
