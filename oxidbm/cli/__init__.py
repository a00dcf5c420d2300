"""The command `oxidbm`. What it is made of needs typer and rich, the extra `cli`, so it is imported when it runs."""

import sys


def main() -> None:
    """Run the command; without its extra, say how to install it and end with exit code 2."""
    try:
        from oxidbm.cli.getting import at_once

        if at_once(sys.argv[1:]):
            return
        from oxidbm.cli.app import run

        run()
    except ModuleNotFoundError as failure:
        if (failure.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.stderr.write('oxidbm: the command line needs typer and rich: pip install "oxidbm[cli]"\n')
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write("oxidbm: interrupted\n")
        raise SystemExit(130) from None
