"""The judge: a small classifier trained with this engine on the real data, whose features measure distances.

It stands in for a downloaded Inception network, so the distances are comparable between models on the same data and
never to published FID values. A judge that classifies the test split worse than `ACCEPT` says is refused.
The distances themselves are in `distances.py`, the whole evaluation of a run in `judgement.py`.
"""

from collections.abc import Callable

import numpy as np

from inachus import kernels
from inachus.engine import constant, losses, nn, no_grad, ops
from inachus.engine.data import Batches, Dataset
from inachus.engine.data.cache import cache_folder
from inachus.engine.errors import CheckpointError, DataError
from inachus.engine.optim import EMA, Adam, linear_decay
from inachus.engine.random import Generator
from inachus.engine.training import checkpoint

ACCEPT = {"mnist": 0.985, "digits": 0.98, "fashion-mnist": 0.90, "usps": 0.93, "cifar10": 0.70}
OTHERWISE = 0.80
EPOCHS, BATCH, VERSION = 6, 128, 1


class Judge(nn.Module):
    """conv 32 and 64 (kernel 4, stride 2), dense 128, dense classes; leaky ReLU, dropout; features are the 128."""

    def __init__(self, shape: tuple[int, ...], classes: int, seed: int = 0):
        h, w, c = shape
        self.shape, self.classes, self.accuracy = shape, classes, 0.0
        inner = (h // 2 // 2) * (w // 2 // 2) * 64
        self.trunk = nn.Sequential(
            nn.Conv2d(c, 32, 4, stride=2, pad=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(32, 64, 4, stride=2, pad=1),
            nn.LeakyReLU(0.1),
            nn.Flatten(),
            nn.Dense(inner, 128),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Dense(128, max(classes, 1)))
        self.initialize(Generator(seed).spawn("judge"), nn.init.he(0.1))

    def forward(self, x):
        """(N,H,W,C) in [-1, 1] -> logits (N, classes)."""
        return self.head(self.trunk(x))

    def features(self, items: np.ndarray) -> np.ndarray:
        """(N,H,W,C) -> (N, 128)."""
        return self._apply(self.trunk, items)

    def probabilities(self, items: np.ndarray) -> np.ndarray:
        """(N,H,W,C) -> (N, classes), rows summing to 1."""
        return self._apply(lambda x: ops.softmax(self(x)), items)

    def _apply(self, function: Callable, items: np.ndarray) -> np.ndarray:
        self.eval()
        with no_grad():
            return np.concatenate([function(constant(items[i : i + 500])).numpy() for i in range(0, len(items), 500)])


def judge(train: Dataset, test: Dataset, say: Callable[[str], None] = lambda text: None) -> Judge:
    """The judge of this data, from the cache or trained now (a minute or two). Raises DataError for one too weak.

    `accuracy` on the test split is kept with it; it lies beside the cached data, by data hash.
    """
    network = Judge(train.shape, len(train.classes))

    def learn() -> dict:
        say(f"training the judge of {train.name} on {len(train):,} pictures")
        fit(network, train)
        return {"accuracy": accuracy(network, test), "data": train.name}

    name = f"{train.fingerprint[:16]}-{test.fingerprint[:16]}-v{VERSION}"
    network.accuracy = kept("judges", name, network, learn)["accuracy"]
    least = ACCEPT.get(train.name, OTHERWISE)
    if network.accuracy < least:
        raise DataError(
            f"{train.name}: the judge classifies only {network.accuracy:.1%} of the test split correctly, "
            f"{least:.0%} are needed for distances that mean something"
        )
    return network


def kept(folder: str, name: str, network: nn.Module, train: Callable[[], dict]) -> dict:
    """What `train` returned when it trained this network, now or earlier; the weights lie in a cache beside the data.

    Whatever is there and cannot be read, or does not fit the network, is trained and written again.
    """
    home = cache_folder(folder) / name
    try:
        arrays, meta = checkpoint.load(home)
        network.load_state_dict(arrays)
        return meta
    except (CheckpointError, ValueError, KeyError):
        facts = train()
        arrays = {name: kernels.fetch(array) for name, array in network.state_dict().items()}
        checkpoint.save(home, 1, arrays, facts, keep=1)
        return facts


def fit(network: Judge, train: Dataset, epochs: int = EPOCHS, seed: int = 0) -> None:
    """Cross-entropy, Adam from 2e-3 falling linearly to 0; ends on averaged weights."""
    steps = max(400, epochs * len(train) // BATCH)
    batches = Batches(train, min(BATCH, len(train)), seed)
    optimizer = Adam(network.parameters(), linear_decay(2e-3, 0, steps))
    average = EMA(network, 0.998)
    for _, batch in zip(range(steps), batches, strict=False):
        optimizer.minimize(losses.cross_entropy(network(constant(batch.items)), batch.labels))
        average.update()
    network.load_state_dict(average.network.state_dict())


def accuracy(network: Judge, test: Dataset) -> float:
    """Share of the test split classified correctly."""
    p = network.probabilities(test.normalised(slice(None)))
    return float((p.argmax(1) == test.labels).mean())


def random_features(shape: tuple[int, ...]) -> Judge:
    """A judge that learned nothing: fixed random convolutions, for data without labels. Weaker, but always the same."""
    return Judge(shape, 0)
