"""Performance and endurance: `make bench`, `make peers`, `make fuzz`, `make soak`.

serve           the service against bare runtimes
throughput      photos per second with networks that cost nothing, and whose processor time they take
capacity        what a photo costs, for `crowdserve plan`, and whether its queueing is right
peers           the same network behind TorchServe and FastAPI
gpu_figures     figures of a GPU for `crowdserve plan`
running_service `crowdserve up`, measured from outside
bare_networks   networks without a service
photo           the photo that is sent
memory          the transformer's memory with the worst pictures
gpu             the networks on a GPU, in each precision: `python -m benchmarks.gpu`
fuzz            edited files and messages on their decoders
soak            good and hostile traffic against a service
process_stats   processor time and memory of a tree of processes
worst_pictures  pictures that take the most memory
"""
