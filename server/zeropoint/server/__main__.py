"""`python -m zeropoint.server`: read the settings and serve."""

import asyncio
import os
import sys

from pydantic import ValidationError
from pydantic_settings import CliApp

from zeropoint.server import logs
from zeropoint.server.app import Server
from zeropoint.server.heap import keep_freed_chunks
from zeropoint.server.settings import Settings
from zeropoint.server.storage import Scratch, make_private


def main() -> None:
    """Serve until the end; exit with 2 where the settings are wrong, with 1 where they fail."""
    os.umask(0o077)  # for the socket, and for everything below the scratch folder
    try:
        settings = CliApp.run(Settings)
    except ValidationError as error:
        for problem in error.errors():
            where = "".join(f"--{part}: ".replace("_", "-") for part in problem["loc"])
            print(f"{where}{problem['msg']}", file=sys.stderr)
        sys.exit(2)
    logs.configure()
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        sys.exit(f"zeropoint.server: {error}")


async def serve(settings: Settings) -> None:
    """Serve with `settings`, in a scratch folder of its own."""
    keep_freed_chunks()
    scratch = Scratch(settings.scratch, settings.scratch_bytes)
    try:
        make_private(settings.compiled_folder)
        await Server(settings, scratch).run()
    finally:
        scratch.remove()


if __name__ == "__main__":
    main()
