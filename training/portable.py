"""Train where TensorFlow does not reach the accelerator: the engine's own step as a program for XLA.

    python -m training.portable FOLDER NAME [--set path=value ...]       here, with TensorFlow and JAX
    python -m training.portable_fit FOLDER RUN_DIR [--seed K]            there, with JAX alone

This half traces what `training.engine.engine` computes (steps, a batch of logits, the initial weights) and writes it in
JAX's portable format, so that there is no second engine whose arithmetic could differ.  Random numbers are drawn by
XLA, whose generator gives others than TensorFlow's, from the same seeds.  For networks from scratch.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from training import catalogue, data, switching
from training.data import DataError, Dataset
from training.engine.convolution import plain_conv2d
from training.engine.engine import EVALUATION_BATCH, Engine
from training.rundir import RunError, write_arrays, write_atomic
from training.spec import RunSpec, SpecError

STEPS = 64  # at most, in a call
PLATFORMS = ("cuda", "cpu", "rocm", "tpu")
PRECISION = "bfloat16"  # where the spec leaves it to the machine
_QUANTILES = 4096


def write(spec: RunSpec, folder: Path, platform: str = PLATFORMS[0], dataset: Dataset | None = None) -> None:
    """Write the programs of `spec`, for any seed, into `folder`; `dataset` takes the place of the one that it names.

    Raises `SpecError` for a head on a backbone and for validation pictures that are augmented, `RunError` and
    `DataError`.
    """
    import tensorflow as tf

    if spec.data.backbone or spec.data.validation == "ordered":
        raise SpecError(f"{spec.name} cannot be taken elsewhere: only networks from scratch with fixed validation can.")
    precision = PRECISION if spec.fit.precision == "auto" else spec.fit.precision
    dataset = dataset or data.load(spec.data.name, spec.data.validation)
    engine = _Traced(spec.replace({"fit.precision": precision}), dataset)
    folder.mkdir(parents=True, exist_ok=True)
    number = tf.TensorSpec([], tf.int32)
    batches, rates = tf.TensorSpec([STEPS, spec.fit.batch_size], tf.int32), tf.TensorSpec([STEPS], tf.float32)
    pictures = tf.TensorSpec([EVALUATION_BATCH, *spec.network.input_shape], tf.uint8)
    _program(folder / "train", engine.steps, [batches, rates, number, number, number], engine, platform)
    _program(folder / "logits", engine.logits, [pictures], engine, platform)
    _program(folder / "initial", engine.initial, [number], engine, platform)
    told = {"spec": spec.model_dump(mode="json"), "precision": precision, "pictures": dataset.sha256, "notes": engine.notes,
            "variables": list(engine._variables), "trainable": list(engine._trainable)}  # fmt: skip
    write_atomic(folder / "programs.json", json.dumps(told, indent=1))


@lru_cache(maxsize=4)
def _quantiles(alpha: float) -> np.ndarray:
    """Of Beta(alpha, alpha), float32 (_QUANTILES + 1,), from 0 to 1 at equal distances."""
    draws = np.sort(np.random.default_rng(0).beta(alpha, alpha, 256 * _QUANTILES))
    return np.concatenate([[0.0], draws[256::256], [1.0]]).astype(np.float32)


def _beta(alpha: float, count: Any, seed: Any) -> Any:
    """`training.engine.mix.beta` by a table: XLA has no gamma function."""
    import tensorflow as tf

    place = tf.random.stateless_uniform([count], seed) * _QUANTILES
    low = tf.cast(place, tf.int32)
    share, table = place - tf.cast(low, tf.float32), tf.constant(_quantiles(alpha))
    return tf.gather(table, low) * (1 - share) + tf.gather(table, low + 1) * share


class _Traced(Engine):
    """An `Engine` whose graph takes the seed as an argument, and has no processor's own ways in it."""

    convolve = staticmethod(plain_conv2d)
    shares = staticmethod(_beta)
    seed: Any  # a tensor

    def _seed(self, stream: int, step: Any) -> Any:
        import tensorflow as tf

        return tf.stack([self.seed, step * 1024 + 256 * stream])

    def steps(self, indices: Any, rates: Any, first: Any, count: Any, seed: Any) -> tuple[Any, Any]:
        self.seed = seed
        return self._steps(indices, rates, first, count)

    def logits(self, pictures: Any) -> Any:
        return self._inference(pictures, np.zeros(2, np.int32), np.bool_(False))

    def initial(self, seed: Any) -> list[Any]:
        """The variables as `training.engine.model.build` draws them: kernels Glorot uniform."""
        import tensorflow as tf

        place = {layer.name: index for index, layer in enumerate(self._layers)}
        values = []
        for name, variable in self._variables.items():
            layer, kind = name.split("/")
            if kind == "kernel" and name not in self._trainable:
                with tf.init_scope():  # its value, as a constant of the program
                    values.append(variable.numpy())
            elif kind == "kernel":
                *field, inputs, outputs = variable.shape
                limit = (6 / (prod(field) * (inputs + outputs))) ** 0.5
                own = tf.stack([seed * 1009 + place[layer], 0])
                values.append(tf.random.stateless_uniform(variable.shape, own, -limit, limit))
            else:
                values.append((tf.ones if kind in ("gamma", "moving_variance") else tf.zeros)(variable.shape))
        return values

    def names(self) -> dict[int, str]:
        """What a captured tensor is, by its id: "images", "labels", or a name of `state`; others are constants."""
        named = {id(v.handle): name for name, v in self._state().items()}
        return named | {id(self._images): "images", id(self._labels): "labels"}


