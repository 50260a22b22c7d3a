"""The plugin, and the provider that puts the algorithms into the toolbox."""

from __future__ import annotations

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsApplication, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from geoseg_processing.algorithms import ALGORITHMS, SETTING

NAME = "geoseg"


class Provider(QgsProcessingProvider):
    """All algorithms, and the setting that names the program."""

    def load(self) -> bool:
        """Add the setting, and the algorithms."""
        ProcessingConfig.settingIcons[NAME] = self.icon()
        ProcessingConfig.addSetting(
            Setting(
                NAME,
                SETTING,
                "geoseg program, or folder of its environment (empty: variable GEOSEG, PATH)",
                "",
                valuetype=Setting.FOLDER,
            )
        )
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Take the setting away."""
        ProcessingConfig.removeSetting(SETTING)

    def loadAlgorithms(self) -> None:
        """Add one of each kind."""
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())

    def id(self) -> str:
        """The part of an algorithm's name before the colon."""
        return NAME

    def name(self) -> str:
        """As the toolbox shows it."""
        return NAME

    def icon(self) -> QIcon:
        """As the toolbox shows it."""
        return QIcon(str(Path(__file__).parent / "icon.svg"))

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """Maps are GeoTIFFs."""
        return ["tif"]

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """What `geoseg vectorize` writes and every QGIS reads."""
        return ["gpkg", "fgb", "geojson"]

    def supportsNonFileBasedOutput(self) -> bool:
        """Outputs are files."""
        return False


class Plugin:
    """What QGIS loads and unloads."""

    def __init__(self, iface: object) -> None:
        self.iface = iface
        self.provider: Provider | None = None

    def initProcessing(self) -> None:
        """Register the provider; `qgis_process` calls this alone."""
        self.provider = Provider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Register the provider."""
        self.initProcessing()

    def unload(self) -> None:
        """Take the provider away."""
        QgsApplication.processingRegistry().removeProvider(self.provider)
