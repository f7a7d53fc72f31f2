"""How much a load needs: `crowdserve plan`.

    figures: what a photo costs, measured or estimated ─► devices: its cost on one of them ─┐
    demand: cameras, or photos per second ──────────────────────────────────────────────────┼─► plan ─► report
    queueing: how long a photo waits among servers that are so busy ────────────────────────┘

figures.py   the files in figures/, which the benchmarks write; each figure says where it is from
devices.py   the devices, and their times for a photo
demand.py    photos per second, and of which size
queueing.py  waiting in front of servers of constant time
plan.py      replicas, cores, memory, traffic, and what is full first
report.py    the plan as text and as JSON
"""
