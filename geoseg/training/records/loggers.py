"""Lightning's loggers by name, for those who watch their trainings elsewhere."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch import loggers
from lightning.pytorch.loggers import Logger

from geoseg.errors import TrainingError
from geoseg.training.options import TrainOptions

PROJECT = "geoseg"
"""What trainings are called together, where a logger wants a name for that."""

FOLDER = "logs"
"""Below the run folder."""


def _mlflow(run: Path) -> Logger:
    folder = (run / FOLDER).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return loggers.MLFlowLogger(
        experiment_name=PROJECT,
        run_name=run.name,
        # MLflow 3 refuses Lightning's own default, a store of files
        tracking_uri=os.environ.get(
            "MLFLOW_TRACKING_URI", f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
        ),
    )


MAKERS: dict[str, Callable[[Path], Logger]] = {
    "csv": lambda run: loggers.CSVLogger(run, name=FOLDER),
    "tensorboard": lambda run: loggers.TensorBoardLogger(run, name=FOLDER),
    "mlflow": _mlflow,
    "wandb": lambda run: loggers.WandbLogger(project=PROJECT, name=run.name, save_dir=run),
}
"""Where each keeps its records: in the run folder, unless its own settings say otherwise."""


PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
}
"""Of which a logger needs one."""


def check_loggers(names: Sequence[str]) -> None:
    """See that the packages of loggers are installed.

    Raises:
        TrainingError: If one is not.
    """
    for name in names:
        if name in PACKAGES and not any(map(find_spec, PACKAGES[name])):
            raise TrainingError(
                f"--logger {name}: its package is not installed: `pip install 'geoseg[{name}]'`"
            )


def make_loggers(options: TrainOptions, run: Path) -> list[Logger]:
    """The loggers that the options name, knowing the options.

    Raises:
        TrainingError: If one cannot begin.
    """
    record: dict[str, Any] = asdict(options)
    return [_made(name, run, record) for name in options.loggers]


def _made(name: str, run: Path, record: dict[str, Any]) -> Logger:
    try:
        logger = MAKERS[name](run)
        logger.log_hyperparams(record)
    except Exception as error:  # each has errors of its own: no server, no login
        reason = str(error).strip().partition("\n")[0]
        raise TrainingError(f"--logger {name}: {reason or type(error).__name__}") from error
    return logger
