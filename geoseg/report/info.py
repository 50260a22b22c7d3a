"""Patch sets, model bundles, trainings, evaluations."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geoseg.errors import InputError
from geoseg.labels.legend_files import load_legend
from geoseg.model.bundle import INT8, ModelBundle, Quantized, bundle_folders
from geoseg.patches.class_shares import ClassShares
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import SPLITS
from geoseg.raster.facts import LayerFacts, vector_facts
from geoseg.raster.paths import RASTER_SUFFIXES, is_gdal_name
from geoseg.raster.records import read_record, understanding
from geoseg.raster.vector import is_vector
from geoseg.report.info_raster import About, Table, about_raster, counted, number, shares
from geoseg.report.runs import BUNDLE, EVALUATION, HISTORY, RUN, Row, read_csv
from geoseg.text import in_short

FINISHED, UNFINISHED = "finished", "not finished (interrupted, or still running)"
"""States of a training."""


def about_patch_set(path: Path) -> About:
    """What a patch set is.

    Raises:
        PatchSetError: If it is incomplete or damaged.
    """
    patch_set = PatchSet.open(path)
    record = patch_set.record
    counts = {split: len(patch_set.in_split(split)) for split in SPLITS}
    classes = ClassShares.of(patch_set.patches, record.legend)
    head, *_ = rows = classes.rows()
    is_index = record.storage == "index"
    storage = "an index: pixels stay in the orthophotos" if is_index else f"{record.storage} files"
    missing = [
        source.ortho
        for source in record.sources
        if not (source.ortho.exists() or is_gdal_name(source.ortho))
    ]
    return About(
        path=path,
        kind="patch set",
        lines={
            "patches": f"{sum(counts.values())} of {record.size} px at stride {record.stride}",
            "splits": ", ".join(f"{count} {split}" for split, count in counts.items() if count),
            "bands": f"{in_short(record.band_names)} ({record.dtype})",
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
            "sources": [str(source.ortho) for source in record.sources],
        },
        tables=[Table(head=tuple(head), rows=[tuple(row.values()) for row in rows])],
        hints=[f"{path}: an orthophoto is no longer there" for path in missing[:3]]
        if is_index
        else [],
    )


def about_bundle(path: Path) -> About:
    """What a model bundle is.

    Raises:
        BundleError: If it is incomplete or damaged.
    """
    bundle = ModelBundle.load(path)
    best = _table(bundle.training.get("best_epoch"))
    low, high = bundle.value_range
    proof = bundle.quantized
    lines = {
        "network": f"{bundle.arch} on {bundle.encoder}",
        "classes": in_short(bundle.legend.names),
        "bands": f"{in_short(bundle.band_names)} ({bundle.dtype}, mostly {low:.4g} to {high:.4g})",
        "GSD": f"{number(bundle.gsd)} m" if bundle.gsd else "unknown: any is taken",
        "patch size": f"{bundle.patch_size} px",
        "trained on": _trained_on(bundle.training),
        "best epoch": _figures(best),
        "int8": _proof(bundle.quantized),
        "weights": f"{(path / 'model.safetensors').stat().st_size / 1e6:.3g} MB, "
        f"SHA-256 {bundle.weights_sha256[:12]}…",
    }
    facts = {
        "arch": bundle.arch,
        "encoder": bundle.encoder,
        "classes": bundle.legend.names,
        "bands": list(bundle.band_names),
        "dtype": bundle.dtype,
        "value_range": list(bundle.value_range),
        "gsd": bundle.gsd,
        "patch_size": bundle.patch_size,
        "training": dict(bundle.training),
        "int8": None if proof is None else asdict(proof),
        "weights_sha256": bundle.weights_sha256,
    }
    hints = []
    if proof and not (path / INT8).is_dir():
        hints.append("the int8 network is missing: `geoseg quantize --overwrite` makes it again")
    return About(path=path, kind="model bundle", lines=lines, facts=facts, hints=hints)


def _proof(proof: Quantized | None) -> str:
    if proof is None:
        return "none; `geoseg quantize` makes one"
    return (
        f"agrees on {proof.agreement:.2%} of the pixels of {proof.validation_patches} patches, "
        f"mean IoU {proof.miou_int8:.4f} (float32: {proof.miou_fp32:.4f}); taken by itself for "
        f"windows of {', '.join(map(str, proof.proven_sizes)) or 'no size'} px"
    )


def _table(entry: object) -> dict[str, Any]:
    """A part of a record; nothing if that is no table."""
    return dict(entry) if isinstance(entry, Mapping) else {}


def _trained_on(training: Mapping[str, Any]) -> str:
    if "training_patches" not in training:
        return ""
    patches, judged = training["training_patches"], training.get("validation_patches")
    return f"{patches} patches of {training.get('patches')}, judged on {judged}"


def _figures(epoch: Mapping[str, Any]) -> str:
    names = {"val_miou": "mean IoU", "val_loss": "loss"}
    told = [f"{name} {number(epoch[key])}" for key, name in names.items() if epoch.get(key)]
    own = [f"{key[4:]} {number(epoch[key])}" for key in epoch if key.startswith("iou_")]
    if not told:
        return ""
    return f"{epoch.get('epoch')}: {', '.join(told)}" + (f" ({', '.join(own)})" if own else "")


def about_run(path: Path, *, defaults: Mapping[str, Any]) -> About:
    """What a training is, and how far it has come.

    Args:
        path: Its folder.
        defaults: Options of `geoseg train`, to tell those that differ.

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
    best = _table(bundle.training.get("best_epoch")) if bundle else {}
    done, most = len(history), options.get("epochs")
    state = _state(history, record.get("ended"))
    resumable = state == UNFINISHED and (path / "last.ckpt").is_file()
    lines = {
        **_setting(record, changed, f"{record.get('parameters', 0):,} numbers trained"),
        "epochs": f"{done}{f' of {most}' if most else ''} in "
        f"{sum(float(row.get('seconds') or 0) for row in history):.0f} s",
        "best epoch": _figures(best),
        "state": state + ("; --resume goes on after the last epoch" if resumable else ""),
    }
    facts = {
        **record,
        "changed_options": changed,
        "epochs_done": done,
        "best_epoch": best or None,
        "state": state,
        "can_be_resumed": resumable,
        "model": str(path / "model") if bundle else None,
    }
    return About(path=path, kind="training", lines=lines, facts=facts)


