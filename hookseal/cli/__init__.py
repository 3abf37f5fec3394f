"""The command line: one file per command, one back end (HTTP)."""


def main() -> None:
    """Run `hookseal`."""
    from hookseal.cli.app import app

    app(prog_name="hookseal")
