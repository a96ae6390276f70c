"""Super-resolution: the paper's sizes, pairs made from single pictures, the adversary's entrance, and what is scored.

What every model promises is tried in `test_models.py`; that it beats bicubic interpolation, a training shows.
"""

from functools import partial

import numpy as np
import pytest
import small
from PIL import Image
from PIL.Image import Resampling

from inachus import kernels
from inachus.engine import constant, data, grad, losses, nn, no_grad, ops
from inachus.engine.data.pairs import made
from inachus.engine.errors import DataError, UsageError
from inachus.engine.evaluation import fidelity, verdict
from inachus.engine.evaluation.translation import judge_of
from inachus.engine.nn import init
from inachus.engine.random import Generator
from inachus.engine.tensor import Tensor
from inachus.engine.training import state
from inachus.engine.training.loop import Plan, train
from inachus.kernels.steps import WARM_UP, Stepper
from inachus.models.cli.evaluate import in_parts
from inachus.models.nets import srgan

SIZE = 16


def photos(count=20, size=SIZE, seed=0):
    """Blocks of colour with some noise."""
    noise = np.random.default_rng(seed).integers(0, 40, (count, size, size, 3))
    return data.Dataset("photos", (small.pictures(count, size, seed) // 2 + 40 + noise).astype(np.uint8))


def model(*pairs, seed=0, shape=(SIZE, SIZE, 3)):
    return small.model("superresolution", *pairs, seed=seed, shape=shape)


def batch(trained, position=0, size=4, dataset=None):
    return trained.loader(dataset or photos(), size, 0).batch_at(position)


def weights(network):
    """Copies of the parameters and the running statistics."""
    return {name: a.copy() for name, a in network.state_dict().items()}


def same(a, b):
    """Bit for bit."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


# --- networks ----------------------------------------------------------------------------------------------


def test_the_networks_have_the_papers_sizes(monkeypatch):
    monkeypatch.setattr(nn.layers.Weighted, "draw", lambda *_: None)
    assert nn.counts(srgan.generator(3))[1] == 1_549_462
    assert nn.counts(srgan.generator(3, skip=True))[1] == 1_549_462
    assert nn.counts(srgan.discriminator(3, size=96))[1] == 23_565_505


@pytest.mark.parametrize("scale", srgan.SCALES)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_size_come_out_larger(scale, channels):
    trained = model(f"scale={scale}", shape=(SIZE, SIZE, channels))
    for height, width in ((1, 1), (3, 5)):
        y = trained.translate(np.zeros((2, height, width, channels), np.float32))
        assert y.shape == (2, scale * height, scale * width, channels) and y.dtype == np.float32


@pytest.mark.parametrize(("side", "patches"), [(16, 1), (17, 2), (48, 3)])
def test_each_judgement_is_of_sixteen_pixels(side, patches):
    D = srgan.discriminator(3, width=1)
    assert D(constant(np.zeros((2, side, side, 3), np.float32))).shape == (2, patches, patches, 1)


def test_the_skip_adds_every_pixel_to_the_block_it_becomes():
    x = Generator(0).normal((1, 3, 2, 3))
    plain, skipped = (srgan.generator(3, 2, 1, 2, 3, skip) for skip in (False, True))
    for network in (plain, skipped):
        network.initialize(Generator(1), init.he()).eval()
    with no_grad():
        added = skipped(constant(x)).numpy() - plain(constant(x)).numpy()
    np.testing.assert_allclose(added, np.kron(x, np.ones((1, 2, 2, 1))), atol=1e-5)


def test_a_prelu_learns_the_slope_of_what_is_negative():
    layer, x = nn.PReLU(), np.array([[-2.0, 3.0, -0.5, 1.0]], np.float32)
    assert layer(constant(x)).numpy().tolist() == [[-0.5, 3, -0.125, 1]]
    (slope,) = grad(layer(constant(x)).sum(), [layer.slope])
    assert slope.numpy().tolist() == [-2.5]
    layer.slope.data[...] = -1
    assert layer(constant(x)).numpy().tolist() == [[2, 3, 0.5, 1]]
    nn.Sequential(layer).initialize(Generator(0), init.he())
    assert layer.slope.numpy().tolist() == [0.25]


# --- pairs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_the_small_pictures_are_pillows_own(channels):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 24, 32, channels), np.uint8)
    for picture, low, high in zip(pictures, made.reduced(pictures, 4), made.enlarged(pictures, 2), strict=True):
        image = Image.fromarray(picture[..., 0] if channels == 1 else picture)
        for size, found in (((8, 6), low), ((64, 48), high)):
            expected = np.asarray(image.resize(size, Resampling.BICUBIC))
            np.testing.assert_array_equal(expected.reshape(found.shape), found)


def test_a_batch_holds_crops_and_the_same_reduced():
    pictures = photos(6, 20)
    crops = made.Crops(pictures, 6, seed=3, side=13, scale=4)
    pair = crops.batch_at(2)
    assert (pair.a.shape, pair.b.shape) == ((6, 3, 3, 3), (6, 12, 12, 3))
    high = np.rint((pair.b + 1) * 127.5).astype(np.uint8)
    np.testing.assert_array_equal(np.rint((pair.a + 1) * 127.5).astype(np.uint8), made.reduced(high, 4))
    rows = crops.order.indices_at(2)
    for crop, whole in zip(high, pictures.items[rows], strict=True):
        windows = [whole[i : i + 12, j : j + 12] for i in range(9) for j in range(9)]
        assert any(np.array_equal(crop, w) or np.array_equal(crop, w[:, ::-1]) for w in windows)


def test_crops_depend_on_the_seed_and_the_position_alone():
    one, again = (made.Crops(photos(), 4, seed, 8, 4) for seed in (7, 7))
    expected = [one.batch_at(i).b for i in range(5)]
    for i in (3, 0, 4):
        np.testing.assert_array_equal(again.batch_at(i).b, expected[i])
    assert not np.array_equal(made.Crops(photos(), 4, 8, 8, 4).batch_at(0).b, expected[0])
    flips = [made.Crops(photos(), 4, 0, SIZE, 4, flip).batch_at(0).b for flip in (True, False)]
    assert not np.array_equal(*flips)  # whole pictures: mirrored, or not


def test_pictures_too_small_are_refused():
    with pytest.raises(UsageError, match="3 x 30 pixels are too small to be reduced 4 times"):
        model(shape=(30, 3, 3))


def test_test_pairs_are_whole_pictures_in_whole_multiples():
    pairs = model().test_pairs(photos(3, 18))
    assert (pairs.a.shape, pairs.b.shape) == ((3, 4, 4, 3), (3, 16, 16, 3))
    np.testing.assert_array_equal(pairs.b, photos(3, 18).items[:, :16, :16])
    np.testing.assert_array_equal(pairs.a, made.reduced(pairs.b, 4))


def test_photos_of_several_sizes_become_squares_of_the_smallest_usual_one(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(60):  # one is far smaller than the others
        width, height = (4, 4) if i == 7 else (20 + i, 30)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(tmp_path / f"{i}.png")
    with pytest.raises(DataError, match="differ in size"):
        data.load(tmp_path)
    assert data.load(tmp_path, mixed=256).shape == (22, 22, 3)
    assert data.load(tmp_path, mixed=16).shape == (16, 16, 3)
    assert data.load(tmp_path, mixed=256, size=8).shape == (8, 8, 3)


# --- the step ----------------------------------------------------------------------------------------------


def test_the_content_network_meets_no_adversary():
    trained = model("loss=content", "decay=4", "pretrain=0")
    before = weights(trained.D)
    for position in range(6):
        assert set(trained.step(batch(trained, position))) == {"content"}
    assert same(before, weights(trained.D))


def test_the_adversary_comes_in_at_its_step():
    trained = model("decay=8", "pretrain=0.5")
    told = [set(trained.step(batch(trained, position))) for position in range(6)]
    assert told[:4] == [{"content"}] * 4 and told[4] == told[5] == {"content", "d_loss", "g_loss", "D(x)", "D(G(z))"}
    assert (trained.g_optimizer.steps, trained.d_optimizer.steps) == (6, 2)


def test_learning_rates_fall_twice():
    trained = model("decay=100", "pretrain=0.6", "lr=1", "lr_gan=0.1")
    rates = [trained.rate()(step) for step in range(101)]
    assert rates[:31] == [1.0] * 31 and rates[59] < 0.05
    assert rates[60:81] == [0.1] * 21 and rates[100] == pytest.approx(0.001)
    assert np.diff(rates[:60]).max() <= 0 and np.diff(rates[60:]).max() <= 0


def test_a_step_of_one_network_leaves_the_other_bit_for_bit():
    trained = model("pretrain=0", "features=0.5")
    pair = batch(trained)
    high, fake = constant(pair.b), trained.G(constant(pair.a))
    G, D = weights(trained.G), weights(trained.D)
    trained.discriminator_step(high, fake)
    assert same(G, weights(trained.G)) and not same(D, weights(trained.D))
    D = {name: t.data.copy() for name, t in trained.D.named_parameters()}
    trained.g_optimizer.minimize(trained.adversary(high, fake)[0])
    assert same(D, {name: t.data for name, t in trained.D.named_parameters()}) and not same(G, weights(trained.G))


def test_the_losses_are_those_of_the_formula():
    trained = model("pretrain=0", "adversary=0.25", "features=2", "content=mse")
    pair = batch(trained)
    high, fake = constant(pair.b), Tensor(pair.b[::-1].copy(), requires_grad=True)
    loss, values = trained.adversary(high, fake)
    logits, seen, there = (network(x).numpy().astype(float) for network, x in (
        (trained.D, fake), (trained.D[0], fake), (trained.D[0], high)))
    expected = np.log1p(np.exp(-logits)).mean(), np.square(seen - there).mean()
    assert (values["g_loss"].item(), values["features"].item()) == pytest.approx(expected, rel=1e-4)
    assert loss.item() == pytest.approx(0.25 * expected[0] + 2 * expected[1], rel=1e-4)
    low = constant(pair.a)
    content = losses.mse(trained.G(low), high).item()
    assert trained.step(pair)["content"] == pytest.approx(content, rel=1e-5)


def test_dense_layers_judge_squares():
    trained = model("dense=on", "pretrain=0", "crop=16")
    assert np.isfinite(list(trained.step(batch(trained)).values())).all()
    assert trained.D(constant(batch(trained).b)).shape == (4, 1)
    with pytest.raises(UsageError, match="squares, not crops of 16 x 12"):
        model("dense=on", "crop=16", shape=(12, 16, 3))


def test_a_scale_without_a_network_is_refused():
    with pytest.raises(UsageError, match="2 or 4 times, not 3"):
        model("scale=3")


def test_a_training_stopped_before_and_after_the_switch_repeats_itself(tmp_path):
    def outcome(folder, *stops):
        for steps in stops:
            trained = model("decay=8", "pretrain=0.5")
            train(trained, photos(), folder, Plan(steps, 4, log_every=1, sample_every=3), {}, lambda text: None)
        return state.collect(trained), (folder / "log.jsonl").read_text().count("d_loss")

    (arrays, values), lines = outcome(tmp_path / "whole", 7)
    for stops in ((3, 7), (4, 5, 7)):
        (found, same_values), same_lines = outcome(tmp_path / str(stops[0]), *stops)
        assert same(arrays, found) and (same_values, same_lines) == (values, lines) and lines == 3


def test_both_halves_of_the_training_are_captured(emulated):
    def outcome(capture):
        trained, said, told = model("decay=12", "pretrain=0.5"), [], []
        counts = partial(state.counters, trained), partial(state.set_counters, trained)
        stepper = Stepper(trained.step, *counts, said.append, capture, trained.phase)
        recorded = []
        for number in range(1, 13):
            stepper(number, batch(trained, number, size=2))
            recorded.append(stepper.captured is not None)
        told = stepper.read()
        assert not said
        return state.collect(trained)[0], told, recorded

    eager, told, _ = outcome(False)
    captured, again, recorded = outcome(True)
    half = [False] * WARM_UP + [True] * (6 - WARM_UP)
    assert recorded == 2 * half and again == told
    assert [set(values) == {"content"} for _, values in told] == [True] * 6 + [False] * 6
    assert same(eager, captured)


# --- what comes of it --------------------------------------------------------------------------------------


def test_it_begins_with_little_more_than_the_enlarged_input():
    trained, x = model(), np.random.default_rng(0).uniform(-0.5, 0.5, (1, 4, 4, 3)).astype(np.float32)
    assert np.abs(trained.translate(x) - np.kron(x, np.ones((1, 4, 4, 1)))).mean() < 0.2


def test_a_preview_shows_input_bicubic_output_and_truth():
    view = model().preview(photos(20, 24))
    assert view["items"].shape == (8 * 4, 24, 24, 3) and view["titles"] == ["input", "bicubic", "output", "truth"]
    np.testing.assert_array_equal(view["items"][3], photos(20, 24).normalised(slice(1))[0])


def test_it_learns():
    pictures = photos(30, SIZE)
    trained = model("loss=content", "width=8", "lr=0.003")
    first = trained.step(batch(trained, 0, 8, pictures))["content"]
    for position in range(1, 60):
        last = trained.step(batch(trained, position, 8, pictures))["content"]
    assert last < 0.7 * first
    assert ops.abs(trained.G(constant(batch(trained).a))).mean().item() > 0


def test_the_backend_does_not_matter():
    values = []
    for name in kernels.HOSTS:
        kernels.use_host(name)
        trained = model("pretrain=0")
        values.append([trained.step(batch(trained, position))["content"] for position in range(3)])
    np.testing.assert_allclose(values[0], values[-1], rtol=1e-3)


# --- scores ------------------------------------------------------------------------------------------------


def test_the_luminance_score_is_the_fields():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (2, 3, 20, 24, 3), np.uint8)

    def luminance(pictures):  # as MATLAB's rgb2ycbcr
        return pictures[:, 4:-4, 4:-4].astype(float) @ [65.481 / 255, 128.553 / 255, 24.966 / 255] + 16

    errors = np.square(luminance(x) - luminance(y)).mean(axis=(1, 2))
    assert fidelity.psnr_y(x, y) == pytest.approx(np.mean(10 * np.log10(255**2 / errors)), abs=1e-3)
    assert fidelity.psnr_y(x[..., :1], y[..., :1], border=0) == pytest.approx(fidelity.psnr(x[..., :1], y[..., :1]))


def test_bicubic_interpolation_is_scored_beside_the_network():
    trained, pictures = model(), photos(6)
    train_pairs, test_pairs = trained.test_pairs(pictures), trained.test_pairs(photos(6, 20, seed=1))
    (scores,) = judge_of(train_pairs, test_pairs, True, 6, print)(in_parts(trained, 0)).values()
    cubic = made.enlarged(test_pairs.a, 4)
    assert scores["baselines"]["bicubic"] == fidelity.enlarged_measures(cubic, test_pairs.b)
    assert set(scores["baselines"]) == {"bicubic"}  # the training pictures have another size
    table = verdict.table({"network": scores})
    assert "PSNR Y" in table and f"{scores['psnr_y']:.2f}" in table
