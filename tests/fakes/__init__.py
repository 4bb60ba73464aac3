"""Stand-ins for what these machines do not have: CUDA and TensorRT, held to NVIDIA's own signatures."""
