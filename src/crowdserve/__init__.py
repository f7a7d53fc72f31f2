"""crowdserve counts people in crowd photos: the package that training, export and serving share."""

__version__ = "0.2.0"
