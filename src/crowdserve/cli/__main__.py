"""`python -m crowdserve.cli`, where the command `crowdserve` is not on the path."""

from crowdserve.cli.app import main

if __name__ == "__main__":
    main()
