"""The whole service on one machine, as child processes that never outlive their parent.

service ──► triton ───────► processes ──► tether      `crowdserve up` on a laptop, and every end-to-end test
   └──────► transformer ──► processes ──► tether

service.py     Triton with the transformer in front of it
triton.py      the real tritonserver from the nvidia-pytriton wheel
processes.py   child processes, their logs and their ports
tether.py      run as a file: ties a command's life to the process that started it
"""
