"""What the build and the tests share; nothing of it is installed."""
