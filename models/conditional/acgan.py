"""ACGAN (Odena, Olah and Shlens 2017): D also says which class a picture is of, and G is praised when D says the right.

"Conditional image synthesis with auxiliary classifier GANs", section 3. Classes named by tags, "aqua hair, brown eyes",
are told and recognised tag by tag: a block of ones and zeros for hair, another for eyes (`engine/data/tags.py`); others
are one block. The step is in `models/generation/gan.py`, the networks are those of `nsgan.py` at half the width.
Deviation: D learns what the classes are from true pictures alone, so that G can agree with it on no secret sign;
`--set fakes=1` is the paper's rule. `cgan.py` is the model whose D is told the class instead of asked for it.

`inachus train acgan`, then `inachus evaluate`, seed 0: each of 2,640 samples of all 132 classes shows the hair and the
eyes that were asked for, read from its pixels; Frechet 11.0, coverage 0.98 (N=10,000); some 13 minutes on one core.
After 1,000 steps of seed 2 it is 99.6 % of them.
"""

from dataclasses import dataclass

import numpy as np

from inachus.engine import constant, losses, nn, ops
from inachus.engine.data import Dataset
from inachus.engine.data.tags import Tags
from inachus.engine.errors import DataError
from inachus.engine.evaluation import obedience
from inachus.engine.nn import init
from inachus.engine.random import Generator
from inachus.models.conditional.cgan import CGAN
from inachus.models.generation import gan
from inachus.models.nets import testbed
from inachus.models.settings import setting

READABLE = 0.9  # share of true pictures whose colours the reader must find
EACH = 20  # samples of each class that are examined
ROWS, COLUMNS = 8, 24


@dataclass
class Settings(gan.Common):
    """What `--set` can change."""

    z: int = setting(64, "size of the noise", low=1, high=4096)
    width: int = setting(32, "channels next to the picture", low=1, high=512)
    norm: bool = setting(True, "batch norm in D")
    lr: float = setting(5e-4, "learning rate of both networks", low=0)
    right: float = setting(1.0, "weight of the right class", low=0)
    fakes: float = setting(0.0, "how far D also learns classes from fakes, 1 in the paper", low=0, high=1)


class Told(nn.Module):
    """network(x beside the tags)."""

    def __init__(self, network: nn.Module):
        self.network = network

    def forward(self, z, tags):
        """(N, z), (N, values) -> pictures."""
        return self.network(ops.concat([z, tags], axis=1))


class Auxiliary(nn.Module):
    """A discriminator with a second answer: of its outputs the first is the logit, the others recognise the tags."""

    def __init__(self, network: nn.Module, sizes: list[int]):
        self.network, self.sizes = network, sizes

    def forward(self, x, tags):
        """Pictures, (N, values) -> (N, 2): the logit that they are real, and log p(tags | picture)."""
        answers, start, log_p = self.network(x), 0, 0.0
        for size in self.sizes:
            block = ops.log_softmax(answers[:, 1 + start : 1 + start + size])
            log_p = (block * tags[:, start : start + size]).sum(axis=1, keepdims=True) + log_p
            start += size
        return ops.concat([answers[:, :1], log_p], axis=1)


class ACGAN(gan.GAN):
    """max over D of S + C, over G of C - S: S = E log D(x) + E log(1 - D(y)), C = E log p(c | x) + E log p(c | y)."""

    Settings = Settings
    steps, data = 4_000, "faces"
    conditional, named = True, True
    example = 32, 32, 3
    sample = CGAN.sample

    def __init__(self, shape, classes=0, seed=0, settings=None):
        """`classes`: their names, or how many. Raises DataError for none."""
        names = [str(i) for i in range(classes)] if isinstance(classes, int) else classes
        if not names or len(shape) != 3:
            raise DataError("acgan needs pictures with labels: use class folders, or a data set that has them (faces)")
        self.tags = Tags(names)
        self.each = constant(self.tags.one_hot)  # one row a class
        super().__init__(shape, len(names), seed, settings)

    def networks(self):
        """(generator, discriminator) of the testbed, told the tags and asked for them."""
        s, sizes = self.settings, [len(values) for values in self.tags.parts]
        G = testbed.generator(s.z + sum(sizes), self.shape, s.width)
        D = testbed.discriminator(self.shape, s.width, s.norm, 1 + sum(sizes))
        return Told(G), Auxiliary(D, sizes)

    def initialisers(self):
        """N(0, 0.02), and scales of 1."""
        return init.normal(0.02), None

    def condition(self, labels):
        """The tags (N, values)."""
        return (ops.embedding(labels, self.each),)

    def d_loss(self, s_real, s_fake):
        """-S - C."""
        right = s_real[:, 1].mean() + self.settings.fakes * s_fake[:, 1].mean()
        return super().d_loss(s_real[:, 0], s_fake[:, 0]) - self.settings.right * right

    def g_loss(self, s_fake):
        """-E log D(y) - E log p(c | y): non-saturating."""
        return losses.bce_with_logits(s_fake[:, 0], 1.0) - self.settings.right * s_fake[:, 1].mean()

    def verdicts(self, s_real, s_fake):
        """D's probabilities, and how sure it is of the right class."""
        names = ("D(x)", ops.sigmoid(s_real[:, 0])), ("D(G(z))", ops.sigmoid(s_fake[:, 0]))
        return dict(names) | {"log p(c|x)": s_real[:, 1], "log p(c|G(z))": s_fake[:, 1]}

    def network_inputs(self):
        """Shape of one input of each network: G's is noise and tags."""
        return {"G": (self.settings.z + self.each.shape[1],), "D": self.shape}

    def examine(self, train: Dataset, test: Dataset, say) -> dict[str, float]:
        """hair_, eyes_ and both_agreement: shares of samples of all classes that show what was asked for, read from
        their pixels, and both_on_truth, what the reader says of true pictures; nothing for other data than faces."""
        asked = obedience.colours(test.classes)
        if asked is None or self.shape[2] != 3:
            return {}
        truth = obedience.agreement(test.items, asked[test.labels])["both"]
        if truth < READABLE:
            say(f"the colours of {test.name} cannot be read from pixels: only {truth:.1%} of its own are right")
            return {"both_on_truth": truth}
        labels = np.arange(EACH * self.classes) % self.classes
        parts = [self.sample(self.classes, seed=1000 + i, labels=part) for i, part in enumerate(np.split(labels, EACH))]
        shares = obedience.agreement(np.concatenate(parts), asked[labels])
        return {f"{name}_agreement": share for name, share in shares.items()} | {"both_on_truth": truth}

    def preview(self, dataset) -> dict:
        """A column for each value of each part, twenty-four at most; each row has noise of its own."""
        values = [(i, j) for i, part in enumerate(self.tags.parts) for j in range(len(part))][:COLUMNS]
        having = [self.tags.having(*value) for value in values]
        labels = np.array([[classes[row % len(classes)] for classes in having] for row in range(ROWS)])
        z = np.repeat(self.noise(ROWS, Generator(0).spawn("preview")).numpy(), len(values), axis=0)
        items = self.sample(labels.size, z=constant(z), labels=labels.ravel())
        return {"items": items, "columns": len(values), "titles": [self.tags.parts[i][j].split() for i, j in values]}
