"""What every model that translates promises, and what pix2pix, CycleGAN and its twins do for themselves."""

import numpy as np
import pytest
import small
from hypothesis import given
from hypothesis import strategies as st
from test_models import same, trained, weights, whole_state

from inachus.engine import constant, losses, nn
from inachus.engine.data import PairBatch
from inachus.engine.errors import UsageError
from inachus.engine.optim import falling
from inachus.engine.random import Generator
from inachus.engine.training import state
from inachus.models import MODELS
from inachus.models.translation.pairs import rows
from inachus.models.translation.pool import Pool, Rate

every_translator = pytest.mark.parametrize("name", small.TRANSLATORS)
every_pair = pytest.mark.parametrize("name", [n for n in small.TRANSLATORS if hasattr(MODELS[n], "paired")])


def inputs(model, count=2):
    """Pictures that the model translates."""
    shape = model.shape[0] if isinstance(model.shape[0], tuple) else model.shape
    return np.random.default_rng(0).uniform(-1, 1, (count, *shape)).astype(np.float32)


def networks(model):
    """Copies of the parameters of each network, by its name."""
    return {name: weights(part) for name, part in vars(model).items() if isinstance(part, nn.Module)}


# --- all of them -------------------------------------------------------------------------------------------


@every_translator
def test_translating_is_a_function_of_the_seed_and_leaves_the_training_alone(name):
    model, _ = trained(small.model(name))
    arrays, values = whole_state(model)
    x = inputs(model)
    first = model.translate(x, seed=5)
    model.preview(small.dataset(name))
    assert np.array_equal(first, model.translate(x, seed=5))
    assert same(arrays, whole_state(model)[0]) and values == state.collect(model)[1]
    assert all(part.training for part in vars(model).values() if isinstance(part, nn.Module))
    assert first.dtype == np.float32 and np.abs(first).max() <= 1 and len(first) == len(x)


@every_pair
def test_a_picture_is_translated_alike_whatever_stands_beside_it(name):
    model, _ = trained(small.model(name, *(["dropout=0"] if "dropout" in vars(MODELS[name].Settings()) else [])))
    x = inputs(model, 3)
    for to in (1, 0) if not model.paired else (1,):
        np.testing.assert_allclose(model.translate(x, to)[1:2], model.translate(x[1:2], to), atol=1e-5)


@every_pair
def test_pictures_of_other_sizes_are_refused_with_the_multiple(name):
    model = small.model(name)
    n = model.multiple
    with pytest.raises(UsageError, match=f"multiples of {n}, not {n} x {n + 1} "):
        model.translate(np.zeros((1, n + 1, n, 3), np.float32))


@every_pair
def test_twice_the_size_is_translated_as_well(name):
    model = small.model(name)
    x = np.zeros((1, 2 * model.shape[0][0], 3 * model.shape[0][0], 3), np.float32)
    assert model.translate(x).shape == x.shape


@every_pair
@pytest.mark.parametrize("still, moving", ["gd", "dg"])
def test_each_optimizer_moves_its_own_networks_alone(name, still, moving):
    model = small.model(name)
    getattr(model, f"{still}_optimizer").lr = 0.0
    before = networks(model)
    after = networks(trained(model)[0])
    assert {key for key in before if not same(before[key], after[key])} == {
        key for key in before if key[0].lower() == moving
    }


# --- pix2pix -----------------------------------------------------------------------------------------------


def test_pix2pix_minimises_what_the_paper_says():
    model = small.model("pix2pix", "dropout=0")
    batch = small.batch(model, small.dataset("pix2pix"), 4)
    a, b = batch.a, batch.b
    fake = model.G(constant(a)).numpy()

    def logits(x):
        return model.D(constant(np.concatenate([a, x], axis=3))).numpy().astype(np.float64)

    real, false = logits(b), logits(fake)
    d_loss = (np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(false)).mean()) / 2
    values = model.step(batch)
    assert values["l1"] == pytest.approx(np.abs(fake - b).mean(), rel=1e-5)
    assert values["d_loss"] == pytest.approx(d_loss, rel=1e-4)
    assert values["D(x)"] == pytest.approx((1 / (1 + np.exp(-real))).mean(), rel=1e-4)


