#!/bin/sh
# What a user does first: sh try.sh SAMPLE_DATA, with geoseg on the PATH, in an empty folder.
set -eu

geoseg --version
geoseg doctor
geoseg tile "$1/ortho.tif" --reference "$1/reference.tif" --legend "$1/legend.toml" -o patches \
    --val 0.2 --quiet
geoseg train patches -o run --arch pspnet --encoder tu-test_resnet --encoder-weights none \
    --epochs 1 --samples-per-epoch 8 --batch-size 4 --quiet
geoseg predict run/model "$1/ortho.tif" -o map.tif --quiet
geoseg vectorize map.tif -o map.gpkg --quiet
geoseg report map.tif --ortho "$1/ortho.tif" -o report.html --quiet
