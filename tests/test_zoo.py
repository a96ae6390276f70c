"""The loss zoo: what each loss says of scores, what holds its discriminator back, its rival's bound, the testbed."""

import numpy as np
import pytest
import small

from inachus.engine import constant, data, grad, nn, ops
from inachus.engine.errors import UsageError
from inachus.models.nets import testbed

REAL, FAKE = (np.array([[-2.0], [0.5], [1.5]]), np.array([[-0.5], [0.25], [3.0]]))
POINTS = data.load("mixture-ring8", limit=512)
ZOO = ["nsgan", "lsgan", "hinge", "wgan", "wgangp", "dragan", "began"]
made = small.model


def softplus(x):
    return np.log1p(np.exp(x))


DEFINED = {  # name: (d_loss, g_loss) of scores
    "nsgan": (lambda r, f: softplus(-r).mean() + softplus(f).mean(), lambda f: softplus(-f).mean()),
    "lsgan": (lambda r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2, lambda f: ((f - 1) ** 2).mean() / 2),
    "hinge": (lambda r, f: np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(), lambda f: -f.mean()),
    "wgan": (lambda r, f: f.mean() - r.mean(), lambda f: -f.mean()),
    "wgangp": (lambda r, f: f.mean() - r.mean(), lambda f: -f.mean()),
    "dragan": (lambda r, f: softplus(-r).mean() + softplus(f).mean(), lambda f: softplus(-f).mean()),
}


@pytest.mark.parametrize("name", DEFINED)
def test_a_loss_is_its_definition(name):
    model, (d_loss, g_loss) = made(name), DEFINED[name]
    real, fake = constant(REAL.astype(np.float32)), constant(FAKE.astype(np.float32))
    assert model.d_loss(real, fake).item() == pytest.approx(d_loss(REAL, FAKE), rel=1e-5)
    assert model.g_loss(fake).item() == pytest.approx(g_loss(FAKE), rel=1e-5)


@pytest.mark.parametrize("name", ZOO)
def test_every_loss_lowers_its_discriminators_loss(name):
    """On one batch that does not change, D alone, its loss falls: the sign of everything is right."""
    model = made(name, "width=4", "lr=0.001", *(["clip=0.5"] if name == "wgan" else []))
    items = small.batch(model, small.dataset(name), 8).items[:8]
    real, fake = constant(items), constant(-items)
    seen = []
    for _ in range(40):
        d_loss = model.d_loss(model.D(real), model.D(fake))
        seen.append(d_loss.item())
        model.d_optimizer.minimize(d_loss)
    assert seen[-1] < seen[0]


# --- what holds D back -------------------------------------------------------------------------------------

@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_a_critic_that_is_a_plane_is_penalised_by_its_slope(slope):
    model = made("wgangp", shape=(2,))
    model.D = lambda x: ops.matmul(x, constant(np.array([[slope], [0.0]], np.float32)))
    x = constant(POINTS.items[:8])
    loss = model.penalised(constant(np.float32(2.0)), x, -x, ())
    assert loss.item() == pytest.approx(2 + 0.1 * (slope - 1) ** 2, abs=1e-5)


def test_dragan_looks_around_the_real_pictures_only():
    model, seen = made("dragan", shape=(2,)), []

    def D(x):
        seen.append(x.data)
        return x.sum(axis=1, keepdims=True)

    model.D = D
    real = constant(POINTS.items[:64])
    model.penalised(constant(np.float32(0.0)), real, real * 100.0, ())
    moved = seen[0] - real.data
    assert 0 < np.abs(moved).max() <= 0.5 * real.data.std() and np.abs(moved).mean() > 0.2 * real.data.std()


def test_wgans_critic_stays_inside_the_clip():
    model = made("wgan", "clip=0.003")
    for position in range(2):
        model.step(small.batch(model, small.dataset("wgan"), 8, position))
    largest = max(float(np.abs(p.data).max()) for p in model.D.parameters())
    assert largest == np.float32(0.003)
    assert max(float(np.abs(p.data).max()) for p in model.G.parameters()) > 0.003


