"""`python -m training.gpu`."""

from training.gpu.train import main

if __name__ == "__main__":
    main()
