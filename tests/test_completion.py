"""Completion: holes and where they are, known pixels that nothing touches, both ways of filling, and the command.

What every model promises is tried in `test_models.py`; that it beats the mean and the nearest picture, a training
shows.
"""

import io

import numpy as np
import oracles
import pytest
import small
from PIL import Image
from test_cli import done, run

from inachus import kernels
from inachus.engine import constant, data, nn, ops
from inachus.engine.data import Jitter, decode
from inachus.engine.data.pairs import made
from inachus.engine.errors import UsageError
from inachus.engine.random import Generator
from inachus.engine.training import state
from inachus.engine.training.loop import Plan, train
from inachus.models import MODELS
from inachus.models.cli.complete import rectangle
from inachus.models.editing.latent import descend
from inachus.models.nets import context
from inachus.models.translation import semantic
from inachus.models.translation.blending import blended, laplacian

SIZE = 32
PLAIN = Jitter(1.0, flip=False)


def photos(count=24, size=SIZE, seed=0):
    """Four blocks of colour each."""
    return data.Dataset("photos", small.pictures(count, size, seed))


def model(*pairs, seed=0, size=SIZE):
    return small.model("completion", *pairs, seed=seed, shape=(size, size, 3))


def batch(completion, position=0, size=4):
    return completion.loader(photos(), size, 0).batch_at(position)


def weights(network):
    """Copies of the parameters."""
    return {name: t.data.copy() for name, t in network.named_parameters()}


