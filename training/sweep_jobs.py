"""The runs of a sweep (`training.sweep`): a variant with a seed each, with a directory of its own."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

from training import catalogue
from training.describe import describe
from training.paths import models_dir, runs_dir
from training.rundir import RunDir, RunError
from training.spec import RunSpec

SMALL = 10e6  # multiply-adds a picture below which a network leaves a second core idle


@dataclass(frozen=True)
class Job:
    """One variant with one seed, and the run directory that is its own."""

    spec: RunSpec

    @property
    def run(self) -> RunDir:
        return RunDir(runs_dir() / f"all-{self.spec.name}-{self.spec.data.name}-seed{self.spec.fit.seed}")

    @property
    def state(self) -> str:
        """The run's state, "new" without one; "finished" also where the seed is in models/ already.

        Raises `RunError` where its directory holds a run of another spec: the catalogue's entry has changed since.
        """
        if self.stored:
            return "finished"
        if not self.run.file("spec.json").is_file():
            return "new"
        if self.run.spec() != self.spec:
            raise RunError(
                f"{self.run.path} holds a run of another {self.spec.name} than the catalogue's; delete it, or keep it "
                "under another name."
            )
        return self.run.status()["state"]

    @property
    def stored(self) -> bool:
        """Whether models/ has a card of this spec with this seed."""
        folder = models_dir() / self.spec.name
        for model in (RunDir(folder), RunDir(folder / f"seed-{self.spec.fit.seed}")):
            with suppress(RunError):
                if model.card() is not None and model.spec() == self.spec:
                    return True
        return False

    @property
    def small(self) -> bool:
        """Whether it is trained beside others, with one thread."""
        return describe(self.spec.network).macs < SMALL

    @property
    def epochs(self) -> int:
        """Epochs to expect: the report's where early stopping decides and the report names them, else the most."""
        report = catalogue.variant(self.spec.name).report.epochs
        return report if self.spec.fit.early_stopping and report else self.spec.fit.max_epochs

    def seconds(self, measured: dict[str, tuple[float, int]]) -> float:
        """What the rest of the job will take, from the measured step."""
        step, steps = measured[self.spec.name]
        done = self.run.status().get("epoch", 0) if self.state != "new" else 0
        return max(1, self.epochs - done) * steps * step


def jobs(names: list[str], seeds: int) -> list[Job]:
    """The runs of a sweep, all variants with seed 0 first."""
    return [Job(catalogue.load(name).replace({"fit.seed": seed})) for seed in range(seeds) for name in names]


def groups(todo: list[Job]) -> list[list[Job]]:
    """The jobs in their order, seed by seed, of each seed the small ones first; last those that learn from a teacher,
    which is there once all of its seeds are."""

    def place(job: Job) -> tuple[bool, int, bool]:
        return (bool(job.spec.fit.teacher), job.spec.fit.seed, not job.small)

    return [list(group) for _, group in groupby(sorted(todo, key=place), place)]
