"""Class maps against reference maps: metrics, reports, samples of points."""
