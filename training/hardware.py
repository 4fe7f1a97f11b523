"""What the processor can do, and which number format that makes the fast one."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")  # in bytes, or "max"; Linux alone has it


def number_format(wanted: str) -> tuple[str, str]:
    """The number format of the layers, and the device in words.

    "auto": bfloat16 where the processor or GPU computes it itself, else float32: emulated
    bfloat16 is many times slower than float32.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        fast = details.get("compute_capability", (0, 0)) >= (8, 0)
        device = f"GPU: {details.get('device_name', 'unknown')}"
    else:
        fast, device = computes_bfloat16(), processor()
    return (("bfloat16" if fast else "float32") if wanted == "auto" else wanted), device


@lru_cache(maxsize=1)
def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def computes_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16 (Linux; elsewhere no is assumed)."""
    return any(flag in _cpuinfo() for flag in ("avx512_bf16", "amx_bf16"))


@lru_cache(maxsize=1)
def has_avx2() -> bool:
    """Whether its vectors hold eight float32 numbers or more (AVX2, most laptops, and AVX-512)."""
    import numpy as np

    extensions = np.show_config(mode="dicts").get("SIMD Extensions", {})  # without its empty entries
    found = {*extensions.get("baseline", ()), *extensions.get("found", ())}
    return not found.isdisjoint(("X86_V3", "X86_V4"))


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes of memory that this machine, or the container that this process is in, has in all."""
    import psutil

    try:
        limit = CONTAINER_LIMIT.read_text(encoding="ascii").strip()
    except OSError:
        limit = "max"
    return min(psutil.virtual_memory().total, int(limit) if limit.isdigit() else sys.maxsize)


def processor() -> str:
    """The processor in words, with the number of cores this process may use."""
    import platform

    names = [line.partition(":")[2].strip() for line in _cpuinfo().splitlines() if line.startswith("model name")]
    return f"CPU: {(names or [platform.processor() or platform.machine()])[0]}, {cores()} core{'s' * (cores() != 1)}"
