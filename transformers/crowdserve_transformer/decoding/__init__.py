"""Decoding in processes of their own, which can be stopped: a file from a stranger may be made to take minutes.

counter ─► decoders ─► process ═╦═ JSON lines and the file ═► worker ─► crowdserve.images
              │                 ╚═ memory that both see ◄════════╝
              └─► budget

decoders.py      shares a few processes among all photos
process.py   one process: started, asked, stopped, replaced
worker.py    what runs in it, under limits of memory and processor time that the kernel keeps
messages.py  what the two say to each other; the server trusts nothing of it
"""
