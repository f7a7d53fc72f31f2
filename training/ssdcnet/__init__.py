"""SSDCNet, in PyTorch.

train ──► net ──► loss, winograd          mean: of several runs' weights, for `training.average_weights`
"""
