"""Training of every layer of a counting network on one GPU, within a given time.

packed ──► windows ──► run ──► <card>.npz, log.json ──► keep ──► a checkpoint folder for `export`
                        ├─ nets      the networks in PyTorch, and their start
                        └─ losses    errors of a batch

The other packages of training compute features of frozen layers once, because their machine has two cores. A GPU needs
no such economy: photos lie in the memory of worker processes, which draw windows of them for every step.
"""
