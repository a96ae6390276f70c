"""InfoGAN (Chen et al. 2016): parts of the noise are codes, and the generator must show them in its pictures.

"InfoGAN: interpretable representation learning by information maximizing generative adversarial nets", eq. 6: Q, a
second head of the discriminator, guesses the codes from the picture; how many nats it recovers is added to what both
networks strive for. Nobody told the model what a class is: that a code's value is a class shows only afterwards. The
networks are the testbed's (`models/nets/testbed.py`, which took them from this paper) at a smaller width. `cgan.py`
is the model that is told. Deviations: samples are those of an average of G, continuous codes weigh a tenth.

3,000 steps on digits (`inachus train infogan --steps 3000`), seeds 0, 1: of 2,000 samples 87.0, 87.8 % have the class
of their code, Q recovers 99.5 % of ln 10 nats; 164 and 192 seconds of one core. At code_weight 1: 73.0 %
after 2,000 steps.
"""

from dataclasses import dataclass

import numpy as np

from inachus.engine import constant, losses, nn, no_grad, ops
from inachus.engine.data import Batches, Dataset
from inachus.engine.evaluation import codes
from inachus.engine.evaluation.judgement import chosen_judge
from inachus.engine.nn import init
from inachus.engine.optim import EMA, Adam
from inachus.engine.random import Generator
from inachus.kernels import fetch
from inachus.kernels.steps import readings
from inachus.models.nets import testbed
from inachus.models.nets.heads import Heads
from inachus.models.settings import Pictures, setting
from inachus.models.translation.pairs import apart

EXAMINED = 5_000  # samples


@dataclass
class Settings(Pictures):
    """What `--set` can change."""

    z: int = setting(62, "size of the noise that is no code", low=1, high=4096)
    categories: int = setting(10, "values of the categorical code", low=2, high=1000)
    codes: int = setting(2, "continuous codes, each U(-1, 1)", low=0, high=100)
    weight: float = setting(1.0, "weight of the categorical code's information", low=0)
    code_weight: float = setting(0.1, "weight of the continuous codes' information", low=0)
    width: int = setting(16, "channels next to the picture; 64 in the paper", low=1, high=512)
    norm: bool = setting(True, "batch norm in D and Q, for pictures")
    lr: float = setting(5e-4, "learning rate of D and Q", low=0)
    g_lr: float = setting(1e-3, "learning rate of G", low=0)
    beta1: float = setting(0.5, "Adam's beta1", low=0, high=0.999)
    ema: float = setting(0.999, "decay of the generator's average, which makes the samples", low=0, high=1)


