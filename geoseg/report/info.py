"""`geoseg info`: descriptions of files and folders that geoseg reads and writes."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from geoseg.errors import InputError
from geoseg.labels.legend import Legend, LegendClass
from geoseg.labels.legend_files import load_legend
from geoseg.labels.lookup import to_hex
from geoseg.labels.tags import POLYGONS, read_tags
from geoseg.model.bundle import INT8, Int8Record, ModelBundle, bundle_folders
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import SPLITS, ClassShares
from geoseg.raster.facts import LayerFacts, vector_facts
from geoseg.raster.folders import CHECK, PATCH_SET, WINDOWS
from geoseg.raster.paths import RASTER_SUFFIXES, GdalName
from geoseg.raster.records import read_record, understanding
from geoseg.raster.vector import is_vector
from geoseg.report.info_raster import (
    PROVENANCE_LINES,
    About,
    Table,
    about_raster,
    counted,
    number,
    shares,
)
from geoseg.report.runs import (
    BUNDLE,
    EVALUATION,
    HISTORY,
    PER_CLASS,
    RUN,
    Row,
    complete_epochs,
    read_csv,
)
from geoseg.report.sections import words
from geoseg.text import short_list

FINISHED, UNFINISHED = "finished", "not finished (interrupted, or still running)"
"""State of a training."""


def about_patch_set(path: Path) -> About:
    """The description of a patch set."""
    patch_set = PatchSet.open(path)
    record = patch_set.record
    counts = {split: len(patch_set.in_split(split)) for split in SPLITS}
    classes = ClassShares.of(patch_set.patches, record.legend)
    head, *_ = rows = classes.rows()
    is_index = record.storage == "index"
    storage = "an index: pixels stay in the orthophotos" if is_index else f"{record.storage} files"
    orthos = [source.ortho for source in record.sources]
    missing = [
        each for each in orthos if is_index and not (each.exists() or isinstance(each, GdalName))
    ]
    return About(
        path=path,
        kind="patch set",
        lines={
            "patches": f"{sum(counts.values())} of {record.size} px at stride {record.stride}",
            "splits": ", ".join(f"{count} {split}" for split, count in counts.items() if count),
            "bands": f"{short_list(record.band_names)} ({record.dtype})",
            "GSD": f"{number(record.gsd)} m" if record.gsd else "unknown",
            "storage": storage + (f" of {record.pixels}" if record.pixels else ""),
            "sources": counted(len(record.sources), "orthophoto"),
        },
        facts={
            "patches": counts,
            "size": record.size,
            "stride": record.stride,
            "storage": record.storage,
            "bands": list(record.band_names),
            "dtype": record.dtype,
            "gsd": record.gsd,
            "classes": record.legend.names,
            "class_shares": classes.to_dict(),
            "statistics": dict(record.statistics),
            "sources": [str(each) for each in orthos],
        },
        tables=[[tuple(head), *(tuple(row.values()) for row in rows)]],
        hints=[f"{path}: an orthophoto is no longer there" for path in missing[:3]],
    )


def about_bundle(path: Path) -> About:
    """The description of a model bundle."""
    bundle = ModelBundle.load(path)
    low, high = bundle.value_range
    int8, training = bundle.quantized, bundle.training
    trained_on = "{training_patches} patches of {patches}, judged on {validation_patches}"
    known = {"patches": None, "validation_patches": None} | dict(training)
    if known.get("unlabelled_windows"):
        trained_on += "; {unlabelled_windows} windows without labels"
    weights = (path / bundle.weights_name).stat().st_size
    lines = {
        "network": f"{bundle.arch} on {bundle.encoder}{_decoder(bundle)}",
        "classes": short_list(bundle.legend.names),
        "bands": f"{short_list(bundle.band_names)} "
        f"({bundle.dtype}, mostly {low:.4g} to {high:.4g})",
        "GSD": f"{number(bundle.gsd)} m" if bundle.gsd else "unknown: any is taken",
        "patch size": f"{bundle.patch_size} px",
        "imported from": str(training.get("imported_from", "")),
        "trained on": trained_on.format(**known) if "training_patches" in training else "",
        "best epoch": _metrics(training.get("best_epoch")),
        "scores": _calibration(bundle),
        "thresholds": _thresholds(bundle),
        "int8": _int8(int8) if bundle.onnx is None else "",
        "weights": f"{weights / 1e6:.3g} MB, SHA-256 {bundle.weights_sha256[:12]}…",
    }
    facts = {
        "arch": bundle.arch,
        "encoder": bundle.encoder,
        "classes": bundle.legend.names,
        "bands": list(bundle.band_names),
        "dtype": bundle.dtype,
        "value_range": [low, high],
        "gsd": bundle.gsd,
        "patch_size": bundle.patch_size,
        "temperature": bundle.temperature,
        "thresholds": None if bundle.thresholds is None else dict(bundle.thresholds),
        "training": dict(training),
        "int8": None if int8 is None else asdict(int8),
        "weights_sha256": bundle.weights_sha256,
    }
    hints = []
    if int8 and not (path / INT8).is_dir():
        hints.append("the int8 network is missing: `geoseg quantize --overwrite` makes it again")
    return About(path=path, kind="model bundle", lines=lines, facts=facts, hints=hints)


def _decoder(bundle: ModelBundle) -> str:
    """Width of the decoder, if the training's record names one."""
    options = bundle.training.get("options")
    width = options.get("decoder_channels") if isinstance(options, Mapping) else None
    return f", decoder {width}" if width else ""


