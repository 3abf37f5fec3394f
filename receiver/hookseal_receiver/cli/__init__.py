"""`hookseal-receiver`: generate a key pair; receive and print events."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        from hookseal_receiver.cli.app import app
    except ImportError as error:
        sys.exit(f"extra_missing (cli): {error.name} is missing; install hookseal-receiver[cli].")
    app()
