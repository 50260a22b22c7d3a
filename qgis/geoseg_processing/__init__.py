"""geoseg in the toolbox of QGIS: starts the command of another Python environment."""


def classFactory(iface: object) -> object:
    """Give QGIS the plugin; QGIS calls this by its name."""
    from geoseg_processing.provider import Plugin

    return Plugin(iface)
