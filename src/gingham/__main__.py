"""`python -m gingham`, and with it `torchrun -m gingham`."""

from gingham.cli.main import main

if __name__ == "__main__":
    main()
