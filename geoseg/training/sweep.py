"""Many trainings one after the other, a run folder each; finished ones are kept."""

import json
import math
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import GeosegError, InputError, OutputError, OutputExistsError
from geoseg.raster import folders
from geoseg.raster.atomic import is_vacant, write_text, writing
from geoseg.raster.folders import KIND, locked
from geoseg.raster.records import read_record
from geoseg.report.runs import RUN, SWEEP, read_runs
from geoseg.training.grid import MAXIMIZE, Plan, Range

STUDY = "study.db"

BEGUN, FINISHED, FAILED = "begun", "finished", "failed"

START_ANEW = "name another folder, or start anew with --overwrite"

Run = dict[str, Any]
"""Options and state of a training in ``sweep.json``."""


class Search:
    """Chooses options by the metrics of earlier trainings, with Optuna."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        """Open the study of a folder, or begin one.

        Raises:
            InputError: If Optuna is not installed, or the study was begun with other values.
            OutputError: If the study cannot be written or read.
        """
        try:
            import optuna
        except ImportError as error:
            raise InputError(
                "a [search] needs Optuna: install geoseg[sweep]; a [grid] does not need it"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._spaces = {name: self._space(space) for name, space in plan.search.items()}
        self._fixed = dict(plan.fixed)
        self._path = folder / STUDY
        try:
            self._study = optuna.create_study(
                storage=f"sqlite:///{self._path.absolute().as_posix()}",
                study_name="geoseg",
                direction="maximize",
                load_if_exists=True,
            )
        except Exception as error:  # of SQLAlchemy, which geoseg does not import
            raise OutputError(f"{self._path}: cannot be written or is damaged: {error}") from error
        self._refuse_changed(folder)

    def ask(self, known: Collection[int]) -> tuple[int, dict[str, Any]]:
        """Number and options of the next training.

        They depend on the trainings before it alone, so that a search that was killed and resumed
        makes the same ones. What it was killed before it could note comes first.

        Args:
            known: Numbers of trainings that the sweep knows.
        """
        trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.number not in known and not trial.state.is_finished():
                if set(trial.params) == set(self._spaces):
                    return trial.number, self._fixed | dict(trial.params)
                self.tell(trial.number, None)  # killed while it was asked
        self._study.sampler = self._optuna.samplers.TPESampler(seed=len(trials))
        asked = self._study.ask(self._spaces)
        return asked.number, self._fixed | dict(asked.params)

    def tell(self, number: int, metric: float | None) -> None:
        """Tell the metric of a training; None: it failed. What was told once stays.

        Raises:
            InputError: If the study does not know the training.
        """
        failed = None if metric is not None else self._optuna.trial.TrialState.FAIL
        try:
            self._study.tell(number, metric, state=failed, skip_if_finished=True)
        except (ValueError, KeyError) as error:
            raise InputError(
                f"{self._path}: does not know trial {number} of sweep.json; {START_ANEW}"
            ) from error

    def _refuse_changed(self, folder: Path) -> None:
        """Optuna's trials of a study choose from the same lists, and from ranges of one kind."""
        for trial in self._study.get_trials(deepcopy=False):
            for name, space in self._spaces.items():
                earlier = trial.distributions.get(name, space)
                try:
                    self._optuna.distributions.check_distribution_compatibility(earlier, space)
                except ValueError:
                    raise InputError(
                        f"{folder}: {name} was {_span(earlier)}, and now it is {_span(space)}; a "
                        f"search can only move the ends of a range: {START_ANEW}"
                    ) from None

    def _space(self, space: Range | tuple[Any, ...]) -> Any:
        kinds = self._optuna.distributions
        if not isinstance(space, Range):
            return kinds.CategoricalDistribution(space)
        if space.whole:
            step = int(space.step or 1)
            return kinds.IntDistribution(int(space.low), int(space.high), log=space.log, step=step)
        return kinds.FloatDistribution(space.low, space.high, log=space.log, step=space.step)


def _span(space: Any) -> str:
    """One of Optuna's distributions, for people."""
    if hasattr(space, "choices"):
        return f"one of {', '.join(map(str, space.choices))}"
    return "a range of logarithms" if space.log else "a range"


@dataclass(frozen=True)
class SweepReport:
    """Result of a sweep."""

    runs: tuple[Path, ...]
    """Folders with a training."""

    skipped: int
    """Trainings that were finished before."""

    failures: Mapping[str, str]
    """Reasons of failed trainings, by name."""

    interrupted: bool
    """Whether the user stopped it."""


