"""`python -m export.csrnet`."""

from export.csrnet.convert import main

if __name__ == "__main__":
    main()
