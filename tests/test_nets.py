"""The translation networks: published counts and sizes, what a patch sees, what skips and noise do.

The U-Net is also compared with pix2pix's own order of layers. Wide networks are made here but never drawn or run.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from oracles import close

from inachus.engine import Tensor, constant, grad, nn, no_grad, ops
from inachus.engine.errors import UsageError
from inachus.engine.nn import init
from inachus.engine.random import Generator
from inachus.models.cli import main
from inachus.models.cli.models import networks
from inachus.models.nets import patchgan, resnet, unet

FIELDS = {0: 1, 1: 16, 2: 34, 3: 70, 4: 142, 5: 286}  # pixels a side that one output sees, by layers


def drawn(network, seed=0):
    """The network with weights wide enough that every part of it matters."""
    return network.initialize(Generator(seed), init.he(0.2))


def pictures(n, size, channels=3, seed=0):
    """Noise in the shape of pictures."""
    return Generator(seed).normal((n, size, size, channels))


def output(network, x):
    """What the network makes of an array, as an array."""
    with no_grad():
        return network(constant(x)).numpy()


# --- published numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "trainable", "fixed"), [
    (lambda: unet.UNet(256, 3, 3), 54_413_955, 9_856),
    (lambda: unet.UNet(256, 3, 3, norm="instance"), 54_409_603, 0),
    (lambda: unet.UNet(128, 3, 3), 41_828_995, 7_808),
    (lambda: patchgan.discriminator(6), 2_768_705, 1_792),
    (lambda: patchgan.discriminator(3, norm="instance"), 2_764_737, 0),
    (lambda: resnet.generator(3, 3), 11_378_179, 0),
    (lambda: resnet.generator(3, 3, blocks=6), 7_837_699, 0),
])
def test_published_parameter_counts(monkeypatch, network, trainable, fixed):
    monkeypatch.setattr(nn.layers.Weighted, "draw", lambda *_: None)
    assert nn.counts(network()) == (trainable + fixed, trainable, fixed)


def test_weights_are_drawn_as_published():
    network = unet.UNet(32, 3, 3, width=8).initialize(Generator(0), init.normal(0.02), init.normal(0.02, 1.0))
    for name, t in network.named_parameters():
        w = t.data
        mean, std = (0, 0) if name.endswith("bias") else (1, 0.02) if ".norm." in name else (0, 0.02)
        assert abs(w.mean() - mean) <= 5 * std / w.size**0.5, name
        assert abs(w.std() - std) <= 5 * std / (2 * w.size) ** 0.5, name


@pytest.mark.parametrize(("network", "names"), [
    (lambda: unet.UNet(32, 3, 3, width=1), {"down.0.conv.weight", "down.3.norm.running_mean", "up.4.conv.bias"}),
    (lambda: patchgan.discriminator(3, width=1), {"layer1.conv.bias", "layer4.norm.weight", "logits.weight"}),
    (lambda: resnet.generator(3, 3, width=1), {"stem.conv.weight", "block9.conv2.bias", "up2.conv.weight"}),
])
def test_parameters_have_names_that_say_where_they_are(network, names):
    assert names <= network().state_dict().keys()


# --- shapes and gradients ----------------------------------------------------------------------------------


def check_gradients(network, x, shape):
    """Output of the shape and float32; gradients finite, and none of a weight lost on its way."""
    x = Tensor(x, requires_grad=True)
    y = network(x)
    assert y.shape == shape and y.dtype == np.float32
    leaves = {"x.weight": x, **dict(network.named_parameters())}
    for name, g in zip(leaves, grad(y, leaves.values(), constant(Generator(9).normal(shape))), strict=True):
        assert g.dtype == np.float32 and np.isfinite(g.data).all(), name
        assert g.data.any() or name.endswith("bias"), name  # a norm takes the bias in front of it away


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(("size", "channels", "outputs"), [(32, 1, 3), (64, 3, 1), (128, 4, 2), (256, 3, 3)])
def test_unet_keeps_the_size_and_carries_gradients(size, channels, outputs, norm):
    network = drawn(unet.UNet(size, channels, outputs, width=2, norm=norm))
    assert len(network.down) == len(network.up) == np.log2(size)
    check_gradients(network, pictures(2, size, channels), (2, size, size, outputs))
    assert np.abs(output(network, pictures(1, size, channels))).max() < 1


def test_unet_goes_down_to_one_pixel_and_takes_multiples_of_its_size():
    network, x = drawn(unet.UNet(32, 3, 3, width=2)), constant(pictures(2, 32))
    for level in network.down:
        x = level(x)
    assert x.shape == (2, 1, 1, 16)
    assert output(network, Generator(0).normal((1, 32, 64, 3))).shape == (1, 32, 64, 3)


@pytest.mark.parametrize("size", [0, 16, 28, 48, 512])
def test_unet_names_the_sizes_it_makes(size):
    with pytest.raises(UsageError, match=f"32, 64, 128, 256 pixels, not {size}: .*--set size"):
        unet.UNet(size, 3, 3)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(("layers", "side"), [(0, 256), (1, 126), (2, 62), (3, 30), (4, 14), (5, 6)])
def test_patchgan_judges_patches(layers, side, norm):
    network = drawn(patchgan.discriminator(6, width=2, layers=layers, norm=norm))
    check_gradients(network, pictures(1, 256, 6), (1, side, side, 1))


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(("blocks", "size"), [(6, 32), (9, 16)])
def test_resnet_keeps_the_size_and_carries_gradients(blocks, size, norm):
    network = drawn(resnet.generator(3, 1, width=2, blocks=blocks, norm=norm))
    assert sum(isinstance(layer, resnet.Residual) for layer in network) == blocks
    check_gradients(network, pictures(2, size), (2, size, size, 1))


def test_a_residual_block_adds_to_what_it_gets():
    x = constant(pictures(1, 4))
    block = resnet.Residual(nn.Conv2d(3, 3, 1), nn.LeakyReLU())
    np.testing.assert_array_equal(block(x).data, (x + nn.Sequential(*block)(x)).data)


def test_reflection_pad_mirrors_without_repeating_the_border():
    x = pictures(2, 5)
    y = nn.ReflectionPad(2)(constant(x)).data
    np.testing.assert_array_equal(y, x[:, [2, 1, 0, 1, 2, 3, 4, 3, 2]][:, :, [2, 1, 0, 1, 2, 3, 4, 3, 2]])


# --- receptive fields --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "size"), FIELDS.items())
def test_the_receptive_field_is_the_published_one_and_the_measured_one(layers, size):
    network = patchgan.discriminator(1, width=1, layers=layers)
    assert patchgan.receptive_field(network)[-1].size == size
    network.initialize(Generator(0), init.normal(0, mean=0.5)).eval()  # nothing cancels; norms see no other pixel
    x = Tensor(np.ones((1, 384, 384, 1), np.float32), requires_grad=True)
    y = network(x)
    middle = y.shape[1] // 2
    seen = grad(y[0, middle, middle, 0], [x])[0].data[0, :, :, 0] != 0
    rows, cols = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    assert np.array_equal(rows, rows[0] + np.arange(size)) and np.array_equal(rows, cols)
    assert seen.sum() == size**2


def test_receptive_fields_layer_by_layer():
    fields = patchgan.receptive_field(patchgan.discriminator(3, width=1))
    assert fields == [("logits", 4, 1, 4), ("layer4.conv", 4, 1, 7), ("layer3.conv", 4, 2, 16),
                      ("layer2.conv", 4, 2, 34), ("layer1.conv", 4, 2, 70)]


def test_the_command_prints_them_with_the_formula(capsys):
    assert main(["models", "--receptive-field"]) == 0
    told = capsys.readouterr().out
    assert "size_in = (size_out - 1) * stride + kernel" in told and "(34 - 1) * 2 + 4 = 70" in told
    assert [line.split()[-4:] for line in told.splitlines() if line.endswith("pixels")] == [
        [str(size), "x", str(size), "pixels"] for size in FIELDS.values()]
    assert main(["models", "gan", "--receptive-field"]) == 2


def test_networks_that_are_no_sequence_are_counted_too():
    G, D = unet.UNet(32, 3, 3, width=1), patchgan.discriminator(6, width=1)
    told = networks(SimpleNamespace(G=G, D=D, network_inputs=lambda: {"G": (32, 32, 3), "D": (32, 32, 6)}))
    assert "G UNet: total {:,}, trainable {:,}, non-trainable {:,}".format(*nn.counts(G)) in told
    assert "logits Conv2d" in told and "(None, 2, 2, 1)" in told


# --- the U-Net's layers ------------------------------------------------------------------------------------


def published(network, x):
    """pix2pix's order: an activation in front of each convolution but the first, the sums of norms as skips."""
    skips = []
    for level in network.down:
        x = level[0](ops.leaky_relu(x) if skips else x)
        x = level[1](x) if isinstance(level[1], nn.BatchNorm | nn.InstanceNorm) else x
        skips.append(x)
    x = skips.pop()
    for level in network.up:
        parts = [layer for layer in level if not isinstance(layer, nn.ReLU)]
        x = nn.Sequential(*parts)(ops.relu(x))
        x = ops.concat([skips.pop(), x], axis=3) if skips else x
    return x


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_unet_computes_what_pix2pix_computes(norm):
    network, weights = drawn(unet.UNet(32, 3, 3, width=4, norm=norm)), constant(pictures(2, 32, seed=1))
    results = []
    for compute in (network, lambda x: published(network, x)):
        for i, (_, m) in enumerate(network.modules()):
            m.draw(Generator(i), init.he(0.2), None)  # the same masks again
        x = Tensor(pictures(2, 32), requires_grad=True)
        y = compute(x)
        results.append((y.data, grad(y, [x], weights)[0].data))
    for got, expected in zip(*results, strict=True):
        close(got, expected, terms=10 * 16 * 64)  # ten convolutions, the largest sums of 4 x 4 x 64


