"""STAC items of models, by the extension for machine learning models (MLM) 1.5."""

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unicodedata import normalize

import geopandas as gpd
import shapely
from shapely.geometry.polygon import orient

from geoseg.model.bundle import INT8, RECORD, ModelBundle, read_shapes
from geoseg.model.segmenter import IR, PIXEL_DIVISOR
from geoseg.patches.training_ground import SourceGround, TrainingGround
from geoseg.raster.atomic import write_text
from geoseg.raster.upload import object_of

MLM = "mlm.json"
"""Of a bundle: its STAC item."""

STAC_VERSION, SCHEMA = "1.1.0", "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"

TASKS = ("semantic-segmentation",)

FOREVER = ("1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
"""A model is not of a time; STAC's way to say so."""

OTHER_CHARACTERS, VERSION = re.compile(r"[^0-9A-Za-z_-]+"), re.compile(r"\d+\.\d+\.\d+")
"""What names of classes and models must not hold, and the start of a version."""

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
"""Ends of names of tensors that are no parameters."""

DEGREE_DIGITS = 7
"""Decimals of degrees: a centimetre."""

PATHS = ("encoder_weights", "init_from", "unlabelled", "config")
"""Options of a training that may hold paths of its machine."""


def write_bundle_item(bundle: ModelBundle) -> None:
    """Write the item of a bundle into its folder, beside weights and record."""
    if bundle.folder is None:
        raise ValueError("a bundle that is not in a folder has no files")
    is_torch = bundle.onnx is None
    assets = {
        "model": _asset(
            bundle.weights_name,
            "Weights" if is_torch else "Network and weights",
            "application/octet-stream",
            artifact="safetensors.torch.save_file" if is_torch else "onnx.save",
        ),
        "record": {
            "href": f"./{RECORD}",
            "title": "Bands, normalisation, legend and training",
            "type": "application/json",
            "roles": ["metadata"],
        },
    }
    if bundle.quantized is not None:
        assets["int8"] = _asset(
            f"{INT8}/{IR}", "Network in int8", "application/xml", artifact="openvino.save_model"
        )
    scaling = [
        {"type": "z-score", "mean": mean, "stddev": std}
        for mean, std in zip(bundle.normalisation.mean, bundle.normalisation.std, strict=True)
    ]
    framework = "PyTorch" if is_torch else "ONNX"
    content = item(bundle, assets, scaling=scaling, framework=framework, size=bundle.patch_size)
    if is_torch:
        shapes = read_shapes(bundle.folder)
        content["properties"]["mlm:total_parameters"] = sum(
            math.prod(shape) for key, shape in shapes.items() if not key.endswith(BUFFERS)
        )
    _write(content, bundle.folder / MLM)


def write_onnx_item(bundle: ModelBundle, path: Path, model: Path, *, size: int) -> None:
    """Write the item of an exported ONNX file.

    Args:
        bundle: What was exported.
        path: File to write.
        model: The ONNX file.
        size: Side of its tiles, in pixels.
    """
    asset = _asset("", "Network and weights", "application/octet-stream", "torch.onnx.export")
    asset["href"] = str(object_of(model) or _relative(model, path.parent))
    scaling = [{"type": "min-max", "minimum": 0, "maximum": PIXEL_DIVISOR}] * bundle.bands
    content = item(bundle, {"model": asset}, scaling=scaling, framework="ONNX", size=size)
    _write(content, path)


def item(
    bundle: ModelBundle,
    assets: Mapping[str, Any],
    *,
    scaling: list[dict[str, Any]],
    framework: str,
    size: int,
) -> dict[str, Any]:
    """The STAC item of a model.

    Args:
        bundle: The model.
        assets: Its files.
        scaling: What makes input of pixels, for each band.
        framework: PyTorch or ONNX.
        size: Side of a tile, in pixels.
    """
    name = f"geoseg-{_plain(bundle.arch)}-{_plain(bundle.encoder)}-{bundle.weights_sha256[:8]}"
    tile = [size, size]
    properties: dict[str, Any] = {
        "description": f"Semantic segmentation of orthophotos: {', '.join(bundle.legend.names)}",
        "datetime": None,
        "start_datetime": FOREVER[0],
        "end_datetime": FOREVER[1],
        "bands": [{"name": each} for each in bundle.band_names],
        "mlm:name": name,
        "mlm:architecture": f"{bundle.arch} with {bundle.encoder}",
        "mlm:framework": framework,
        "mlm:tasks": list(TASKS),
        "mlm:accelerator": None,
        "mlm:accelerator_constrained": False,
        "mlm:input": [
            {
                "name": "orthophoto",
                "description": f"Pixels of {bundle.dtype}",
                "bands": list(bundle.band_names),
                "input": {
                    "shape": [-1, bundle.bands, *tile],
                    "dim_order": ["batch", "bands", "height", "width"],
                    "data_type": "float32",
                },
                "value_scaling": scaling,
                "resize_type": None,
            }
        ],
        "mlm:output": [
            {
                "name": "scores",
                "tasks": list(TASKS),
                "result": {
                    "shape": [-1, len(bundle.legend), *tile],
                    "dim_order": ["batch", "class", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": _classes(bundle),
            }
        ],
    }
    if bundle.gsd is not None:
        properties["gsd"] = bundle.gsd
    place = _footprint(bundle.training_ground)
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [SCHEMA],
        "id": name,
        "geometry": None if place is None else json.loads(shapely.to_geojson(place)),
        **({} if place is None else {"bbox": list(place.bounds)}),
        "properties": properties | _history(bundle, framework),
        "links": [],
        "assets": dict(assets),
    }


def _history(bundle: ModelBundle, framework: str) -> dict[str, Any]:
    """What is known of the training."""
    found: dict[str, Any] = {}
    options, versions = bundle.training.get("options"), bundle.training.get("versions")
    if isinstance(versions, Mapping) and framework == "PyTorch":
        version = VERSION.match(str(versions.get("torch", "")))
        found |= {"mlm:framework_version": version[0]} if version else {}
    if not isinstance(options, Mapping):
        return found
    weights, origin = options.get("encoder_weights", "none"), options.get("init_from")
    found["mlm:pretrained"] = weights != "none" or origin is not None
    found["mlm:pretrained_source"] = None
    if found["mlm:pretrained"]:
        of_images = weights == "imagenet" or str(weights).startswith("package:")
        found["mlm:pretrained_source"] = "ImageNet" if of_images else Path(origin or weights).name
    chosen = {
        key: value for key, value in options.items() if key not in PATHS and value is not None
    }
    return found | ({"mlm:hyperparameters": chosen} if chosen else {})


def _classes(bundle: ModelBundle) -> list[dict[str, Any]]:
    """The classes in the order of the scores, with their values in class maps."""
    return [
        {
            "value": each.value,
            "name": _plain(each.name),
            "description": each.name,
            "color_hint": "{:02X}{:02X}{:02X}".format(*each.color),
        }
        for each in bundle.legend.classes
    ]


def _plain(name: str) -> str:
    """A name of letters, digits, hyphens and underscores.

    >>> _plain("bare soil (dry)"), _plain("forêt")
    ('bare_soil_dry', 'foret')
    """
    letters = normalize("NFKD", name).encode("ascii", "ignore").decode()
    return OTHER_CHARACTERS.sub("_", letters).strip("_") or "unnamed"


def _asset(name: str, title: str, kind: str, artifact: str) -> dict[str, Any]:
    return {
        "href": f"./{name}",
        "title": title,
        "type": kind,
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": artifact,
    }


def _relative(path: Path, folder: Path) -> str:
    """The place of a file as seen from a folder."""
    try:
        return f"./{Path(os.path.relpath(path, folder)).as_posix()}"
    except ValueError:  # another drive
        return path.resolve().as_uri()


def _footprint(ground: TrainingGround | None) -> Any:
    """Hull of the training windows of each source, in degrees; None if no place is known."""
    sources = [] if ground is None else ground.sources
    hulls = [hull for each in sources if (hull := _hull(each)) is not None]
    if not hulls:
        return None
    joined = shapely.set_precision(shapely.union_all(hulls), 10.0**-DEGREE_DIGITS)
    parts = [orient(each) for each in shapely.get_parts(joined)]  # as GeoJSON wants it
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _hull(source: SourceGround) -> Any:
    grid, windows = source.grid, source.windows["train"]
    if grid.crs is None or not windows:
        return None
    corners = [corner for each in windows for corner in grid.part(each).corners]
    hull = shapely.MultiPoint(corners).convex_hull
    finer = shapely.segmentize(hull, hull.length / 16)  # borders of a CRS are no straight lines
    return gpd.GeoSeries([finer], crs=grid.crs.to_wkt()).to_crs(4326).iloc[0]


def _write(content: Mapping[str, Any], path: Path) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")
