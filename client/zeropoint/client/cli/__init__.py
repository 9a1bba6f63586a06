"""The `zeropoint` command.

Exit codes: 0 done; 1 the server failed or cannot be reached; 2 usage, options or output;
3 the model; 4 the data, or what a program says of candidates; 5 the result is not good enough;
6 a limit; 130 cancelled.
"""

from zeropoint.client.cli.app import main

__all__ = ["main"]
