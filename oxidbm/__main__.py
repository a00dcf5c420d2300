"""`python -m oxidbm` is the command `oxidbm`."""

from oxidbm.cli import main

if __name__ == "__main__":
    main()
