"""A fuzzer of everything that turns a stranger's bytes into images and tensors.

    seeds ──► edits ──► worker ──► targets: decode_image, the v1, v2 and gRPC decoders
                          │
                          └──► findings ──► report

seeds.py     valid files of every format, and valid messages, made here
parts.py     a file cut into its chunks and joined again, with lengths and checksums set right
edits.py     what is done to a seed: flips, cuts, copies, numbers overwritten
targets.py   the functions under test, and what they may cost
trial.py     one input given to one target: accepted, refused, or a finding
last_input.py, own_memory.py    what a dead worker tried; what a trial takes
worker.py    a process that makes trials until its time is over
campaign.py  the workers' parent: notices those that die or hang
report.py    findings as files, statistics as a table
"""
