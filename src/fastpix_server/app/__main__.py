"""`python -m fastpix_server.app ROLE`: how the supervisor starts its children."""

import click

from fastpix_server.app import commands


@click.group(help="One role of the platform; people use the command fastpix.")
def main() -> None: ...


for _command in (commands.http, commands.worker, commands.ingest, commands.analytics, commands.migrate):
    main.add_command(_command)

main()