def test_pix2pix_without_an_adversary_leaves_it_alone():
    model = small.model("pix2pix", "loss=l1")
    before = networks(model)
    _, values = trained(model)
    assert set(values) == {"l1"} and same(before["D"], networks(model)["D"])


def test_pix2pix_can_learn_a_batch_by_heart():
    model = small.model("pix2pix", "width=8", "lr=2e-3", "loss=l1", "dropout=0")
    values = [trained(model, 1)[1]["l1"] for _ in range(60)]
    assert np.mean(values[-5:]) < 0.3 * values[0]


def test_the_noise_of_pix2pix_is_its_dropout():
    noisy, plain = small.model("pix2pix", "width=8"), small.model("pix2pix", "width=8", "dropout=0")
    x = inputs(noisy, 1)
    assert not np.array_equal(noisy.translate(x, seed=1), noisy.translate(x, seed=2))
    assert np.array_equal(plain.translate(x, seed=1), plain.translate(x, seed=2))


# --- CycleGAN and its twins --------------------------------------------------------------------------------


def test_cyclegan_minimises_what_the_paper_says():
    model = small.model("cyclegan", "through=0", "identity=0.5", "cycle=10", "pool=0")
    batch = small.batch(model, small.dataset("cyclegan"), 2)
    a, b = constant(batch.a), constant(batch.b)
    loss, fake_a, fake_b, _ = model.generators_loss(a, b)
    fooled = [np.square(D(fake).numpy() - 1).mean() for D, fake in ((model.D_a, fake_a), (model.D_b, fake_b))]
    home = [np.abs(model.G_ba(fake_b).numpy() - batch.a).mean(), np.abs(model.G_ab(fake_a).numpy() - batch.b).mean()]
    kept = [np.abs(model.G_ba(a).numpy() - batch.a).mean(), np.abs(model.G_ab(b).numpy() - batch.b).mean()]
    assert loss.item() == pytest.approx(sum(fooled) + 10 * sum(home) + 5 * sum(kept), rel=1e-5)
    d_loss = sum(
        (np.square(D(x).numpy() - 1).mean() + np.square(D(fake).numpy()).mean()) / 2
        for D, x, fake in ((model.D_a, a, fake_a), (model.D_b, b, fake_b))
    )
    assert model.discriminators_step(a, b, fake_a, fake_b)["d_loss"].item() == pytest.approx(d_loss, rel=1e-5)


def test_without_the_cycle_there_is_none():
    _, values = trained(small.model("cyclegan", "cycle=0", "identity=0"))
    assert set(values) == {"g_loss", "d_loss"}


def test_the_way_back_teaches_both_at_first_and_one_later():
    model = small.model("cyclegan", "through=1", "noise=0")
    b = constant(small.batch(model, small.dataset("cyclegan"), 2).b)

    def taught():
        fake, start = model.G_ba(b), model.G_ba.parameters()
        (there,) = model.arrived(fake)
        for p in start:
            p.grad = None
        losses.l1(model.G_ab(there), b).backward()
        return max(float(np.abs(p.grad.data).max()) for p in start if p.grad is not None)

    assert taught() > 0 and taught() == 0


def test_noise_comes_when_the_first_steps_are_over():
    model = small.model("cyclegan", "through=1", "noise=0.5")
    zeros = constant(np.zeros((2, 12, 12, 3), np.float32))
    first, second = (model.arrived(zeros)[0].numpy() for _ in range(2))
    assert not first.any() and 0.4 < second.std() < 0.6


def test_the_mask_lets_the_input_through():
    model = small.model("cyclegan")
    x = inputs(model)
    painter = model.G_ab.network
    painter.layers[-1][1].bias.data[...] = [0, 0, 0, 100]  # the mask: 1
    np.testing.assert_allclose(model.translate(x), x, atol=1e-6)
    painter.layers[-1][1].bias.data[...] = [0, 0, 0, -100]
    np.testing.assert_allclose(model.translate(x), painter(constant(x)).numpy()[..., :3], atol=1e-6)


