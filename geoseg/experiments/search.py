"""A search with Optuna, whose study outlives the process."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from geoseg.errors import InputError, OutputError
from geoseg.experiments.plans import Plan, Range

STUDY = "study.db"
NAME = "geoseg"


class Search:
    """Chooses options by what earlier trainings came to.

    Raises:
        InputError: If Optuna is not installed, or the study was begun with other values.
        OutputError: If the study cannot be written or read.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        """Open the study, or begin one.

        Args:
            folder: Where it is kept, as SQLite.
            plan: What is searched.
        """
        try:
            import optuna
        except ImportError as error:
            raise InputError(
                "a [search] needs Optuna: install geoseg[sweep]; a [grid] does not need it"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._folder = folder
        self._spaces = {name: self._space(space) for name, space in plan.search.items()}
        self._fixed = dict(plan.fixed)
        path = folder / STUDY
        try:
            self._study = optuna.create_study(
                storage=f"sqlite:///{path.absolute().as_posix()}",
                study_name=NAME,
                direction="maximize",
                load_if_exists=True,
            )
        except Exception as error:  # of SQLAlchemy, which geoseg does not import
            raise OutputError(f"{path}: cannot be written or is damaged: {error}") from error
        self._refuse_changed(folder)

    def ask(self, known: Collection[int]) -> tuple[int, dict[str, Any]]:
        """Number and options of the next training.

        They depend on the trainings before it alone, so that a search that was killed and goes on
        makes the same ones.

        Args:
            known: Numbers of trainings that the sweep knows. What it was killed before it could
                note comes first.
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

    def tell(self, number: int, figure: float | None) -> None:
        """What a training came to; None: it failed. What was told once stays.

        Raises:
            InputError: If the study does not know the training.
        """
        failed = None if figure is not None else self._optuna.trial.TrialState.FAIL
        try:
            self._study.tell(number, figure, state=failed, skip_if_finished=True)
        except (ValueError, KeyError) as error:
            raise InputError(
                f"{self._folder / STUDY}: does not know trial {number} of sweep.json; name another "
                f"folder, or start anew with --overwrite"
            ) from error

    def _refuse_changed(self, folder: Path) -> None:
        """Optuna's trials of a study choose from the same lists, and from ranges of one kind."""
        check = self._optuna.distributions.check_distribution_compatibility
        for trial in self._study.get_trials(deepcopy=False):
            for name, space in self._spaces.items():
                earlier = trial.distributions.get(name, space)
                try:
                    check(earlier, space)
                except ValueError:
                    raise InputError(
                        f"{folder}: {name} was {_said(earlier)}, and now it is {_said(space)}; a "
                        f"search can only move the ends of a range: name another folder, or "
                        f"start anew with --overwrite"
                    ) from None

    def _space(self, space: Range | tuple[Any, ...]) -> Any:
        kinds = self._optuna.distributions
        if not isinstance(space, Range):
            return kinds.CategoricalDistribution(space)
        if space.whole:
            step = int(space.step or 1)
            return kinds.IntDistribution(int(space.low), int(space.high), log=space.log, step=step)
        return kinds.FloatDistribution(space.low, space.high, log=space.log, step=space.step)


def _said(space: Any) -> str:
    """One of Optuna's distributions, for people."""
    if hasattr(space, "choices"):
        return f"one of {', '.join(map(str, space.choices))}"
    return "a range of logarithms" if space.log else "a range"