def _program(path: Path, function: Callable[..., Any], signature: list[Any], engine: _Traced, platform: str) -> None:
    """`function` in JAX's portable format; beside it what its parameters behind the arguments are, which of its
    outputs are their new values, and the constants that it needs."""
    import tensorflow as tf

    compiled = tf.function(function, signature, autograph=False, jit_compile=True)
    ir = compiled.experimental_get_compiler_ir(*(tf.zeros(spec.shape, spec.dtype) for spec in signature))
    known = engine.names()
    names: list[str] = []
    constants: dict[str, np.ndarray] = {}
    for captured in compiled.get_concrete_function().captured_inputs:
        if not (name := known.get(id(captured), "")):
            name = f"constant/{len(constants)}"
            is_variable = captured.dtype == tf.resource
            value = tf.raw_ops.ReadVariableOp(resource=captured, dtype=tf.float32) if is_variable else captured
            constants[name] = value.numpy()
        names.append(name)
    head = ir(stage="hlo").split("entry_computation_layout")[0]
    pairs = re.findall(r"\{(\d+)\}: \((\d+), \{\}", head)  # output, and the parameter whose place it takes
    outputs = {int(output): names[int(parameter) - len(signature)] for output, parameter in pairs}
    write_atomic(path.with_suffix(".jax"), _exported(ir(stage="hlo_serialized"), platform))
    told = {"arguments": len(signature), "names": names, "outputs": outputs}
    write_atomic(path.with_suffix(".json"), json.dumps(told))
    write_arrays(path.with_suffix(".npz"), constants)


def _exported(hlo: bytes, platform: str) -> bytes:
    """A program of XLA as a file of `jax.export`."""
    import jax
    from jax import export
    from jax._src.interpreters.mlir import make_ir_context
    from jax._src.lib import _jax
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import stablehlo

    def shapes(group: Any) -> list[Any]:
        kinds = [ir.RankedTensorType(kind) for kind in group]
        return [jax.ShapeDtypeStruct(tuple(kind.shape), _dtype(str(kind.element_type))) for kind in kinds]

    with make_ir_context():
        module = ir.Module.parse(_jax.mlir.hlo_to_stablehlo(hlo))
        main: Any = next(op for op in module.body.operations if str(op.attributes["sym_name"]) == '"main"')
        kind = main.attributes["function_type"].value
        inputs, results = shapes(kind.inputs), shapes(kind.results)
        for name in [name for name in module.operation.attributes if name != "sym_name"]:
            del module.operation.attributes[name]  # XLA's own notes, which the format does not have
        text = re.sub(r"mhlo\.copy (%\S+) :", r"stablehlo.optimization_barrier \1 :", str(module))
        code = _jax.mlir.serialize_portable_artifact(text, stablehlo.get_current_version(), False)

    def same_shapes(*_: Any) -> tuple[Any, ...]:
        return tuple(jax.numpy.zeros(result.shape, result.dtype) for result in results)

    shell = export.export(jax.jit(same_shapes, keep_unused=True), platforms=[platform])(*inputs)
    return bytes(replace(shell, mlir_module_serialized=code, module_kept_var_idx=tuple(range(len(inputs)))).serialize())


def _dtype(name: str) -> Any:
    import jax

    names = {"f32": "float32", "bf16": "bfloat16", "i32": "int32", "ui8": "uint8", "i1": "bool"}
    return jax.numpy.dtype(names[name])


def main(arguments: list[str] | None = None) -> int:
    """Write the programs of a catalogue entry; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.portable", description="The engine as programs for XLA.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", help="a catalogue entry, or a spec's file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="a switch, or a field of the spec"
    )
    parser.add_argument("--platform", choices=PLATFORMS, default=PLATFORMS[0])
    options = parser.parse_args(arguments)
    try:
        settings = dict(pair.partition("=")[::2] for pair in options.set)
        write(switching.apply(catalogue.load(options.name), settings), options.folder, options.platform)
    except (SpecError, RunError, DataError) as error:
        print(error, file=sys.stderr)
    except ModuleNotFoundError as error:
        print(f"{error.name} is missing; get it with: pip install -r requirements-dev.txt", file=sys.stderr)
    except OSError as error:
        print(f"{options.folder} cannot be written: {error.strerror}.", file=sys.stderr)
    else:
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main())
