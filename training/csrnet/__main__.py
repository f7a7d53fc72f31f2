"""`python -m training.csrnet`."""

from training.csrnet.train import main

if __name__ == "__main__":
    main()
