import functools

import tensorflow as tf

from pipelines.graphs import converted, unconverted
from pipelines.ops import flip
from tfpix2pix.losses import L1


class Brought:
    def doubled_above(self, x, least=0.0):
        if tf.reduce_sum(x) > least:
            return 2.0 * x
        return x


def traced(function, value):
    @tf.function(autograph=False)
    @unconverted
    def graph(x):
        return converted(function)(x)

    return float(graph(tf.constant(value)))


def test_what_a_user_brings_may_branch_on_tensors():
    for function in (Brought().doubled_above, functools.partial(Brought().doubled_above, least=1.0)):
        assert [traced(function, value) for value in (3.0, -3.0)] == [6.0, -3.0]


def test_this_projects_own_functions_and_eager_ones_are_left_alone():
    with tf.Graph().as_default():
        assert converted(flip) is flip
        own, brought = L1(1.0).__call__, Brought().doubled_above
        assert converted(own) is own
        assert converted(brought) is not brought
    assert converted(brought) is brought
