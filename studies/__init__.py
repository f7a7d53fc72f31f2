"""Studies of accuracy, and of the gate of rollouts, one command per question. LOG.md has the answers, newest first.

    resolution      does another input resolution reduce the error?
    looks           is a crowd counted that is grey, out of focus, far away or tiled?
    litter          how do counts change above ground clutter?
    fp16_rounding   how far may weights stored in 16 bits move counts?
    false_positives how many people are counted in images without any?
    overlays        what do the networks see in a few images?
    drawn_images    images without people, drawn for false_positives and overlays
    latency_gate    does the gate of a rollout abort by chance on latency?

`runs/` has the chain of commands that made each shipped model file.
"""
