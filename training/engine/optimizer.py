"""How a gradient moves the weights: SGD with momentum, Adam, or Muon.

SGD steps along the gradient.  Adam (Kingma and Ba 2015, arXiv:1412.6980) divides each weight's step by the size that
its gradients had of late.  Muon (Jordan et al. 2024; Liu et al. 2025, arXiv:2502.16982) moves a kernel, seen as a
matrix of patches by filters, equally far in all directions; biases, batch norm, depthwise kernels and the last layer go
by Adam, whose learning rates suit it, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

from training.spec import Fit

if TYPE_CHECKING:
    import tensorflow as tf

BETA_2, EPSILON = 0.999, 1e-7  # Adam's, as Keras has them
NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315  # Jordan's coefficients
NEWTON_SCHULZ_STEPS = 5
RMS = 0.2  # of an update by Muon, as Adam's usually is (Liu et al.)


def slots(fit: Fit, name: str, shape: Sequence[int]) -> tuple[str, ...]:
    """What is remembered of a variable between two steps."""
    if fit.optimizer == "sgd" or (fit.optimizer == "muon" and is_matrix(name, shape)):
        return ("momentum",)
    return "momentum", "velocity"


def is_matrix(name: str, shape: Sequence[int]) -> bool:
    """Whether Muon moves a variable: the kernel of a convolution or hidden dense layer."""
    return name.endswith("kernel") and name != "output/kernel" and shape[-1] > 1


def orthogonal_macs(rows: int, columns: int) -> int:
    """Multiply-adds of `orthogonal`, which Muon computes in every step for every kernel that `is_matrix` names."""
    short, long = sorted((rows, columns))
    return NEWTON_SCHULZ_STEPS * (2 * short**2 * long + short**3)


class Optimizer:
    """The step of `fit.optimizer`; `state` holds what it remembers, by slot and variable: "momentum/conv_1/kernel"."""

    def __init__(self, fit: Fit, variables: Mapping[str, tf.Variable]):
        self._fit = fit
        self.state: dict[str, tf.Variable] = {}
        self.add(variables)

    def add(self, variables: Mapping[str, tf.Variable]) -> None:
        """Take in further variables, {name: variable}."""
        import tensorflow as tf

        for name, variable in variables.items():
            for slot in slots(self._fit, name, variable.shape):
                self.state[f"{slot}/{name}"] = tf.Variable(tf.zeros_like(variable), trainable=False)

    def apply(self, name: str, variable: tf.Variable, gradient: Any, rate: Any, step: Any) -> None:
        """Move one variable by its gradient in global step `step`, from 0 (in the graph)."""
        momentum = self.state[f"momentum/{name}"]
        velocity = self.state.get(f"velocity/{name}")
        if velocity is not None:
            self._adam(variable, momentum, velocity, gradient, rate, step)
        elif self._fit.optimizer == "muon":
            self._muon(variable, momentum, gradient, rate)
        else:
            self._sgd(variable, momentum, gradient, rate)

    def _sgd(self, variable: tf.Variable, momentum: tf.Variable, gradient: Any, rate: Any) -> None:
        """As Keras's: m = momentum * m - rate * gradient, w += m."""
        import tensorflow as tf

        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle, accum=momentum.handle, lr=rate, grad=gradient, momentum=self._fit.momentum,
            use_nesterov=self._fit.nesterov,
        )  # fmt: skip

    def _adam(self, variable: tf.Variable, momentum: tf.Variable, velocity: tf.Variable, gradient: Any, rate: Any,
              step: Any) -> None:  # fmt: skip
        """As Keras's, with `fit.momentum` for beta_1."""
        import tensorflow as tf

        beta_1, done = self._fit.momentum, tf.cast(step, tf.float32) + 1
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=momentum.handle, v=velocity.handle, beta1_power=beta_1**done, beta2_power=BETA_2**done,
            lr=rate, beta1=beta_1, beta2=BETA_2, epsilon=EPSILON, grad=gradient,
        )  # fmt: skip

    def _muon(self, variable: tf.Variable, momentum: tf.Variable, gradient: Any, rate: Any) -> None:
        import tensorflow as tf

        momentum.assign(self._fit.momentum * momentum + gradient)
        direction = gradient + self._fit.momentum * momentum if self._fit.nesterov else momentum
        shape = variable.shape
        rows, columns = prod(shape[:-1]), shape[-1]
        step = orthogonal(tf.reshape(direction, [rows, columns]))
        variable.assign_sub(rate * RMS * sqrt(max(rows, columns)) * tf.reshape(step, shape))


def orthogonal(matrix: Any) -> Any:
    """The matrix, float32 (rows, columns), with all singular values brought near 1: between 0.7 and 1.2, by Newton and
    Schulz's iteration."""
    import tensorflow as tf

    tall = matrix.shape[0] > matrix.shape[1]
    x = tf.transpose(matrix) if tall else matrix
    x /= tf.norm(x) + EPSILON
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * square + c * tf.matmul(square, square), x)
    return tf.transpose(x) if tall else x
