"""Every convolution and dense layer, forward and backward, on tensor cores.

    operands.cuh   how the operands of a matrix product reach the tensor cores
    product.cuh    a tile of the product, in three precisions: what both kernels are made of
    gather.cu      convolution and transposed convolution: windows gathered while they are multiplied
    weights.cu     the gradient in the weights: a long sum over pixels
    conv.py        their launchers, and in which precision they multiply
    linear.py      the matrix product, on the same kernels
    tiles.py       which tile a product is cut into, and the tuner; tiles.json holds its table

Read `../naive/conv.py` first, then `gather.cu`.
"""