def _int8(record: Int8Record | None) -> str:
    if record is None:
        return "none; `geoseg quantize` makes one"
    return (
        f"agrees on {record.agreement:.2%} of the pixels of {record.validation_patches} patches, "
        f"mean IoU {record.miou_int8:.4f} (float32: {record.miou_fp32:.4f}); the default for "
        f"windows of {', '.join(map(str, record.validated_sizes)) or 'no size'} px"
    )


def _calibration(bundle: ModelBundle) -> str:
    """The temperature, and what it did to the scores of validation ground."""
    found = bundle.training.get("calibration")
    if bundle.onnx is not None:
        return "as the imported file gives them"
    if not isinstance(found, Mapping):
        return "as the network gives them, not calibrated" if bundle.temperature == 1 else ""
    return (
        f"calibrated: temperature {bundle.temperature:.3g}, ECE {found['ece_before']:.2%} before, "
        f"{found['ece_after']:.2%} after, on {found['patches']} validation patches"
    )


def _thresholds(bundle: ModelBundle) -> str:
    """What `--threshold auto` takes, and what it gains on validation ground."""
    found = bundle.training.get("calibration")
    if not bundle.thresholds:
        return "" if bundle.thresholds is None else "none: they would gain less than a point"
    values = ", ".join(f"{name} {value:g}" for name, value in bundle.thresholds.items())
    told = f"{values} (`predict --threshold auto`)"
    if not isinstance(found, Mapping):
        return told
    gain = f"mean IoU {found['miou_after']:.4f}, without {found['miou_before']:.4f}"
    return f"{told}: {gain}, on validation patches"


def _metrics(epoch: object) -> str:
    """Those of an epoch that a record names, if it names one."""
    if not isinstance(epoch, Mapping):
        return ""
    names = {"val_miou": "mean IoU", "val_loss": "loss"}
    whole = [f"{name} {number(epoch[key])}" for key, name in names.items() if epoch.get(key)]
    own = [f"{key[4:]} {number(epoch[key])}" for key in epoch if key.startswith("iou_")]
    if not whole:
        return ""
    return f"{epoch.get('epoch')}: {', '.join(whole)}" + (f" ({', '.join(own)})" if own else "")


def about_run(path: Path, *, defaults: Mapping[str, Any]) -> About:
    """The description of a training, and its progress; options that are not the defaults are shown.

    Raises:
        InputError: If its record is damaged.
    """
    record = read_record(path / RUN)
    options = dict(record.get("options", {}))
    changed = {
        name: value
        for name, value in options.items()
        if name in defaults and value != defaults[name] and value is not None
    }
    if "folds" in record:
        return _about_folds(path, record, changed)
    history = read_csv(path / HISTORY)
    bundle = ModelBundle.load(path / "model") if (path / "model").is_dir() else None
    best = bundle.training.get("best_epoch") if bundle else None
    done, most = complete_epochs(history), options.get("epochs")
    state = _state(history, record.get("ended"))
    resumable = state == UNFINISHED and (path / "last.ckpt").is_file()
    lines = {
        **_setting(record, changed, f"{record.get('parameters', 0):,} parameters"),
        "epochs": f"{done}{f' of {most}' if most else ''} in "
        f"{sum(float(row.get('seconds') or 0) for row in history):.0f} s",
        "best epoch": _metrics(best),
        "scores": _calibration(bundle) if bundle else "",
        "state": state + ("; --resume continues after the last epoch" if resumable else ""),
    }
    facts = {
        **record,
        "changed_options": changed,
        "epochs_done": done,
        "best_epoch": dict(best) if isinstance(best, Mapping) and best else None,
        "state": state,
        "can_be_resumed": resumable,
        "model": str(path / "model") if bundle else None,
    }
    return About(path=path, kind="training", lines=lines, facts=facts)