def sweep(
    patches: Path,
    folder: Path,
    plan: Plan,
    *,
    train: Callable[..., Any],
    resume: bool = False,
    retry_failed: bool = False,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> SweepReport:
    """Make all trainings of a plan; one that fails is noted. One sweep at a time writes a folder.

    Args:
        patches: Folder of the patch set.
        folder: Folder to write: a run folder for each training, and ``sweep.json``.
        plan: The trainings.
        train: Trains, called with run folder, options by name and ``resume``; its report has the
            metrics of the ``best`` epoch and whether it was ``interrupted``.
        resume: Continue an earlier sweep: finished trainings stay, an interrupted one is resumed.
        retry_failed: Try failed trainings again.
        overwrite: Begin anew; earlier trainings of the sweep are removed.
        tell: Receives a line on every training before it begins.

    Raises:
        OutputExistsError: If the folder exists and is neither resumed nor replaced, or another
            process is writing it.
        InputError: If the earlier sweep was another, or Optuna is missing.
        OutputError: If nothing can be written.
    """
    with locked(folder):
        earlier = check_sweep(patches, folder, plan, resume=resume, overwrite=overwrite)
        if resume and not earlier and is_vacant(folder):
            tell(f"{folder}: there is nothing to resume; the sweep begins anew")
        if not resume:
            _remove(folder, earlier)
            earlier = {}
        return _Sweep(patches, folder, plan, train, tell, earlier).run(retry=retry_failed)


@dataclass
class _Sweep:
    patches: Path
    folder: Path
    plan: Plan
    train: Callable[..., Any]
    tell: Callable[[str], None]
    runs: dict[str, Run]
    skipped: int = 0

    def run(self, *, retry: bool) -> SweepReport:
        """Make the trainings that are missing."""
        interrupted = (self._search if self.plan.search else self._grid)(retry=retry)
        return SweepReport(
            tuple(self.folder / name for name in self.runs if self._is_there(name)),
            self.skipped,
            {name: run["reason"] for name, run in self.runs.items() if run["state"] == FAILED},
            interrupted,
        )

    def _grid(self, *, retry: bool) -> bool:
        planned = self.plan.runs()
        for number, (name, options) in enumerate(planned.items(), start=1):
            state = self.runs.get(name, {}).get("state")
            if state == FINISHED or (state == FAILED and not retry):
                self.skipped += state == FINISHED
                continue
            self.tell(f"{number} of {len(planned)}: {name}")
            if self._make(name, options) is None:
                return True
        return False

    def _search(self, *, retry: bool) -> bool:
        again = [BEGUN, *([FAILED] if retry else [])]
        todo = {name: run for name, run in self.runs.items() if run["state"] in again}
        self.skipped = sum(run["state"] == FINISHED for run in self.runs.values())
        self.folder.mkdir(parents=True, exist_ok=True)
        search = Search(self.folder, self.plan)
        for run in self.runs.values():  # one may have ended that the study was not told of
            if run["state"] != BEGUN:
                search.tell(run["number"], run.get("figure"))
        while todo or len(self.runs) < self.plan.trials:
            if todo:
                name = next(iter(todo))
                run = todo.pop(name)
                number, options = run["number"], run["options"]
            else:
                number, options = search.ask({run["number"] for run in self.runs.values()})
                name = f"trial_{number:03}"
            self.tell(f"{name}, of {self.plan.trials}: {_chosen(options, self.plan)}")
            if self._make(name, options, number=number) is None:
                return True
            search.tell(number, self.runs[name].get("figure"))
        return False

    def _make(self, name: str, options: Mapping[str, Any], **more: Any) -> str | None:
        """Make a training; its state, or None if the user stopped it."""
        run = self.folder / name
        self.runs[name] = {**more, "options": dict(options), "state": BEGUN}
        self._write()
        try:
            report = self.train(run, options, resume=self._is_there(name))
            if report.interrupted:
                return None
            self.runs[name] |= self._ended(report.best)
        except KeyboardInterrupt:  # before its first epoch was complete
            return None
        except Exception as error:
            if isinstance(error, OutputError) and not isinstance(error, OutputExistsError):
                raise
            # a run that breaks must not end a night of others
            reason = f"{run}: {type(error).__name__}: {error}".splitlines()[0]
            reason = str(error) if isinstance(error, GeosegError) else reason
            self.runs[name] |= {"state": FAILED, "reason": reason}
        self._write()
        return str(self.runs[name]["state"])

    def _ended(self, best: Mapping[str, Any]) -> Run:
        if not self.plan.search:
            return {"state": FINISHED}
        metric = best.get(self.plan.maximize)
        if not isinstance(metric, float) or not math.isfinite(metric):
            known = ", ".join(best)
            reason = f"its best epoch has no {self.plan.maximize!r} to maximize, but {known}"
            return {"state": FAILED, "reason": reason}
        return {"state": FINISHED, "figure": metric}

    def _is_there(self, name: str) -> bool:
        return (self.folder / name / RUN).is_file()

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        record: dict[str, Any] = {KIND: folders.SWEEP.name, "patches": str(self.patches)}
        if self.plan.search:
            record[MAXIMIZE] = self.plan.maximize
        text = json.dumps(record | {"runs": self.runs}, indent=1, default=str)
        write_text(self.folder / SWEEP, text + "\n")


def check_sweep(
    patches: Path, folder: Path, plan: Plan, *, resume: bool, overwrite: bool
) -> dict[str, Run]:
    """Check, without writing anything, that a sweep can begin or continue in a folder.

    Returns:
        Runs of an earlier sweep in the folder, by name.

    Raises:
        OutputExistsError: If the folder exists and is neither resumed nor replaced, or
            holds other files.
        InputError: If the earlier sweep was another, or its record is damaged.
    """
    if is_vacant(folder):  # also if an earlier sweep was killed before it had written anything
        return {}
    if not folders.SWEEP.is_kind_of(folder):
        raise OutputExistsError(f"{folder} exists, and `geoseg sweep` did not write it")
    record, runs = read_record(folder / SWEEP), read_runs(folder)
    if overwrite and not resume:
        for name in runs:
            _refuse_foreign(folder / name)
        return runs
    if not resume:
        raise OutputExistsError(
            f"{folder} exists; go on with --resume, or start anew with --overwrite"
        )
    if record.get("patches") != str(patches):
        raise InputError(f"{folder}: is a sweep over {record.get('patches')}, not {patches}")
    if plan.search and record.get(MAXIMIZE, plan.maximize) != plan.maximize:
        raise InputError(f"{folder}: maximizes {record[MAXIMIZE]}, not {plan.maximize}")
    planned = plan.runs() if plan.grid else {}
    for name, run in runs.items():
        _refuse_damaged(folder, name, run)
        _refuse_changed(folder, name, run, plan, planned.get(name))
    return runs


def _refuse_damaged(folder: Path, name: str, run: Run) -> None:
    """Check the types of a run's entries."""
    kinds = {
        "options": dict,
        "state": str,
        "number": int | None,
        "reason": str if run.get("state") == FAILED else str | None,
        "figure": float | int | None,
    }
    wrong = [key for key, kind in kinds.items() if not isinstance(run.get(key), kind)]
    if not wrong and run["state"] not in (BEGUN, FINISHED, FAILED):
        wrong = ["state"]
    if wrong:
        raise InputError(f"{folder / SWEEP}: is damaged: {name} has no valid {wrong[0]!r}")


def _refuse_foreign(run: Path) -> None:
    """Check that a training, which is to be removed, holds nothing else."""
    if not (run / RUN).is_file():
        return
    if run.is_symlink():
        raise OutputExistsError(f"{run} is a link, and what it leads to is not removed")
    if foreign := folders.TRAINING.foreign(run):
        raise OutputExistsError(
            f"{run} holds what geoseg did not write there, and is not removed: "
            f"{folders.list_entries(foreign)}; move that elsewhere"
        )


def _remove(folder: Path, runs: Iterable[str]) -> None:
    """Remove the trainings of an earlier sweep, and its study."""
    for name in runs:
        if (folder / name / RUN).is_file():
            with writing(folder / name):
                shutil.rmtree(folder / name)
    (folder / STUDY).unlink(missing_ok=True)


def _refuse_changed(
    folder: Path, name: str, run: Run, plan: Plan, planned: Mapping[str, Any] | None
) -> None:
    """Check that a run has the options that its name stands for now."""
    made = run["options"]
    if ("number" in run) != bool(plan.search):
        begun = "[grid]" if plan.search else "[search]"
        raise InputError(f"{folder}: was begun with a {begun}; {START_ANEW}")
    wanted = made | dict(plan.fixed) if planned is None else dict(planned)
    if plan.search:
        chosen = {option: made.get(option, str(space)) for option, space in plan.search.items()}
        wanted = {**plan.fixed, **chosen}
    if difference := _difference(made, json.loads(json.dumps(wanted, default=str))):
        raise InputError(f"{folder / name}: was made {difference}; {START_ANEW}")


def _difference(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first option that is another; empty: none.

    >>> _difference({"lr": 0.1}, {"lr": 0.2})
    'with lr = 0.1, and now it is 0.2'
    """
    for option in {**made, **wanted}:
        if option not in wanted:
            return f"with {option} = {made[option]!r}, and now it is not given"
        if option not in made:
            return f"without {option}, and now it is {wanted[option]!r}"
        if made[option] != wanted[option]:
            return f"with {option} = {made[option]!r}, and now it is {wanted[option]!r}"
    return ""


def _chosen(options: Mapping[str, Any], plan: Plan) -> str:
    """The options that a search has chosen, for people."""
    chosen = {name: options[name] for name in plan.search}
    words = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in chosen.values())
    return ", ".join(map(" ".join, zip(chosen, words, strict=True)))