@pytest.mark.parametrize("rate", [0.001, 1.0])
def test_begans_k_moves_as_the_paper_says_and_stays_in_0_1(rate):
    model, k = made("began", f"rate={rate}", "gamma=0.5"), 0.0
    for real, fake in [(1.0, 0.1), (1.0, 0.2), (0.1, 2.0), (3.0, 0.2), (0.3, 0.15)]:
        loss = model.d_loss(constant(np.full((2, 1), real, np.float32)), constant(np.full((2, 1), fake, np.float32)))
        assert loss.item() == pytest.approx(real - k * fake, rel=1e-5, abs=1e-6)
        k = min(1.0, max(0.0, k + rate * (0.5 * real - fake)))
        assert float(model.balance.k) == pytest.approx(k, rel=1e-5)


def test_begans_judge_is_the_error_of_its_copy():
    model = made("began")
    x = constant(small.batch(model, small.dataset("began"), 4).items)
    copies = model.D.network(x).numpy()
    expected = np.abs(copies - x.numpy()).reshape(4, -1).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(model.D(x).numpy(), expected, rtol=1e-5)
    with pytest.raises(UsageError, match="points"):
        made("began", shape=(2,))


# --- the rival ---------------------------------------------------------------------------------------------


def test_the_vaes_bound_is_that_of_the_paper():
    model = made("vae", "z=3")
    x = small.batch(model, small.dataset("vae"), 4).items
    logits = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    white, chance = (x + 1) / 2, 1 / (1 + np.exp(-logits.astype(np.float64)))
    nats = -(white * np.log(chance) + (1 - white) * np.log(1 - chance)).reshape(4, -1).sum(1).mean()
    assert model.error(constant(logits), constant(x)).item() == pytest.approx(nats, rel=1e-5)
    values = model.step(data.Batch(x))
    assert values["loss"] == pytest.approx(values["error"] + values["KL"], rel=1e-5) and values["KL"] > 0


def test_the_vaes_points_have_the_noise_of_its_decoder():
    model = made("vae", "sigma=0.25", shape=(2,))
    model.decoder = nn.Sequential(nn.Dense(model.settings.z, 2))  # zero weights: everything is decoded to the origin
    model.decoder.freeze()
    for parameter in model.decoder.parameters():
        parameter.data[...] = 0
    points = model.sample(4000)
    assert points.std() == pytest.approx(0.25, rel=0.05) and abs(points.mean()) < 0.02


# --- the testbed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape, g, d, plain, copier", [
    ((28, 28, 1), 6_642_241, 6_559_169, 6_556_865, 1_073_601),
    ((32, 32, 3), 8_616_131, 8_527_297, 8_524_993, 1_325_379),
])
def test_networks_have_the_testbeds_sizes(shape, g, d, plain, copier):
    networks = [testbed.generator(64, shape, 64), testbed.discriminator(shape, 64, True)]
    networks += [testbed.discriminator(shape, 64, False), testbed.autoencoder(shape, 64, False)]
    assert [nn.counts(network)[1] for network in networks] == [g, d, plain, copier]


def test_networks_of_points_have_the_toys_sizes():
    assert nn.counts(testbed.generator(2, (2,), 64))[1] == 527_874
    assert nn.counts(testbed.discriminator((2,), 64, True))[1] == 527_361


@pytest.mark.parametrize("name", [*ZOO, "vae"])
def test_sides_that_are_no_multiples_of_4_are_named(name):
    with pytest.raises(UsageError, match=r"multiples of 4, not 30 x 30.*size="):
        made(name, shape=(30, 30, 1))


@pytest.mark.parametrize("name", [name for name in [*ZOO, "vae"] if name != "began"])
def test_every_loss_learns_points(name):
    model = made(name, "width=4", shape=(2,), classes=8)
    loader = model.loader(POINTS, 64 * model.batches, 0)
    values = [model.step(loader.batch_at(i)) for i in range(3)]
    assert np.isfinite([list(v.values()) for v in values]).all()
    assert model.sample(9).shape == (9, 2) and model.preview(POINTS)["items"].shape == (2500, 2)


def test_the_penalty_is_differentiated_twice_in_a_step():
    """The critic's step differs from one without the penalty, in a layer that the penalty alone reaches differently."""
    model = made("wgangp", "width=4")
    items = small.batch(model, small.dataset("wgangp"), 8).items[:8]
    real, fake = constant(items), constant(-items)
    weight = next(iter(model.D.parameters()))
    plain = model.d_loss(model.D(real), model.D(fake))
    (without,) = grad(plain, [weight])
    (with_it,) = grad(model.penalised(model.d_loss(model.D(real), model.D(fake)), real, fake, ()), [weight])
    assert np.abs(with_it.data - without.data).max() > 1e-4
