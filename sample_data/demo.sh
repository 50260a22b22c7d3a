#!/bin/sh
# The main job of geoseg on the sample data, from tile to evaluate. `make demo` calls it.
set -eu
out=${1:-demo}
cd "$(dirname "$0")/.."
mkdir -p "$out"

run() {
    echo
    echo "\$ $*"
    "$@"
}

run geoseg tile sample_data/ortho.tif --reference sample_data/reference.tif \
    --legend sample_data/legend.toml -o "$out/patches" --val 0.2 --overwrite
# at most so long, on any processor; few steps want a weaker augmentation (docs/training.md)
run geoseg train "$out/patches" -o "$out/run" --epochs 8 --max-time 2.5m --batch-size 4 \
    --augment d4,scale:0.8-1.25,brightness:0.1,contrast:0.1 --overwrite
run geoseg predict "$out/run/model" sample_data/ortho.tif -o "$out/map.tif" \
    --windows "$out/windows" --overwrite
run geoseg mosaic "$out/windows" -o "$out/mosaic.tif" --overwrite
cmp "$out/map.tif" "$out/mosaic.tif" && echo "(the mosaic of the windows is the map, to the byte)"
run geoseg evaluate "$out/map.tif" --reference sample_data/reference.tif \
    --legend sample_data/legend.toml --patches "$out/patches" --split val -o "$out/report" \
    --overwrite
run geoseg vectorize "$out/map.tif" --classes building -o "$out/buildings.gpkg" --overwrite
run geoseg preview sample_data/ortho.tif sample_data/reference.tif "$out/map.tif" \
    -o "$out/preview.png" --overwrite
