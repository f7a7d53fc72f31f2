"""Performance and endurance: `make bench`, `make fuzz`, `make soak`.

serve           the service against bare onnxruntime
memory          the transformer's memory with the worst pictures
gpu             the networks on a GPU, in each precision: `python -m benchmarks.gpu`
fuzz            edited files and messages on their decoders
soak            good and hostile traffic against a service
process_stats   processor time and memory of a tree of processes
worst_pictures  pictures that take the most memory
"""
