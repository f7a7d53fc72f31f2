"""`python -m training.every_layer`."""

from training.every_layer.run import main

main()
