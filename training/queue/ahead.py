"""The network of the run that is expected next, built before it is asked for: its curve then begins seconds sooner.

The Train page says which run it would start (`training.queue.launcher.expect`), the process that
waits (`training.queue.standby`) builds its network, and `training.fit` takes it if it is the one.
"""

from __future__ import annotations

import gc
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from training.queue import handover
from training.spec import RunSpec, parse

if TYPE_CHECKING:
    from training.data import Dataset
    from training.engine.engine import Engine

MOST = 4  # networks built by one process: TensorFlow keeps up to 80 MB of each for good


class Ahead:
    """At most one network, ready to be trained.  It is built in a thread, so that any run can begin meanwhile."""

    def __init__(self) -> None:
        self._for: dict[str, Any] = {}  # the `handover.brought` of the run that is expected
        self._thread = threading.Thread()
        self._built: tuple[Dataset, Engine] | None = None
        self._left = MOST
        self.worn = False  # one more is wanted than this process should build

    def expect(self, brought: dict[str, Any]) -> bool:
        """Begin to build for the run that brings this; False where another is still being built: ask again."""
        if brought == self._for:
            return True
        if self._thread.is_alive():
            return False
        self._forget(brought)
        with suppress(ValueError):  # not a spec
            spec = parse(brought.get("spec", {}))
            if spec.data.backbone is None:  # heads learn on features, which may take minutes
                self.worn = not self._left
                if self._left:
                    self._left -= 1
                    handover.adopt(brought)
                    self._thread = threading.Thread(target=self._build, args=(spec, brought), name="ahead", daemon=True)
                    self._thread.start()
        return True

    def _forget(self, brought: dict[str, Any]) -> None:
        dropped = self._built is not None
        self._for, self._built = brought, None
        if dropped:
            gc.collect()  # an engine and its graphs hold each other

    def _build(self, spec: RunSpec, brought: dict[str, Any]) -> None:
        from training import data
        from training.engine.engine import Engine

        try:
            dataset = data.load(spec.data.name, spec.data.validation)
            if brought is self._for:  # not wanted any more: the run that is begun needs the processor
                engine = Engine(spec, dataset)
                if brought is self._for:
                    engine.warm_up()
                    self._built = (dataset, engine) if brought is self._for else None
        except Exception:  # the run itself says what is wrong, where it is asked for
            if brought is self._for:
                self._for = {}  # to be tried again

    def take(self, brought: dict[str, Any]) -> tuple[Dataset, Engine] | None:
        """The pictures and the network built for that run, once, also where they are nearly ready; None for any other."""
        expected = brought == self._for
        if expected and self._thread.ident is not None:
            self._thread.join()
        built = None
        if expected:
            built, self._built = self._built, None
        self._forget({})
        return built