def test_sides_of_other_channels_translate_without_a_mask():
    cls = MODELS["cyclegan"]
    model = cls(((12, 12, 1), (12, 12, 3)), 2, 0, cls.Settings(size=12, width=2, blocks=1, layers=1))
    batch = PairBatch(np.zeros((1, 12, 12, 1), np.float32), np.zeros((1, 12, 12, 3), np.float32))
    assert np.isfinite(list(model.step(batch).values())).all()
    assert model.translate(batch.a).shape == (1, 12, 12, 3) and model.translate(batch.b, 0).shape == (1, 12, 12, 1)
    with pytest.raises(UsageError, match=r"1 channels against 3.*identity=0"):
        cls(((12, 12, 1), (12, 12, 3)), 2, 0, cls.Settings(identity=0.5))


@pytest.mark.parametrize("name", ["discogan", "dualgan"])
def test_the_twins_step_twice_for_one_of_the_discriminators(name):
    model, _ = trained(small.model(name), 2)
    assert (model.d_optimizer.steps, model.g_optimizer.steps) == (2, 4)


def test_discogan_has_the_papers_size():
    cls = MODELS["discogan"]
    model = cls(((64, 64, 3),) * 2, 2, 0, cls.Settings(width=64))
    assert sum(t.size for t in model.G_ab.parameters()) == 5_513_856


def test_discogan_matches_the_means_of_features():
    model = small.model("discogan")
    batch = small.batch(model, small.dataset("discogan"), 3)
    real, fake = constant(batch.a), constant(batch.b)
    _, matched = model.adversary(model.D_a, real, fake)
    seen = [[f.numpy().mean(axis=0) for f in model.D_a.features(x)[1]] for x in (real, fake)]
    expected = sum(np.square(x - y).mean() for x, y in zip(*seen, strict=True))
    assert len(seen[0]) == 3 and matched.item() == pytest.approx(expected, rel=1e-4)


# --- what they share ---------------------------------------------------------------------------------------


@given(size=st.integers(0, 4), batches=st.lists(st.integers(1, 3), max_size=8), seed=st.integers(0, 99))
def test_the_pool_is_that_of_the_paper(size, batches, seed):
    pool, rng, draws, kept, number = Pool(size, (2, 1, 1)), Generator(seed), Generator(seed), [], 0
    for count in batches:
        fakes = np.arange(number, number + count, dtype=np.float32).reshape(-1, 1, 1, 1).repeat(2, 1)
        number += count
        expected = []
        for new, (where, whether) in zip(fakes, draws.uniform((count, 2)) if size else [(0, 0)] * count, strict=True):
            if len(kept) < size:
                kept.append(new)
                expected.append(new)
            elif size and whether >= 0.5:
                place = int(where * size)
                expected.append(kept[place])
                kept[place] = new
            else:
                expected.append(new)
        assert np.array_equal(pool(constant(fakes), rng).numpy(), np.stack(expected))
    assert np.array_equal(pool.pictures[: len(kept)], np.stack(kept)) if kept else not pool.filled.any()


def test_the_rate_changes_once():
    rate = Rate(0.25, 0.75, 3)
    assert [rate().item() for _ in range(5)] == [0.25, 0.25, 0.25, 0.75, 0.75]


def test_the_learning_rate_falls_in_the_second_half_and_never_to_nothing():
    lr = falling(2.0, 100)
    assert [lr(0), lr(50), lr(75)] == [2.0, 2.0, 1.0] and lr(100) == lr(10**6) == pytest.approx(0.02)


def test_rows_of_a_preview_stand_side_by_side():
    small_grey, large = np.full((2, 2, 2, 1), -1.0), np.full((2, 4, 4, 3), 1.0)
    found = rows(small_grey, large)
    assert found.shape == (4, 4, 4, 3) and found[:, 0, 0, 0].tolist() == [-1, 1, -1, 1]
