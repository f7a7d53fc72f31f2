"""SSDCNet, in PyTorch.

train ──► net ──► loss, winograd          mean: the mean of several runs' weights, for `training.average_weights`
"""
