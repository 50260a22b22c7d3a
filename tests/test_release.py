"""What a release consists of says the same as pyproject.toml."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

OF_CONDA = {
    "huggingface-hub": "huggingface_hub",
    "matplotlib": "matplotlib-base",
    "torch": "pytorch",
}
"""Names of packages on conda-forge, where they differ from PyPI's."""


def recipe():
    return yaml.safe_load((ROOT / "release" / "recipe.yaml").read_text(encoding="utf-8"))


def test_the_conda_recipe_needs_what_the_project_needs():
    needed = {f"python {PROJECT['requires-python']}"}
    for each in PROJECT["dependencies"]:
        name, bounds = re.match(r"([\w-]+)(?:\[[\w,]+\])?([^;]*)", each).groups()
        needed.add(f"{OF_CONDA.get(name, name)} {bounds.strip()}".strip())

    assert {*recipe()["requirements"]["run"]} == needed


def test_the_conda_recipe_is_of_this_version_and_starts_the_same_program():
    [(name, function)] = PROJECT["scripts"].items()

    assert recipe()["context"]["version"] == PROJECT["version"]
    assert recipe()["build"]["python"]["entry_points"] == [f"{name} = {function}"]
    assert recipe()["about"]["license"] == PROJECT["license"]
    assert recipe()["about"]["license_file"] == PROJECT["license-files"]


def test_what_the_dockerfile_runs_is_there():
    lines = (ROOT / "release" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    [copied] = [line.split()[1:] for line in lines if line.startswith("COPY")]
    [step] = re.findall(r"^RUN sh (\S+) (\S+)", "\n".join(lines), re.MULTILINE)

    assert copied == [".", "/src"]
    assert step[1] == "/src"
    assert (ROOT / Path(step[0]).relative_to("/src")).is_file()
