"""What is undefined is NaN in our figures and null in JSON."""

import math
from collections.abc import Mapping
from typing import Any


def without_nan(content: Any) -> Any:
    """The same content for JSON, which knows neither NaN nor infinity.

    >>> without_nan({"iou": [0.5, float("nan")]})
    {'iou': [0.5, None]}
    """
    if isinstance(content, Mapping):
        return {str(key): without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