def same(a, b):
    """Bit for bit."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def disc(size=SIZE, radius=6.0):
    """A mask (size, size, 1) that is no rectangle."""
    y, x = np.indices((size, size)) - size / 2 + 0.5
    return (x * x + y * y < radius**2).astype(np.float32)[..., None]


# --- networks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", context.SIZES)
def test_the_network_goes_down_to_one_vector_and_up_again(size):
    network = context.generator(4, 3, size, width=1, code=5)
    x, sides = constant(np.zeros((2, size, size, 4), np.float32)), []
    for layer in network:
        x = layer(x)
        sides.append(x.shape[1])
    down = [size >> i for i in range(1, size.bit_length() - 2)]
    assert sides == [*down, 1, *reversed(down), size] and x.shape == (2, size, size, 3)


def test_its_channels_are_those_of_the_paper(monkeypatch):
    monkeypatch.setattr(nn.layers.Weighted, "draw", lambda *_: None)
    convs = [m for _, m in context.generator(4, 3, 128).modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [c.weight.shape[3] for c in convs[:6]] == [64, 64, 128, 256, 512, 4000]
    assert [c.weight.shape[2] for c in convs[6:]] == [512, 256, 128, 64, 64, 3]


def test_a_size_without_a_network_is_refused():
    with pytest.raises(UsageError, match=r"32, 64, 128, 256 pixels, not 48: .*--set size=64"):
        model("skips=off", size=48)
    with pytest.raises(UsageError, match=r"a hole of 40 pixels in pictures of 32: .*from 8 to 31"):
        model("hole=40")


# --- holes -------------------------------------------------------------------------------------------------


def test_the_hole_is_gone_and_the_rest_is_there():
    holes = made.Holes(photos(), 8, 0, 16, PLAIN)
    pair = holes.batch_at(3)
    x, mask = pair.a[..., :3], pair.a[..., 3:]
    assert set(np.unique(mask)) == {0, 1} and not (x * mask).any()
    np.testing.assert_array_equal(x, pair.b * (1 - mask))
    np.testing.assert_array_equal(pair.b, photos().normalised(holes.order.indices_at(3)))


def test_holes_are_rectangles_half_of_them_whole_squares_anywhere():
    holes, sides, corners = made.Holes(photos(24), 24, 1, 16, PLAIN), [], []
    for position in range(20):
        for mask in holes.batch_at(position).a[..., 3]:
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            assert mask.sum() == len(rows) * len(columns)
            sides.append((len(rows), len(columns)))
            corners.append((rows[0], columns[0]))
    sides, corners = np.array(sides), np.array(corners)
    assert sides.min() >= 4 and sides.max() == 16
    whole = (sides == 16).all(axis=1)
    assert 0.4 < whole.mean() < 0.62  # 480 draws of one half, and a few rectangles that are as large by chance
    assert corners[whole].min() == 0 and corners[whole].max() == SIZE - 16


def test_holes_depend_on_the_seed_and_the_position_alone():
    one, again = (made.Holes(photos(), 4, seed, 16, Jitter()) for seed in (7, 7))
    expected = [one.batch_at(i).a for i in range(4)]
    for i in (2, 0, 3):
        np.testing.assert_array_equal(again.batch_at(i).a, expected[i])


def test_the_middle():
    mask = made.middle((6, 8, 3), 4)
    assert mask.sum() == 16 and mask[1:5, 2:6].all()
    pictures = np.arange(48).reshape(1, 6, 8, 1)
    np.testing.assert_array_equal(made.inside(pictures, 4)[0, ..., 0], pictures[0, 1:5, 2:6, 0])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_found_where_they_come_to_lie(mode):
    alpha = np.full((20, 40), 255, np.uint8)
    alpha[4:10, 18:26] = 0
    image = Image.fromarray(np.full((20, 40, 3), 90, np.uint8))
    if mode == "P":
        image = Image.fromarray(np.where(alpha, 1, 0).astype(np.uint8)).convert("P")
        image.info["transparency"] = 0
    else:
        image = image.convert(mode[:-1])
        image.putalpha(Image.fromarray(alpha))
    file = io.BytesIO()
    image.save(file, "PNG")
    found = decode.transparent(file.getvalue(), "x", 10)[..., 0]
    expected = (alpha[:, 10:30] == 0).reshape(10, 2, 10, 2).any((1, 3))
    np.testing.assert_array_equal(found, expected)


def test_an_opaque_picture_has_no_transparent_pixels():
    for image in (Image.new("RGB", (9, 9)), Image.new("RGBA", (9, 9), (1, 2, 3, 255))):
        file = io.BytesIO()
        image.save(file, "PNG")
        assert decode.transparent(file.getvalue(), "x", 5) is None


# --- the step ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skips", ["on", "off"])
def test_known_pixels_stay_bit_for_bit(skips):
    completion = model(f"skips={skips}")
    x, masks = photos(4).normalised(slice(3)), np.stack([disc(), made.middle((SIZE, SIZE), 16), disc(radius=9)])
    y = completion.complete(x, masks)
    known = np.broadcast_to(masks == 0, x.shape)
    assert np.array_equal(y[known], x[known]) and y.dtype == np.float32
    assert np.abs(y - x)[~known].max() > 0.01
    hidden = np.where(known, x, 0.3)  # what the hole hides is not looked at
    np.testing.assert_array_equal(completion.complete(hidden, masks), y)


def test_the_loss_is_the_mean_distance_in_the_holes():
    completion, pair = model("loss=l1"), batch(model())
    inside = np.broadcast_to(pair.a[..., 3:] > 0, pair.b.shape)
    painted = completion.G(constant(pair.a)).numpy()
    expected = np.abs(painted - pair.b)[inside].mean()
    assert completion.step(pair)["l1"] == pytest.approx(expected, rel=1e-4)


def test_the_judge_sees_the_square_around_each_hole():
    completion, masks = model(), np.zeros((4, SIZE, SIZE), np.float32)
    places = [(0, 0, 16, 16), (5, 9, 16, 16), (30, 28, 2, 4), (10, 3, 7, 16)]
    for mask, (top, left, high, wide) in zip(masks, places, strict=True):
        mask[top : top + high, left : left + wide] = 1
    found = masks[completion.around(masks)]
    assert found.shape == (4, 16, 16)
    np.testing.assert_array_equal(found.sum(axis=(1, 2)), masks.sum(axis=(1, 2)))  # nothing of it is outside
    assert found[1].all() and found[3, :7].all()


def test_a_step_of_one_network_leaves_the_other_bit_for_bit(monkeypatch):
    completion, pair = model(), batch(model())
    steps = []
    for name, network, other in (("d_optimizer", "D", "G"), ("g_optimizer", "G", "D")):
        optimizer = getattr(completion, name)
        minimize = optimizer.minimize

        def watched(loss, minimize=minimize, network=network, other=other):
            before = weights(getattr(completion, network)), weights(getattr(completion, other))
            minimize(loss)
            assert not same(before[0], weights(getattr(completion, network)))
            assert same(before[1], weights(getattr(completion, other)))
            steps.append(network)

        monkeypatch.setattr(optimizer, "minimize", watched)
    completion.step(pair)
    assert steps == ["D", "G"]


def test_a_training_stopped_and_resumed_repeats_itself(tmp_path):
    def outcome(folder, *stops):
        for steps in stops:
            completion = model()
            train(completion, photos(), folder, Plan(steps, 4, sample_every=2), {}, lambda text: None)
        return state.collect(completion)

    (arrays, values), (found, others) = outcome(tmp_path / "whole", 5), outcome(tmp_path / "stopped", 2, 5)
    assert same(arrays, found) and values == others


def test_a_captured_step_is_the_eager_one(emulated):
    from functools import partial

    from inachus.kernels.steps import WARM_UP, Stepper

    def outcome(capture):
        completion, said = model("width=1"), []
        counts = partial(state.counters, completion), partial(state.set_counters, completion)
        stepper = Stepper(completion.step, *counts, said.append, capture)
        for number in range(1, WARM_UP + 3):
            stepper(number, batch(completion, number, size=2))
        assert not said and (stepper.captured is not None) == capture
        return state.collect(completion)[0], stepper.read()

    (eager, told), (captured, again) = outcome(False), outcome(True)
    assert told == again and same(eager, captured)


def test_test_pairs_ask_for_what_the_hole_hides():
    completion, pictures = model(), photos(5)
    pairs = completion.test_pairs(pictures)
    assert (pairs.a.shape, pairs.b.shape) == ((5, SIZE, SIZE, 3), (5, 16, 16, 3))
    np.testing.assert_array_equal(pairs.b, pictures.items[:, 8:24, 8:24])
    assert (pairs.a[:, 8:24, 8:24] == 128).all() and np.array_equal(pairs.a[:, :8], pictures.items[:, :8])
    x, masks = data.dataset.normalised(pairs.a), np.repeat(made.middle((SIZE, SIZE), 16)[None], 5, axis=0)
    np.testing.assert_array_equal(completion.answer(x), completion.complete(x, masks)[:, 8:24, 8:24])


def test_it_learns():
    colours = np.random.default_rng(0).integers(0, 256, (24, 1, 1, 3), np.uint8)
    plain = data.Dataset("plain", np.broadcast_to(colours, (24, SIZE, SIZE, 3)))
    completion = model("loss=l1", "width=8", "lr=0.003")
    batches = completion.loader(plain, 8, 0)
    told = [completion.step(batches.batch_at(i))["l1"] for i in range(40)]
    assert np.mean(told[-10:]) < 0.8 * np.mean(told[:10])


# --- the search --------------------------------------------------------------------------------------------


def test_the_descent_finds_the_minimum_of_each_row():
    target = np.random.default_rng(0).uniform(-0.9, 0.9, (5, 3)).astype(np.float32)
    start = np.random.default_rng(1).uniform(-1, 1, (5, 3))
    z, cost = descend(lambda z: ops.square(z - constant(target)).sum(axis=1), start, 1.0, 150)
    np.testing.assert_allclose(z, target, atol=0.02)
    assert cost.max() < 1e-3 and cost.shape == (5,)


def test_it_stays_in_range_and_keeps_the_best_it_met():
    seen = []

    def cost(z):
        seen.append(z.numpy().copy())
        return -z.sum(axis=1)

    z, found = descend(cost, np.zeros((2, 3)), 0.5, 40)
    np.testing.assert_allclose(z, 0.5)
    np.testing.assert_allclose(found, -1.5)
    assert np.abs(seen).max() <= 0.5 and len(seen) == 41
    bumpy = descend(lambda z: ops.abs(z - 0.013).sum(axis=1), np.zeros((1, 1)), 1.0, 3, lr=0.5)  # it only overshoots
    np.testing.assert_array_equal(bumpy[0], [[0]])


def gan(prior="uniform"):
    """A GAN of digits of 28 pixels, narrow, whose average follows at once."""
    made = small.model("gan", "z=4", f"prior={prior}", shape=(12, 12, 1))
    for name, network in (("G", made.average.network), ("D", made.D)):
        network.initialize(Generator(3).spawn(name), nn.init.glorot())
    return made


@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_a_picture_that_the_generator_can_make_is_found(prior):
    maker = gan(prior)
    x = maker.sample(3, z=maker.noise(3, Generator(9)))
    masks = np.repeat(made.middle((12, 12), 6)[None], 3, axis=0)
    y = semantic.paint(maker, x, masks, steps=150, starts=6, realism=0.0)
    inside = np.broadcast_to(masks > 0, x.shape)
    assert np.abs(y - x)[inside].mean() < 0.1 * np.abs(x - np.roll(x, 1, axis=0))[inside].mean()
    assert maker.D.training


def test_the_search_lowers_its_objective_and_moves_no_weight():
    maker, rng = gan(), Generator(0)
    x, masks = np.zeros((2, 12, 12, 1), np.float32), np.repeat(made.middle((12, 12), 4)[None], 2, axis=0)
    before, networks = state.collect(maker)[0], {}
    networks |= {name: a.copy() for name, a in before.items()}
    costs = [semantic.search(maker, x, masks, steps, 5, 0.01, Generator(4))[1] for steps in (1, 10, 60)]
    assert all(c.shape == (10,) for c in costs)
    assert (costs[2] < costs[0]).all() and (costs[1] <= costs[0] + 1e-6).all()
    assert same(networks, state.collect(maker)[0]) and rng.position == 0


def test_known_pixels_near_the_hole_count_more():
    masks = np.zeros((1, 20, 20, 1), np.float32)
    masks[:, 5:10, 5:10] = 1
    w = semantic.around(masks)
    window = [(i, j) for i in range(-3, 4) for j in range(-3, 4)]
    for row, column in ((4, 5), (10, 10), (7, 3), (0, 0), (19, 19), (7, 7)):
        inside = sum(
            masks[0, row + i, column + j, 0] for i, j in window if 0 <= row + i < 20 and 0 <= column + j < 20
        )
        expected = 0 if masks[0, row, column, 0] else semantic.FLOOR + inside / 49
        assert w[0, row, column, 0] == pytest.approx(expected)


def test_which_models_can_search():
    able = [name for name, cls in MODELS.items() if semantic.able(cls)]
    assert {"gan", "dcgan"} <= set(able) and not {"cgan", "autoencoder", "pix2pix", "completion"} & set(able)


# --- blending ----------------------------------------------------------------------------------------------


def test_blending_solves_poissons_equation():
    rng = np.random.default_rng(0)
    x, painted = rng.uniform(-0.3, 0.3, (2, 2, 9, 8, 3)).astype(np.float32)
    masks = (rng.random((2, 9, 8, 1)) < 0.5).astype(np.float32)
    y = blended(x, painted, masks)
    inside = np.broadcast_to(masks > 0, x.shape)
    assert np.array_equal(y[~inside], x[~inside])
    free = inside & (np.abs(y) < 1)  # what was cut off at the ends of the range solves nothing
    assert free.sum() > 0.9 * inside.sum()
    np.testing.assert_allclose(laplacian(y)[inside], laplacian(painted)[inside], atol=1e-4)


def test_blending_takes_away_a_wrong_brightness():
    x = np.broadcast_to(np.linspace(-0.5, 0.5, 16, dtype=np.float32)[None, :, None, None], (1, 16, 16, 1))
    masks = made.middle((16, 16), 8)[None]
    np.testing.assert_allclose(blended(x, x + 0.3, masks), x, atol=1e-4)
    np.testing.assert_array_equal(blended(x, x + 0.3, np.ones_like(masks)), x + np.float32(0.3))  # nothing to meet


# --- the command -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Pictures of several kinds, a run of completion and one of a GAN."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "in" / "deep").mkdir(parents=True)
    for name, picture in zip(("a.png", "deep/b.jpg"), small.pictures(2, 48, 5), strict=True):
        Image.fromarray(picture).resize((60, 48)).save(folder / "in" / name)
    clear = Image.fromarray(small.pictures(1, SIZE, 6)[0])
    clear.putalpha(Image.fromarray(255 - 255 * disc()[..., 0].astype(np.uint8)))
    clear.save(folder / "in" / "c.png")
    for i, picture in enumerate(small.pictures(12, SIZE)):
        (folder / "data").mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / "data" / f"{i}.png")
    Image.fromarray(255 * disc()[..., 0].astype(np.uint8)).save(folder / "mask.png")
    for name in ("completion", "gan"):
        tiny = [*small.words(name), "--set", f"size={SIZE}"]
        done("train", name, "--data", folder / "data", "--steps", 1, "--batch", 4, "--out", folder / name, *tiny)
    return folder


@pytest.fixture(autouse=True)
def host(monkeypatch):
    monkeypatch.setattr(kernels, "_host", None)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def squares(home):
    """The inputs as the run sees them, by name."""
    paths = {"a.png": "a.png", "deep/b.png": "deep/b.jpg", "c.png": "c.png"}
    return {name: decode.decode((home / "in" / path).read_bytes(), path, 3, SIZE)[0] for name, path in paths.items()}


@pytest.mark.parametrize("name", ["completion", "gan"])
def test_every_hole_is_filled_and_nothing_else_is_touched(home, name, tmp_path):
    quick = ["--steps", 2, "--starts", 2]
    assert done("complete", home / name, home / "in", "--out", tmp_path, *quick) == f"{tmp_path}  3 of 3 pictures\n"
    for file, before in squares(home).items():
        hole = disc() if file == "c.png" else made.middle((SIZE, SIZE), 16)
        known = np.broadcast_to(hole == 0, before.shape)
        after = pixels(tmp_path / file)
        assert np.array_equal(after[known], before[known]) and not np.array_equal(after, before)
    assert len([*tmp_path.rglob("*.png")]) == 3


@pytest.mark.parametrize(("words", "hole"), [
    (["--mask", "mask.png"], disc()), (["--hole", "3,5,10,2"], rectangle("3,5,10,2", (SIZE, SIZE))),
    (["--hole", "0,0,32,8", "--blend"], rectangle("0,0,32,8", (SIZE, SIZE))),
])
def test_the_hole_that_is_passed_is_everyones(home, words, hole, tmp_path):
    name = "gan" if "--blend" in words else "completion"
    words = [home / word if word == "mask.png" else word for word in words] + ["--steps", 2]
    done("complete", home / name, home / "in", "--out", tmp_path, *words)
    for file, before in squares(home).items():
        changed = (pixels(tmp_path / file) != before).any(axis=2)
        assert changed.any() and not changed[hole[..., 0] == 0].any()


def test_a_rectangle_is_counted_from_the_left_and_the_top():
    mask = rectangle("3,5,10,2", (SIZE, SIZE))
    assert mask.sum() == 20 and mask[5:7, 3:13].all()


@pytest.mark.parametrize(("words", "message"), [
    (["--hole", "1,2,3"], "expected four whole numbers X,Y,W,H"), (["--hole", "30,0,3,3"], "does not lie in pictures"),
    (["--hole", "1,1,0,5"], "nothing to complete"), (["--mask", "none.png"], "no such file"),
    (["--steps", "0"], "--steps must lie between 1"), (["--blend"], "leave out --blend"),
])
def test_impossible_holes_are_refused(home, words, message, tmp_path):
    result = run("complete", home / "completion", home / "in", "--out", tmp_path / "out", *words)
    assert result.code == 2 and message in result.err and not (tmp_path / "out").exists()


def test_a_run_that_fills_no_holes_says_which_do(home, tmp_path):
    source = small.write_sides(tmp_path / "sides", size=SIZE)
    done("train", "pix2pix", "--data", source, "--steps", 1, "--out", tmp_path / "run", *small.words("pix2pix"))
    result = run("complete", tmp_path / "run", home / "in", "--out", tmp_path / "out")
    assert result.code == 2 and "pix2pix fills no holes" in result.err
    assert all(name in result.err for name in ("completion", "gan", "dcgan")) and "cgan," not in result.err.split()


def test_an_unreadable_picture_is_named_and_the_others_are_completed(home, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    result = run("complete", home / "completion", home / "in", tmp_path / "bad.png", "--out", tmp_path / "out")
    assert result.code == 3 and "bad.png" in result.err and "3 of 4 pictures" in result.out
    assert len([*(tmp_path / "out").rglob("*.png")]) == 3


def test_oracles_know_the_softplus_of_the_search():
    maker = gan()
    x, masks = np.zeros((1, 12, 12, 1), np.float32), made.middle((12, 12), 4)[None]
    plain, judged = (semantic.search(maker, x, masks, 0, 3, realism, Generator(4)) for realism in (0.0, 0.5))
    np.testing.assert_array_equal(plain[0], judged[0])
    maker.D.eval()
    logits = maker.D(constant(maker.sample(3, z=constant(plain[0])))).numpy().astype(float)[:, 0]
    expected = -np.log([oracles.sigmoid(s) for s in logits])
    np.testing.assert_allclose(judged[1] - plain[1], 0.5 * expected, rtol=1e-4)
