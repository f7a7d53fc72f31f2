"""`python -m training.ssdcnet`."""

from training.ssdcnet.train import main

if __name__ == "__main__":
    main()
