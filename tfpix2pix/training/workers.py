"""The processes that train one run together, on one machine each: the strategy `multiworker`.

Every worker runs the same command; `TF_CONFIG` tells it who the others are. The first one, the chief, is the only one
that writes into the run's folder.
"""

from __future__ import annotations

import json
import os

import tensorflow as tf

from tfpix2pix.errors import ConfigError

_EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


class Workers:
    """This process among those that train with it; alone under every strategy but `multiworker`.

    Args:
        strategy: the strategy of the run; of several workers, the one that was made from TF_CONFIG as it is.

    Attributes:
        count: how many processes there are.
        is_chief: whether this is the one that writes.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        number, self.count = check_cluster() if several else (0, 1)
        self.is_chief = number == 0
        replicas = strategy.num_replicas_in_sync // self.count

        @tf.function
        def total(values: tf.Tensor) -> tf.Tensor:
            shares = strategy.run(lambda: values / replicas)
            return strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None)

        self._total = total

    def all_sum(self, *values: int) -> list[int]:
        """Returns the sums of what all workers give, which each has to call for equally often; waits for the last."""
        if self.count == 1:
            return list(values)
        return [round(value) for value in self._total(tf.constant(values, tf.float64)).numpy().tolist()]

    def barrier(self) -> None:
        """Waits until all workers have come here."""
        self.all_sum(0)


def check_cluster() -> tuple[int, int]:
    """Reads `TF_CONFIG`.

    Returns:
        This worker's number, from 0, and how many there are.

    Raises:
        ConfigError: if it isn't set, or doesn't say who the workers are and which one this is.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        known = json.loads(text)
        cluster, task = known["cluster"], known["task"]
        addresses = {kind: list(cluster.get(kind, [])) for kind in ("chief", "worker")}
        kind, index = task["type"], int(task["index"])
        addresses[kind][index]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ConfigError(
            "`strategy` multiworker needs the environment variable TF_CONFIG, which says who trains and which of them "
            f"this is, such as {_EXAMPLE}, not {text!r}."
        ) from error
    if set(cluster) - set(addresses) or index < 0:
        raise ConfigError(f"TF_CONFIG may name a chief and workers, such as {_EXAMPLE}, not {text!r}.")
    return index + (len(addresses["chief"]) if kind == "worker" else 0), sum(map(len, addresses.values()))
