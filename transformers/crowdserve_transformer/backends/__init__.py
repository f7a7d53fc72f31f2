"""The Tritons behind the host name of the predictor, and which of them a picture goes to.

addresses.py   the host's addresses: one, or with a headless Service one per ready pod
backend.py     one Triton: its connections, what is known about it, the pictures that it works on
balance.py     the least busy of several
pool.py        the least busy Triton that can be used; another where a connection broke
"""