def without_skip(network, level):
    """The U-Net with this up level deaf to what the down level of its size has seen, the deepest to everything."""
    w = network.up[level][0].weight.data  # (4, 4, O, C), of C the skip first
    w[..., : w.shape[3] // 2 if level else None] = 0
    return network


@pytest.mark.parametrize("level", range(5))
def test_every_skip_is_used(level):
    x = pictures(2, 32)
    whole, cut = (drawn(unet.UNet(32, 3, 3, width=2, dropout=0)) for _ in range(2))
    assert np.abs(output(whole, x) - output(without_skip(cut, level), x)).max() > 1e-3


def test_skips_alone_still_carry_the_picture():
    network = without_skip(drawn(unet.UNet(32, 3, 3, width=2, dropout=0)), 0)
    assert np.abs(output(network, pictures(2, 32)) - output(network, pictures(2, 32, seed=1))).max() > 1e-3


def test_dropout_is_the_noise_of_the_three_innermost_levels():
    for size in unet.SIZES:
        network = unet.UNet(size, 3, 3, width=1)
        assert [any(isinstance(layer, nn.Dropout) for layer in level) for level in network.up[:4]] == [1, 1, 1, 0]


@pytest.mark.parametrize("training", [True, False])
def test_noise_is_on_in_both_modes_and_off_on_request(training):
    x = pictures(2, 32)
    noisy = drawn(unet.UNet(32, 3, 3, width=4)).train(training)
    still = drawn(unet.UNet(32, 3, 3, width=4, dropout=0)).train(training)
    first = output(noisy, x)
    assert np.abs(first - output(noisy, x)).max() > 1e-3
    assert np.array_equal(output(still, x), output(still, x))
    again = drawn(unet.UNet(32, 3, 3, width=4)).train(training)
    assert np.array_equal(first, output(again, x))
