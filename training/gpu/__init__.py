"""Training of every layer of a counting network on one GPU, for a given time.

    data sets ──► packed ──► windows ──► stream ──┐
                     └──────► validation          ├─► train ──► output ──► <card>.npz, meta.json, log.jsonl ──► `export`
    weights ────► start ───► nets ──► trainer ────┘

    window_config.py, targets.py   how windows are drawn; the density of their heads
    losses.py, rates.py            errors of a batch; how fast each tensor learns
    recipe.py, flags.py            what a run is; the command line
    clock.py                       the rates follow the time, not the steps

The other packages of training compute features of frozen layers once, because their machine has two cores. A GPU needs
no such economy. Processes beside it draw windows on the CPU: on an H100, 15 of them kept it waiting for 1.4 s of 174 s,
so windows that are drawn on the GPU would gain nothing. It needs PyTorch, numpy, scipy, Pillow and tqdm, and ONNX only
to start from a served version.
"""