class InfoGAN:
    """min over G and Q, max over D of E log D(x) + E log(1 - D(G(z, c))) - I, I = H(c) + E log Q(c | G(z, c))."""

    Settings = Settings
    steps, batch, data = 5_000, 64, "digits"
    conditional = False
    example = 28, 28, 1
    loader = Batches
    batches = 1

    def __init__(self, shape: tuple[int, ...], classes: int = 0, seed: int = 0, settings: Settings | None = None):
        """`shape` of one item: (H, W, C) for pictures, (2,) for points; labels are not used."""
        s = self.settings = settings or self.Settings()
        self.shape, self.classes, self.rng = tuple(shape), classes, Generator(seed)
        self.G = testbed.generator(s.z + s.categories + s.codes, self.shape, s.width)
        body = testbed.discriminator(self.shape, s.width, s.norm)
        self.D = Heads(body, lambda size: nn.Dense(size, 1), self.guesser)
        weights = init.normal(0.02) if len(self.shape) == 3 else init.he()
        for name, network in (("G", self.G), ("D", self.D)):
            network.initialize(self.rng.spawn(name), weights)
        self.g_optimizer = Adam(self.G.parameters(), s.g_lr, (s.beta1, 0.999))
        self.d_optimizer = Adam(self.D.parameters(), s.lr, (s.beta1, 0.999))
        self.average = EMA(self.G, s.ema)
        self.each = constant(np.eye(s.categories, dtype=np.float32))  # one row a value

    def guesser(self, inputs: int) -> nn.Module:
        """Q's own layers: (N, inputs) -> (N, categories logits and codes means)."""
        s = self.settings
        norm = [nn.BatchNorm(2 * s.width)] if s.norm and len(self.shape) == 3 else []
        return nn.Sequential(
            nn.Dense(inputs, 2 * s.width), *norm, nn.LeakyReLU(0.2), nn.Dense(2 * s.width, s.categories + s.codes)
        )

    def step(self, batch) -> dict[str, float]:
        """One step of D and Q, then one of G through both as they now are."""
        real = constant(batch.items)
        z, category, told = self.drawn(len(real), self.rng)
        fake = self.G(self.joined(z, category, told))
        (s_real, _), (s_fake, guess) = self.D(real), self.D(fake.detach())
        d_loss = losses.bce_with_logits(s_real, 1.0) + losses.bce_with_logits(s_fake, 0.0)
        self.d_optimizer.minimize(d_loss + self.ignorance(guess, category, told)[0])
        s_fake, guess = self.D(fake)
        g_loss = losses.bce_with_logits(s_fake, 1.0)
        weighted, values = self.ignorance(guess, category, told)
        self.g_optimizer.minimize(g_loss + weighted)
        self.average.update()
        values |= {"d_loss": d_loss, "g_loss": g_loss, "D(x)": ops.sigmoid(s_real), "D(G(z))": ops.sigmoid(s_fake)}
        return readings({name: v.data for name, v in values.items()})

    def ignorance(self, guess, category, told):
        """(-I up to a constant, weighted; its parts): guess (N, categories + codes), category (N,), told (N, codes).

        Of a continuous code Q gives the mean alone, its deviation being 1 as in the paper's code.
        """
        s = self.settings
        values = {"category": losses.cross_entropy(guess[:, : s.categories], category)}
        loss = s.weight * values["category"]
        if s.codes:
            values["codes"] = ops.square(guess[:, s.categories :] - told).sum() * (0.5 / len(guess))
            loss = loss + s.code_weight * values["codes"]
        return loss, values

    def drawn(self, n: int, rng: Generator):
        """(z (n, z), category (n,) integers, codes (n, codes)): noise and codes are U(-1, 1), categories even."""
        s = self.settings
        z, category = constant(rng.uniform((n, s.z), -1, 1)), rng.integers((n,), s.categories)
        return z, category, constant(rng.uniform((n, s.codes), -1, 1)) if s.codes else None

    def joined(self, z, category, told):
        """The generator's input (n, z + categories + codes)."""
        parts = [z, ops.embedding(category, self.each), told]
        return ops.concat(parts if self.settings.codes else parts[:2], axis=1)

    def noise(self, n: int, rng: Generator):
        """All that the generator is given: noise and codes (n, z + categories + codes)."""
        return self.joined(*self.drawn(n, rng))

    def sample(self, n: int, *, seed: int = 0, z=None) -> np.ndarray:
        """n items as float32, pictures in [-1, 1], from the averaged generator; `z` is the noise with its codes."""
        z = self.noise(n, Generator(seed).spawn("sample")) if z is None else z
        with no_grad():
            return self.average.network(z).numpy()

    def examine(self, train: Dataset, test: Dataset, say) -> dict[str, float]:
        """code_match: of samples, the share whose class is that of their code (`codes.code_match`), where a judge can
        see classes; information: the nats of the categorical code that Q recovers, and information_share of H(c)."""
        s, result = self.settings, {}
        z, category, told = self.drawn(EXAMINED, Generator(0).spawn("examine"))
        z, category = self.joined(z, category, told).numpy(), fetch(category)
        parts = [self.sample(500, z=constant(z[i : i + 500])) for i in range(0, EXAMINED, 500)]
        if train.kind == "pictures":
            judge, kind = chosen_judge(train, test, say)
            if kind == "classifier":
                seen = judge.probabilities(np.concatenate(parts)).argmax(axis=1)
                result["code_match"] = codes.code_match(category, seen, s.categories, judge.classes)
        with no_grad(), apart(self.D):
            guesses = [ops.log_softmax(self.D(constant(part))[1][:, : s.categories]).numpy() for part in parts]
        nats = codes.information(np.concatenate(guesses), category)
        return result | {"information": nats, "information_share": nats / np.log(s.categories)}

    def network_inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of one input of each network, for the summary tables."""
        s = self.settings
        return {"G": (s.z + s.categories + s.codes,), "D": self.shape}

    def preview(self, dataset) -> dict:
        """Five rows of fixed noise, a category a column; then three rows for each code, which goes from -2 to 2."""
        s, rows = self.settings, self.noise(5, Generator(0).spawn("preview")).numpy()
        columns, codes_at = min(s.categories, 20), s.z + s.categories
        blocks = [np.repeat(rows, columns, axis=0)]
        blocks[0][:, s.z : codes_at] = np.tile(np.eye(s.categories)[:columns], (len(rows), 1))
        for code in range(s.codes):
            block = np.repeat(rows[:3], columns, axis=0)
            block[:, codes_at + code] = np.tile(np.linspace(-2, 2, columns), 3)
            blocks.append(block)
        return {"items": self.sample(0, z=constant(np.concatenate(blocks))), "columns": columns, "titles": None}