def _about_folds(path: Path, record: Mapping[str, Any], changed: Mapping[str, Any]) -> About:
    """The description of a cross-validation, and its progress."""
    folds = int(record["folds"])
    begun = [read_record(each) for each in path.glob("fold*/run.json")]
    done = sum(own.get("ended") is not None for own in begun)
    state = FINISHED if done == folds else UNFINISHED
    parameters = begun[0].get("parameters", 0) if begun else 0
    rows = read_csv(path / "folds.csv")  # ends with the mean and the deviation of all folds
    mean, deviation = (
        {name: value for name, value in row.items() if name != "fold" and value is not None}
        for row in (rows[-2:] if len(rows) > 1 else ({}, {}))
    )
    metrics = ", ".join(
        f"{name} {number(value)}" + (f" ± {number(deviation[name])}" if name in deviation else "")
        for name, value in mean.items()
    )
    lines = {
        **_setting(record, changed, f"{parameters:,} parameters each"),
        "folds": f"{done} of {folds} finished",
        "best epochs": metrics,
        "state": state + ("; --resume continues with them" if done < folds else ""),
    }
    facts = {
        **record,
        "changed_options": dict(changed),
        "folds_done": done,
        "mean": mean,
        "deviation": deviation,
        "state": state,
        "can_be_resumed": done < folds,
        "models": [str(each) for each in bundle_folders(path) if each != path],
    }
    return About(path=path, kind="training", lines=lines, facts=facts)


def _setting(record: Mapping[str, Any], changed: Mapping[str, Any], size: str) -> dict[str, str]:
    """Network, patches and options of a training or of folds."""
    options = record.get("options", {})
    return {
        "network": f"{options.get('arch')} on {options.get('encoder')}, {size}",
        "patches": f"{record.get('patches')} ({shares(record.get('class_pixels', {}))})",
        "options": ", ".join(f"{name} {value}" for name, value in changed.items())
        or "all at their defaults",
    }


def _state(history: list[Row], ended: str | None) -> str:
    if not complete_epochs(history):
        return "no epoch is complete"
    if ended == "divergence":
        return f"diverged after {complete_epochs(history)} epochs"
    return UNFINISHED if ended is None else FINISHED


def about_evaluation(path: Path) -> About:
    """The description of an evaluation."""
    content = read_record(path / EVALUATION)
    classes = [row for row in content.get("classes", []) if isinstance(row, dict)]
    metrics = [name for name in PER_CLASS if classes and name in classes[0]]
    rows = [(str(row.get("name")), *(number(row[name]) for name in metrics)) for row in classes]
    overall = ("overall_accuracy", "mean_iou", "mean_f1", "kappa")
    known = {words(name): content[name] for name in overall if content.get(name) is not None}
    return About(
        path=path,
        kind="evaluation",
        lines={
            "maps": str(len(content.get("maps") or {}) or 1),
            "pixels": f"{content['pixels']:,}" if "pixels" in content else "",
            **{title: number(value) for title, value in known.items()},
        },
        facts=content,
        tables=[[("class", *metrics), *rows]] if rows else (),
    )


def about_check(path: Path) -> About:
    """The description of a check."""
    content = read_record(path / CHECK.record)
    found = dict.fromkeys(each["kind"] for each in content["findings"])
    lines = {"patches": str(content["patches"]), "findings": ", ".join(found) or "none"}
    return About(path=path, kind="check of a patch set", lines=lines, facts=content)


FOLDERS = {
    PATCH_SET.record: about_patch_set,
    BUNDLE: about_bundle,
    EVALUATION: about_evaluation,
    CHECK.record: about_check,
}
"""Functions that describe folders, by the record in the folder."""


def inform(path: Path, *, defaults: Mapping[str, Any]) -> About:
    """The description of a file or folder that geoseg reads or writes, as in `about_run`.

    Raises:
        GeosegError: If it is missing, damaged, or nothing that geoseg knows.
    """
    if path.is_dir():
        known: Mapping[str, Callable[[Path], About]] = {
            **FOLDERS,
            RUN: partial(about_run, defaults=defaults),
        }
        for record, describe in known.items():
            if (path / record).is_file():
                with understanding(path / record):
                    return describe(path)
        return _about_vector(path) if is_vector(path) else _about_folder(path)
    if path.suffix.lower() == ".toml":
        return _about_legend(path)
    return _about_vector(path) if is_vector(path) else about_raster(path)


