"""Lightning's loggers by name, for those who watch their trainings elsewhere."""

from collections.abc import Callable
from dataclasses import asdict
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

MAKERS: dict[str, Callable[[Path], Logger]] = {
    "csv": lambda run: loggers.CSVLogger(run, name=FOLDER),
    "tensorboard": lambda run: loggers.TensorBoardLogger(run, name=FOLDER),
    "mlflow": lambda run: loggers.MLFlowLogger(
        experiment_name=PROJECT, run_name=run.name, save_dir=str(run / FOLDER)
    ),
    "wandb": lambda run: loggers.WandbLogger(project=PROJECT, name=run.name, save_dir=run),
}
"""Where each keeps its records: in the run folder, unless its own settings say otherwise."""


def make_loggers(options: TrainOptions, run: Path) -> list[Logger]:
    """The loggers that the options name, knowing the options.

    Raises:
        TrainingError: If the package of one is not installed.
    """
    made = [_made(name, run) for name in options.loggers]
    record: dict[str, Any] = asdict(options)
    for logger in made:
        logger.log_hyperparams(record)
    return made


def _made(name: str, run: Path) -> Logger:
    try:
        return MAKERS[name](run)
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"--logger {name}: its package is not installed: `pip install 'geoseg[{name}]'`"
        ) from error
