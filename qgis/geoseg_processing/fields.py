"""Parameters of the algorithms: as QGIS asks for them, and as words of the command line."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, Callable

from qgis.core import (
    QgsMapLayer,
    QgsProcessing,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProviderRegistry,
)

RASTER = QgsProcessing.SourceType.TypeRaster
POLYGONS = QgsProcessing.SourceType.TypeVectorPolygon
FOLDER = QgsProcessingParameterFile.Behavior.Folder


@dataclass(frozen=True)
class Field:
    """One parameter."""

    kind: str
    """One of `_MAKE`."""

    label: str
    option: str = ""
    """Of the command line; empty: an argument."""

    name: str = ""
    """As QGIS has it; empty: the option's."""

    default: Any = None
    choices: tuple[str, ...] = ()
    optional: bool = True
    advanced: bool = False
    layer_option: str = ""
    """Names the layer of a file that has several."""

    @property
    def key(self) -> str:
        """Its name in QGIS."""
        return self.name or self.option.strip("-").replace("-", "_").upper()

    def definition(self) -> QgsProcessingParameterDefinition:
        """As QGIS shows it."""
        found = _MAKE[self.kind](self)
        flags, flag = found.flags(), QgsProcessingParameterDefinition.Flag
        flags = flags | flag.FlagOptional if self.optional and self.kind != "flag" else flags
        found.setFlags(flags | flag.FlagAdvanced if self.advanced else flags)
        return found

    def words(self, algorithm: Any, parameters: dict[str, Any], context: Any) -> list[str]:
        """What it adds to the command line; nothing where the user has given nothing."""
        given = parameters.get(self.key, self.default)
        if given is None or given == "":
            return []
        if self.kind == "flag":
            return [self.option] if algorithm.parameterAsBool(parameters, self.key, context) else []
        if self.kind in _LAYERS:
            layers = algorithm.parameterAsLayerList(parameters, self.key, context)
            if not layers:
                raise ValueError(f"{self.label}: {given} is no layer")
            return [word for layer in layers for word in self._of_layer(layer)]
        value = getattr(algorithm, _READ.get(self.kind, "parameterAsString"))
        text = str(value(parameters, self.key, context)).strip()
        if not text or (self.choices and text == self.choices[0]):
            return []
        try:
            values = shlex.split(text) if self.kind == "texts" else [text]
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from error
        return [
            word for each in values for word in ([self.option, each] if self.option else [each])
        ]

    def _of_layer(self, layer: QgsMapLayer) -> list[str]:
        source = layer.dataProvider().name(), layer.source()
        parts = QgsProviderRegistry.instance().decodeUri(*source)
        if not parts.get("path"):
            raise ValueError(
                f"{layer.name()}: no file; save it as one (Export > Save As) and take that"
            )
        named = [self.option] if self.option else []
        layer_name = parts.get("layerName") if self.layer_option else None
        return [*named, parts["path"], *([self.layer_option, layer_name] if layer_name else [])]


_LAYERS = ("raster", "layer", "polygons", "rasters", "layers")

_READ = {
    "int": "parameterAsInt",
    "float": "parameterAsDouble",
    "choice": "parameterAsEnumString",
    "raster_out": "parameterAsOutputLayer",
    "vector_out": "parameterAsOutputLayer",
    "folder_out": "parameterAsFileOutput",
    "html_out": "parameterAsFileOutput",
}
"""Methods of an algorithm that read a parameter."""


def _one_layer(*kinds: Any) -> Any:
    return lambda f: QgsProcessingParameterMapLayer(f.key, f.label, types=list(kinds))


def _layers(kind: Any) -> Any:
    return lambda f: QgsProcessingParameterMultipleLayers(f.key, f.label, kind)


def _number(kind: Any) -> Any:
    return lambda f: QgsProcessingParameterNumber(f.key, f.label, kind, f.default, minValue=0)


def _plain(cls: Any, **more: Any) -> Any:
    return lambda f: cls(f.key, f.label, defaultValue=f.default, **more)


_MAKE: dict[str, Callable[[Field], QgsProcessingParameterDefinition]] = {
    "raster": _one_layer(RASTER),
    "layer": _one_layer(RASTER, POLYGONS),
    "polygons": _one_layer(POLYGONS),
    "rasters": _layers(RASTER),
    "layers": _layers(QgsProcessing.SourceType.TypeMapLayer),
    "folder": _plain(QgsProcessingParameterFile, behavior=FOLDER),
    "text": _plain(QgsProcessingParameterString),
    "texts": _plain(QgsProcessingParameterString),
    "int": _number(QgsProcessingParameterNumber.Type.Integer),
    "float": _number(QgsProcessingParameterNumber.Type.Double),
    "choice": lambda f: QgsProcessingParameterEnum(
        f.key, f.label, list(f.choices), defaultValue=f.default, usesStaticStrings=True
    ),
    "flag": _plain(QgsProcessingParameterBoolean),
    "raster_out": _plain(QgsProcessingParameterRasterDestination),
    "vector_out": _plain(QgsProcessingParameterVectorDestination),
    "folder_out": _plain(QgsProcessingParameterFolderDestination),
    "html_out": _plain(QgsProcessingParameterFileDestination, fileFilter="HTML files (*.html)"),
}
