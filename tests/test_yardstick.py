"""The yardstick for CIFAR-10 is the network that it says it is."""

import jax
import jax.numpy as jnp
import numpy as np

from docs import resnet18


def test_it_is_resnet_18_for_small_pictures():
    weights, moving = resnet18.initial(0, 10)
    assert (
        sum(value.size for value in weights.values()) == 11_173_962
    )  # torchvision's 11,689,512 with another stem and head
    pictures = jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.float32)
    for training in (True, False):
        logits, new = jax.eval_shape(lambda x, t=training: resnet18.forward(weights, moving, x, t), pictures)
        assert logits.shape == (4, 10) and {k: v.shape for k, v in new.items()} == {
            k: v.shape for k, v in moving.items()
        }


def test_its_operations_are_counted():
    weights, moving = resnet18.initial(0, 10)
    pictures = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    lowered = jax.jit(lambda x: resnet18.forward(weights, moving, x, False)[0]).lower(pictures)
    assert resnet18.multiply_adds(10) == 555_422_720
    share = lowered.cost_analysis()["flops"] / (2 * resnet18.multiply_adds(10))
    assert 0.85 < share < 0.9  # XLA leaves out the products with the pixels of 0 around a map: more, the smaller it is


def test_pictures_are_cut_at_random_and_mirrored():
    pictures = np.arange(64 * 8 * 8 * 3, dtype=np.float32).reshape(64, 8, 8, 3) + 1
    changed = np.asarray(resnet18.changed(jax.random.PRNGKey(0), jnp.asarray(pictures)))
    assert changed.shape == pictures.shape
    mirrored = 0
    for before, after in zip(pictures, changed, strict=True):
        padded = np.pad(before, ((4, 4), (4, 4), (0, 0)))
        cuts = [padded[y : y + 8, x : x + 8] for y in range(9) for x in range(9)]
        plain, flipped = (any(np.array_equal(cut, one) for cut in cuts) for one in (after, after[:, ::-1]))
        assert plain or flipped
        mirrored += flipped and not plain
    assert 16 < mirrored < 48
