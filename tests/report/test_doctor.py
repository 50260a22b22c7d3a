import pytest
from packaging.requirements import Requirement

from geoseg.report import doctor
from geoseg.report.doctor import Finding


def by_topic(check):
    return {each.topic: each for each in check()}


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(monkeypatch):
    def torn():
        yield Finding("torch", "here")
        raise OSError("libtorch.so:\n cannot be opened")

    def sound():
        yield Finding("hub", "answers")

    monkeypatch.setattr(doctor, "CHECKS", {"devices": torn, "hub": sound})

    first, failed, last = doctor.examine()

    assert (first.state, last.state) == ("ok", "ok")
    assert (failed.topic, failed.state) == ("devices", "broken")
    assert failed.text == "OSError: libtorch.so: cannot be opened"


@pytest.mark.parametrize(
    ("needed", "lack"),
    [
        ("numpy>=1", None),
        ("numpy", None),
        ("numpy<1", "does not do: <1 is needed"),
        ("no-such-package-of-ours", "is not installed"),
    ],
)
def test_packages_are_held_against_what_is_needed(needed, lack):
    found = doctor._lack_of(Requirement(needed))

    assert (found is None) if lack is None else found.endswith(lack)


def test_extras_are_told_apart_from_what_is_needed_in_any_case(monkeypatch):
    needed = [
        "numpy>=1",
        "absent-of-ours>=2",
        'also-absent; extra == "more"',
        'numpy; extra == "n"',
    ]
    monkeypatch.setattr(doctor, "requires", lambda _: needed)
    monkeypatch.setattr(
        doctor, "metadata", lambda _: type("M", (), {"get_all": lambda *_: ["n", "more", "dev"]})()
    )

    found = by_topic(doctor.about_packages)

    assert found["absent-of-ours"].state == "broken"
    assert found["absent-of-ours"].remedy == "pip install 'absent-of-ours>=2'"
    assert found["extras"].text.startswith("n; not more (pip")


@pytest.mark.parametrize(("free", "state"), [(9e9, "ok"), (1e9, "note"), (1e6, "broken")])
def test_little_space_is_a_note_and_none_a_fault(monkeypatch, tmp_path, free, state):
    monkeypatch.setattr(doctor, "_free", lambda _: free)
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "not" / "yet"))

    found = by_topic(doctor.about_space)

    assert found["here"].state == state
    assert found["cache"].state == "ok"  # the folder can be made


def test_a_hub_that_is_silent_is_no_fault(monkeypatch):
    from huggingface_hub import constants

    from geoseg.model import weights

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(weights, "hub_silence", lambda: "ConnectError")
    assert by_topic(doctor.about_hub)["hub"].state == "note"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in by_topic(doctor.about_hub)["hub"].text


def test_devices_and_runtimes_are_named():
    assert "threads" in by_topic(doctor.about_devices)["cpu"].text
    assert {"torch", "openvino", "onnxruntime"} <= {*by_topic(doctor.about_runtimes)}
