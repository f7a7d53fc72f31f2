"""`python -m export.ssdcnet`."""

from export.ssdcnet.convert import main

if __name__ == "__main__":
    main()
