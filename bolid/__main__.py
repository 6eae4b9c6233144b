"""`python -m bolid`: the same as `bolid`."""

from bolid.cli import main

if __name__ == "__main__":
    main()
