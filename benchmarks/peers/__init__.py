"""The same CSRNet behind other servers, in PyTorch: `make peers`.

network.py     the network, as somebody would write it: decode, normalise, forward, sum
handler.py     TorchServe's handler, with that network
plain.py       FastAPI with that network
servers.py     starts either, and stops it
__main__.py    whole requests of all, after those of the service
"""
