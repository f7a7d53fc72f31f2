"""Performance: `make bench`.

serve           the service against bare onnxruntime
process_stats   processor time and memory of a tree of processes
"""
