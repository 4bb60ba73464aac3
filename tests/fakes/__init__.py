"""Stand-ins for what these machines do not have, or tests do not need: an encoder; CUDA and TensorRT, held to
NVIDIA's own signatures.
"""