def _about_folds(path: Path, record: Mapping[str, Any], changed: Mapping[str, Any]) -> About:
    """What a cross-validation is, and how far it has come."""
    folds = int(record["folds"])
    begun = [read_record(each) for each in path.glob("fold*/run.json")]
    done = sum(own.get("ended") is not None for own in begun)
    state = FINISHED if done == folds else UNFINISHED
    parameters = begun[0].get("parameters", 0) if begun else 0
    mean, deviation = (
        {name: value for name, value in row.items() if name != "fold" and value is not None}
        for row in _last_rows(path / "folds.csv")
    )
    figures = {
        name: f"{number(value)} ± {number(deviation[name])}" if name in deviation else number(value)
        for name, value in mean.items()
    }
    lines = {
        **_setting(record, changed, f"{parameters:,} numbers trained in each"),
        "folds": f"{done} of {folds} finished",
        "best epochs": ", ".join(f"{name} {text}" for name, text in figures.items()),
        "state": state + ("; --resume goes on with them" if done < folds else ""),
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


def _setting(record: Mapping[str, Any], changed: Mapping[str, Any], trained: str) -> dict[str, str]:
    """What is trained on what and how, of one training or of folds."""
    options = record.get("options", {})
    return {
        "network": f"{options.get('arch')} on {options.get('encoder')}, {trained}",
        "patches": f"{record.get('patches')} ({shares(record.get('class_pixels', {}))})",
        "options": ", ".join(f"{name} {value}" for name, value in changed.items())
        or "all at their defaults",
    }


def _last_rows(table: Path) -> tuple[Row, Row]:
    """Mean and deviation of all folds, which end their table; nothing where there is none yet."""
    rows = read_csv(table)
    return (rows[-2], rows[-1]) if len(rows) > 1 else ({}, {})


def _state(history: list[Row], ended: str | None) -> str:
    """Whether a training has come to its end."""
    if not history:
        return "no epoch is complete"
    if ended == "divergence":
        return f"diverged after {len(history)} epochs"
    return UNFINISHED if ended is None else FINISHED


def about_evaluation(path: Path) -> About:
    """What an evaluation found.

    Raises:
        InputError: If its record is damaged.
    """
    content = read_record(path / EVALUATION)
    classes = content.get("classes", [])
    figures = [
        name for name in ("iou", "f1", "precision", "recall") if classes and name in classes[0]
    ]
    rows = [
        (str(row.get("name")), *(number(row[name]) for name in figures))
        for row in classes
        if isinstance(row, dict)
    ]
    overall = {
        "overall accuracy": content.get("overall_accuracy"),
        "mean IoU": content.get("mean_iou"),
        "mean F1": content.get("mean_f1"),
        "kappa": content.get("kappa"),
    }
    return About(
        path=path,
        kind="evaluation",
        lines={
            "maps": str(len(content.get("maps") or {}) or 1),
            "pixels": f"{content['pixels']:,}" if "pixels" in content else "",
            **{name: number(value) for name, value in overall.items() if value is not None},
        },
        facts=content,
        tables=[Table(head=("class", *figures), rows=rows)] if rows else (),
    )


def about_check(path: Path) -> About:
    """What `geoseg check` found.

    Raises:
        InputError: If its record is damaged.
    """
    content = read_record(path / "check.json")
    found = Counter({each["kind"]: len(each["patches"]) for each in content["findings"]})
    return About(
        path=path,
        kind="check of a patch set",
        lines={
            "patches": str(content["patches"]),
            "findings": ", ".join(found) or "none",
        },
        facts=content,
    )


FOLDERS = {
    "patches.json": about_patch_set,
    BUNDLE: about_bundle,
    EVALUATION: about_evaluation,
    "check.json": about_check,
}
"""Folders of geoseg by the record that they hold."""


def inform(path: Path, *, defaults: Mapping[str, Any]) -> About:
    """What a file or folder is.

    Args:
        path: Orthophoto, map, scores, polygons, legend, patch set, bundle, run, evaluation.
        defaults: Options of `geoseg train`, to tell those of a run that differ.

    Raises:
        GeosegError: If it is missing, damaged, or nothing that geoseg knows.
    """
    if path.is_dir():
        for record, about in FOLDERS.items():
            if (path / record).is_file():
                with understanding(path / record):
                    return about(path)
        if (path / RUN).is_file():
            with understanding(path / RUN):
                return about_run(path, defaults=defaults)
        return _about_vector(path) if is_vector(path) else _about_folder(path)
    if path.suffix.lower() == ".toml":
        return _about_legend(path)
    return _about_vector(path) if is_vector(path) else about_raster(path)


def _about_folder(path: Path) -> About:
    kinds = Counter(each.suffix.lower() for each in path.iterdir() if each.is_file())
    rasters = {suffix: count for suffix, count in kinds.items() if suffix in RASTER_SUFFIXES}
    if not rasters:
        raise InputError(
            f"{path}: a folder in which geoseg knows nothing: no patch set, model, training, "
            f"evaluation, and no raster"
        )
    windows = (path / "windows.json").is_file()
    told = ", ".join(f"{count} {suffix}" for suffix, count in rasters.items())
    return About(
        path=path,
        kind="windows of scores" if windows else "folder of rasters",
        lines={"files": told, "look": "at one of them with `geoseg info FILE`"},
        facts={"files": dict(kinds)},
    )


def _about_legend(path: Path) -> About:
    legend = load_legend(str(path))
    rows = [
        (
            str(each.value),
            each.name,
            "#{:02x}{:02x}{:02x}".format(*each.color),
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
        tables=[Table(head=("value", "name", "colour", "read from"), rows=rows)],
    )


def _about_vector(path: Path) -> About:
    layers = vector_facts(path)
    rows = [(each.name, str(each.features), each.geometry, each.crs or "none") for each in layers]
    columns = {
        f"column {name}": ", ".join(f"{value} ({count})" for value, count in values.items())
        for each in layers
        for name, values in each.classes.items()
    }
    return About(
        path=path,
        kind="vector file",
        lines={"layers": str(len(layers)), **columns},
        facts={"layers": [vars(each) for each in layers]},
        tables=[Table(head=("layer", "rows", "geometry", "CRS"), rows=rows)],
        hints=[hint for each in layers for hint in _hints(each)],
    )


def _hints(layer: LayerFacts) -> list[str]:
    hints = []
    if layer.crs is None:
        hints.append(f"{layer.name}: no CRS, it is taken to be that of the orthophoto")
    if layer.features and "Polygon" not in layer.geometry and layer.geometry != "Unknown":
        hints.append(f"{layer.name}: holds {layer.geometry}, references are polygons")
    return hints
