"""Everything that crowdserve knows about NVIDIA Triton: its configuration files, its process and its protocol."""
