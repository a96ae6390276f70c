"""What is no convolution on the GPU: normalisation, activations, losses, optimizers, random numbers, pictures.

All of it waits for memory, so each kernel is judged by the bytes it moves and by how near it comes to the speed of a
copy. `packs.cuh` has the wide loads and stores, `columns.cuh` the sums over pixels; every `.cu` file stands beside its
launcher of the same name. Read `activation.cu` next, then `norm.cu`.
"""