def _about_folder(path: Path) -> About:
    kinds = Counter(each.suffix.lower() for each in path.iterdir() if each.is_file())
    rasters = {suffix: count for suffix, count in kinds.items() if suffix in RASTER_SUFFIXES}
    if not rasters:
        raise InputError(
            f"{path}: holds nothing that geoseg knows: no patch set, model, training, evaluation "
            f"or raster"
        )
    windows = (path / WINDOWS.record).is_file()
    files = ", ".join(f"{count} {suffix}" for suffix, count in rasters.items())
    return About(
        path=path,
        kind="windows of scores" if windows else "folder of rasters",
        lines={"files": f"{files}; `geoseg info FILE` describes one of them"},
        facts={"files": dict(kinds)},
    )


def _about_legend(path: Path) -> About:
    legend = load_legend(str(path))
    rows = [
        (
            str(each.value),
            each.name,
            to_hex(each.color),
            ", ".join(map(str, each.source_values))
            + ("" if each.alternative is None else f" or else {each.alternative}"),
        )
        for each in legend.classes
    ]
    return About(
        path=path,
        kind="legend",
        lines={
            "classes": str(len(legend)),
            "background": legend.background or "",
            "unlabelled": ", ".join(map(str, legend.ignore)),
        },
        facts={"legend": legend.to_dict()},
        tables=[[("value", "name", "colour", "read from"), *rows]],
    )


def _about_vector(path: Path) -> About:
    layers, tags = vector_facts(path), read_tags(path)
    classes = _classes(tags)
    rows = [(each.name, str(each.features), each.geometry, each.crs or "none") for each in layers]
    columns = {
        f"column {name}": ", ".join(f"{value} ({count})" for value, count in values.items())
        for each in layers
        for name, values in each.classes.items()
    }
    return About(
        path=path,
        kind=str(tags.get("kind") or "vector file"),
        lines={
            "layers": str(len(layers)),
            **({} if classes else columns),
            **_vectorizing(tags.get("provenance", {})),
        },
        facts={"layers": [vars(each) for each in layers], "geoseg": tags},
        tables=[[("layer", "rows", "geometry", "CRS"), *rows], *classes],
        hints=[hint for each in layers for hint in _hints(each)],
    )


def _vectorizing(made: Mapping[str, Any]) -> dict[str, str]:
    """How polygons were made, and their map."""
    done = made.get("vectorizing")
    if not isinstance(done, Mapping):
        return {}
    chosen = [
        f"{name.replace('_', ' ')} {', '.join(value) if isinstance(value, list) else value}"
        for name, value in done.items()
        if value and name not in ("geoseg", "map")
    ]
    known = {name.replace("_", " "): str(made[name]) for name in PROVENANCE_LINES if name in made}
    return {"map": str(done.get("map")), "vectorized with": "; ".join(chosen), **known}


def _classes(tags: Mapping[str, Any]) -> list[Table]:
    """Legend, regions, pixels and ground of polygons of geoseg."""
    if tags.get("kind") != POLYGONS or "legend" not in tags:
        return []
    report = tags.get("report")
    done: Mapping[str, Any] = report if isinstance(report, Mapping) else {}
    counts = [done.get(name) for name in ("regions", "pixels", "areas")]
    known = [each if isinstance(each, Mapping) else {} for each in counts]
    rows = [
        (str(each.value), each.name, to_hex(each.color), *(_figure(own, each) for own in known))
        for each in Legend.from_dict(tags["legend"]).classes
    ]
    unit = "px" if done.get("area_unit") == "px" else "m²"
    return [[("value", "name", "colour", "regions", "pixels", f"area ({unit})"), *rows]]


def _figure(known: Mapping[str, Any], own: LegendClass) -> str:
    """The number of a class; a dash if it was left out."""
    value = known.get(own.name)
    return f"{value:.1f}" if isinstance(value, float) else str("-" if value is None else value)


def _hints(layer: LayerFacts) -> list[str]:
    hints = []
    if layer.crs is None:
        hints.append(f"{layer.name}: no CRS, that of the orthophoto is assumed")
    if layer.features and "Polygon" not in layer.geometry and layer.geometry != "Unknown":
        hints.append(f"{layer.name}: holds {layer.geometry}, references are polygons")
    return hints
