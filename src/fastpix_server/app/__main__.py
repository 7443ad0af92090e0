"""`python -m fastpix_server.app ROLE`: how the supervisor starts its children."""

import click

from fastpix_server.app import children, commands


@click.group(help="One role of the platform; people use the command fastpix.")
@click.option("--held", is_flag=True, help="Load everything, then wait for a line on stdin before beginning.")
def main(held: bool) -> None:
    if held:
        children.hold()


_ROLES = (commands.http, commands.worker, commands.ingest, commands.analytics)
for _command in (*_ROLES, commands.migrate, commands.prepare):
    main.add_command(_command)

main()
