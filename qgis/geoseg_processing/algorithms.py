"""The steps of geoseg as algorithms of QGIS."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputFolder,
    QgsProcessingOutputNumber,
)

from geoseg_processing.command import CommandError, find_command, run
from geoseg_processing.fields import Field

SETTING = "GEOSEG_COMMAND"
"""Of Processing: the program, or the folder of its environment."""

LEGEND = Field("text", "Legend: TOML file or preset, if the map has none", "--legend")
AOI = Field("polygons", "Area of interest", "--aoi", layer_option="--aoi-layer")
DEVICE = Field("text", "Device: auto, cpu, cuda, mps", "--device", advanced=True)
OVERWRITE = Field("flag", "Replace an existing folder", "--overwrite", default=False)
EXTRA = Field("texts", "Further options of the command line", name="EXTRA", advanced=True)


class Algorithm(QgsProcessingAlgorithm):
    """A subcommand: its parameters become words, its events progress, its files layers."""

    COMMAND = TITLE = HELP = ""
    FIELDS: tuple[Field, ...] = ()

    def name(self) -> str:
        """As in `geoseg:predict`."""
        return self.COMMAND

    def displayName(self) -> str:
        """As the toolbox shows it."""
        return self.TITLE

    def shortHelpString(self) -> str:
        """Shown beside the parameters."""
        return f"{self.HELP}\n\nAll options: geoseg {self.COMMAND} --help"

    def createInstance(self) -> Algorithm:
        """One more of the kind."""
        return type(self)()

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Declare the parameters."""
        for field in (*self.FIELDS, EXTRA):
            self.addParameter(field.definition())

    def prepareAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, _: QgsProcessingFeedback
    ) -> bool:
        """Make the command line, where layers may be asked."""
        try:
            self.program = find_command(ProcessingConfig.getSetting(SETTING) or "")
            self.command, self.outputs = [self.COMMAND], {}
            for field in (*self.FIELDS, EXTRA):
                words = field.words(self, parameters, context)
                self.command += words
                if field.kind.endswith("_out"):
                    self.outputs[field.key] = words[1]
        except (CommandError, ValueError) as error:
            raise QgsProcessingException(str(error)) from error
        if any(field.kind in {"raster_out", "vector_out", "html_out"} for field in self.FIELDS):
            self.command.append("--overwrite")  # QGIS has asked
        return True

    def processAlgorithm(
        self, _: dict[str, Any], __: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run the command; its outputs are those that the user has named."""
        feedback.pushCommandInfo(shlex.join([self.program, *self.command]))
        try:
            result = run(self.program, self.command, _Told(feedback), feedback.isCanceled)
        except (CommandError, OSError, ValueError) as error:
            raise QgsProcessingException(str(error)) from error
        if result is None:
            return {}
        return {**self.outputs, **self.more_outputs(result, feedback)}

    def more_outputs(self, result: Any, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        """What follows from the JSON of the result, besides the files."""
        for each in result if isinstance(result, list) else [result]:
            for note in each.get("notes", ()):
                feedback.pushInfo(note)
        return {}


class _Told:
    """Gives events on to QGIS."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._step = ""

    def __call__(self, event: dict[str, Any]) -> None:
        """Show an event."""
        feedback, kind = self._feedback, event["event"]
        if kind == "progress":
            if event["step"] != self._step:
                self._step = event["step"]
                feedback.setProgressText(self._step)
            feedback.setProgress(100 * (event["share"] or 0.0))
        elif kind == "epoch":
            told = {name: value for name, value in event.items() if name not in {"event", "step"}}
            feedback.pushInfo(", ".join(f"{name} {value}" for name, value in told.items()))
        elif kind == "warning":
            feedback.pushWarning(event["text"])
        elif kind == "message":
            feedback.pushInfo(event["text"])
        else:
            feedback.pushDebugInfo(event.get("text", ""))


class Predict(Algorithm):
    """`geoseg predict`."""

    COMMAND = "predict"
    TITLE = "Predict a class map"
    HELP = "Makes a class map of an orthophoto with a trained model."
    FIELDS = (
        Field("folder", "Model bundle, or run of a training", name="MODEL", optional=False),
        Field("raster", "Orthophoto", name="INPUT", optional=False),
        AOI,
        Field("flag", "Also write the scores: NAME_scores.tif", "--scores", default=False),
        Field(
            "choice",
            "Average over mirrored and turned windows",
            "--test-time-augmentation",
            choices=("none", "flips", "d4"),
            default="none",
            advanced=True,
        ),
        Field("flag", "Resample to the model's GSD", "--resample", default=False, advanced=True),
        DEVICE,
        Field("raster_out", "Class map", "--output", optional=False),
    )


class Postprocess(Algorithm):
    """`geoseg postprocess`."""

    COMMAND = "postprocess"
    TITLE = "Clean a class map"
    HELP = "Removes specks and holes. Areas such as 40px, 5m2 or building=10m2; several by spaces."
    FIELDS = (
        Field("raster", "Class map", name="INPUT", optional=False),
        LEGEND,
        Field("texts", "Smaller regions join a neighbour", "--min-area"),
        Field("texts", "Smaller holes are filled", "--fill-holes"),
        Field("text", "Smooth: commonest class of a square, such as 5px", "--majority"),
        Field("raster_out", "Clean class map", "--output", optional=False),
    )


class Vectorize(Algorithm):
    """`geoseg vectorize`."""

    COMMAND = "vectorize"
    TITLE = "Class map to polygons"
    HELP = "Makes polygons that share their borders, in the colours of the legend."
    FIELDS = (
        Field("raster", "Class map", name="INPUT", optional=False),
        LEGEND,
        Field("text", "Classes, separated by commas (empty: all)", "--classes"),
        Field("texts", "Smaller regions join a neighbour, such as 5m2", "--min-area"),
        Field("text", "Simplify by, such as 1px or 0.3m", "--simplify", default="1px"),
        Field("flag", "Round the corners", "--smooth", default=False),
        Field("text", "Classes with right angles", "--regularize"),
        Field("raster", "Scores of the map, for means of each polygon", "--scores", advanced=True),
        Field("polygons", "Area of interest", "--aoi", advanced=True),
        Field("vector_out", "Polygons", "--output", optional=False),
    )


class Evaluate(Algorithm):
    """`geoseg evaluate`."""

    COMMAND = "evaluate"
    TITLE = "Evaluate a class map"
    HELP = "Compares a class map, raster or polygons, with a reference: a folder of metrics."
    FIELDS = (
        Field("layer", "Class map", name="INPUT", optional=False, layer_option="--map-layer"),
        Field("layer", "Reference", "--reference", optional=False, layer_option="--layer"),
        Field("text", "Column of the class in a reference of polygons", "--attribute"),
        LEGEND,
        Field("polygons", "Area of interest", "--aoi"),
        Field("folder", "Patch set: only its validation ground counts", "--patches"),
        OVERWRITE,
        Field("folder_out", "Folder of the evaluation", "--output", optional=False),
    )

    FIGURES = ("overall_accuracy", "mean_iou", "mean_f1", "kappa")

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the figures, too."""
        super().initAlgorithm(configuration)
        for name in self.FIGURES:
            self.addOutput(QgsProcessingOutputNumber(name.upper(), name.replace("_", " ")))

    def more_outputs(self, result: Any, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        """The figures over all classes; those of each class are told."""
        for each in result["classes"]:
            if each["iou"] is not None:
                feedback.pushInfo(f"{each['name']}: IoU {each['iou']:.4f}, F1 {each['f1']:.4f}")
        return {name.upper(): result[name] for name in self.FIGURES}


class Tile(Algorithm):
    """`geoseg tile`."""

    COMMAND = "tile"
    TITLE = "Cut patches for training"
    HELP = "Cuts orthophotos and references into a patch set, split by spatial blocks."
    FIELDS = (
        Field("rasters", "Orthophotos", name="INPUT", optional=False),
        Field("layers", "References, one for each or one for all", "--reference", optional=False),
        Field("text", "Column of the class in a reference of polygons", "--attribute"),
        LEGEND,
        Field("int", "Side of a patch, in pixels", "--patch-size", default=256),
        Field("float", "Share of the ground for validation", "--val", default=0.2),
        Field("float", "Share of the ground for tests", "--test", default=0.0),
        OVERWRITE,
        Field("folder_out", "Patch set", "--output", optional=False),
    )


class Train(Algorithm):
    """`geoseg train`."""

    COMMAND = "train"
    TITLE = "Train a model"
    HELP = "Trains a network on a patch set. The best model of the run is at hand for a prediction."
    FIELDS = (
        Field("folder", "Patch set", name="INPUT", optional=False),
        Field("int", "Epochs", "--epochs", default=20),
        Field("text", "At most so much time, such as 30m or 2h", "--max-time"),
        Field("text", "Augmentation, such as d4,scale:0.8-1.25", "--augment"),
        Field("text", "Patches of a step (empty: as memory allows)", "--batch-size"),
        Field("text", "Begin with this model or run", "--init-from", advanced=True),
        DEVICE,
        OVERWRITE,
        Field("folder_out", "Run", "--output", optional=False),
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the model, too."""
        super().initAlgorithm(configuration)
        self.addOutput(QgsProcessingOutputFolder("MODEL", "Model bundle"))

    def more_outputs(self, result: Any, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        """The bundle of the best epoch."""
        best = result["best"]
        feedback.pushInfo(f"best epoch: {best['epoch']}, mean IoU {best.get('val_miou')}")
        return {"MODEL": str(Path(result["model"]))}


class Report(Algorithm):
    """`geoseg report`."""

    COMMAND = "report"
    TITLE = "Report as a page"
    HELP = "Writes maps, evaluations and trainings as one HTML page that needs no network."
    FIELDS = (
        Field("rasters", "Class maps", name="INPUT"),
        Field("folder", "Folder of an evaluation", name="EVALUATION"),
        Field("folder", "Run of a training", name="RUN"),
        Field("rasters", "Orthophotos", "--ortho"),
        Field("layer", "Reference", "--reference", layer_option="--layer"),
        Field("text", "Title", "--title"),
        Field("html_out", "Page", "--output", optional=False),
    )


ALGORITHMS = (Tile, Train, Predict, Postprocess, Vectorize, Evaluate, Report)
