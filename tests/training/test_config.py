import tomllib
from pathlib import Path

import pytest

from leadline.datasets.scan import LeadlineError
from leadline.training.config import TrainConfig, as_toml, load, presets


@pytest.mark.parametrize("name", ["quick", "release", "finetune"])
def test_presets_are_configurations(name: str) -> None:
    assert name in presets()
    found = load(name, {})
    assert found.fit.minutes > 0 and found.out.startswith(f"runs/{name}-")


def test_options_replace_keys_and_none_leaves_them() -> None:
    found = load("quick", {"fit.minutes": 2.0, "machine.devices": 2, "kind": "container", "seed": None})
    assert (found.fit.minutes, found.machine.devices, found.kind, found.seed) == (2.0, 2, "container", 0)
    made = found.fit_config(found.shape("container"), cores=8)
    assert (made.network.pool, made.threads, made.reuse, made.devices) == (8, 6, 6.0, 2)
    released = load("release", {"kind": "container"})
    assert released.fit_config(released.shape("container"), cores=8).reuse == 3.0


def test_a_file_begins_from_a_preset_and_its_paths_from_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'preset = "quick"\nout = "here"\nmaterials = "w.toml"\n[fit]\nminutes = 3\n[network]\ndecoder = 16\n'
    )
    found = load(str(path), {})
    quick = load("quick", {})
    assert found.out == str(tmp_path / "here") and found.materials == str(tmp_path / "w.toml")
    assert found.fit.minutes == 3 and found.fit.batch == quick.fit.batch
    shape = found.shape("parcel")
    assert shape.decoder == 16 and shape.widths == quick.shape("parcel").widths


def test_what_a_run_writes_is_the_whole_configuration(tmp_path: Path) -> None:
    for name in presets():
        config = load(name, {"out": str(tmp_path / "run"), "kind": "parcel", "scans.cache": 'a"ü\\b'})
        if config.finetune is not None:
            config = load(name, {"out": config.out, "finetune.classes": ["Sb, a=antimony", 'a"b=honest']})
        text = as_toml(config)
        (tmp_path / "again.toml").write_text(text)
        again = load(str(tmp_path / "again.toml"), {})
        assert as_toml(again) == text and again.fit == config.fit and again.finetune == config.finetune
        assert set(tomllib.loads(text)["fit"]) == set(type(config.fit).model_fields)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sead = 1", "sead: is no setting; did you mean seed?"),
        ("[fit]\nminuts = 1", "fit.minuts: is no setting; did you mean minutes?"),
        ("[fitt]\nminutes = 1", "fitt: is no setting; did you mean fit?"),
        ("[finetune]\ndate = 'x'", "finetune.date: is no setting; did you mean data?"),
        ("[network]\nwidth = [1, 2, 3, 4]", "network.width: is no setting; did you mean widths?"),
        ("[fit]\nminutes = '3'", "fit.minutes: is '3'; it should be a valid number"),
        ("[fit]\nbatch = 2.5", "fit.batch: is 2.5; it should be a valid integer"),
        ("[fit]\nbatch = 0", "fit.batch: is 0; it should be greater than or equal to 1"),
        ("[fit]\nbf16 = 1", "fit.bf16: is 1; it should be a valid boolean"),
        ("[fit]\nlearning_rate = nan", "fit.learning_rate"),
        ("[loss]\nscore = 'high'", "loss.score: is 'high'; it should be a valid number"),
        ("kind = 'parsel'", "kind: is 'parsel'; it should be 'parcel' or 'container'"),
        ("fit = 3", "fit: is 3"),
        ("preset = 'quik'", "preset: 'quik' is unknown; choose one of finetune, quick, release"),
        ("[container]\npool = 3", "container.pool: is no table; there are fit, scans, machine, network, loss"),
        ("container = 3", "container: is 3; write it as a table, such as [container.fit]"),
        ("kind = ", "is not TOML"),
        ("seed = -1", "seed: is -1; it should be greater than or equal to 0"),
        ("seed = 99999999999", "seed: is 99999999999; it should be less than or equal to 4294967295"),
        ("[fit]\ncanvas = [-64, 80]", "fit.canvas: is [-64, 80]; it should be at least [32, 32], or [0, 0]"),
        ("[fit]\ncanvas = [0, 5]", "fit.canvas: is [0, 5]; it should be at least [32, 32]"),
        ("[fit]\ncanvas = [8, 8]", "fit.canvas: is [8, 8]; it should be at least [32, 32]"),
        ("[network]\nwidths = [0, 16, 16, 16]", "network.widths.0: is 0; it should be greater than or equal to 1"),
        ("[network]\nblocks = [-1, 1, 1, 1]", "network.blocks.0: is -1; it should be greater than or equal to 0"),
        ("[network]\ndecoder = 0", "network.decoder: is 0; it should be greater than or equal to 1"),
        ("[network]\npool = 0", "network.pool: is 0; it should be greater than or equal to 1"),
        ("[network]\nknots = [1.0]", "network.knots: is [1.0]"),
        ("[loss]\nscore = -1.0", "loss.score: is -1.0; it should be greater than or equal to 0"),
        ("[machine]\nthreads = 99999999999", "machine.threads: is 99999999999"),
        ('preset = "quick"\n[finetune]\ndata = "x"', "the preset quick fits from nothing; to fit a model on"),
    ],
)
def test_mistakes_are_told_by_file_and_key(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(LeadlineError) as caught:
        load(str(path), {})
    assert str(caught.value).startswith(f"{path}: ") and told in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("sead = 1\n[fit]\nbatch = 0\n")
    with pytest.raises(LeadlineError) as caught:
        load(str(path), {})
    assert len(str(caught.value).splitlines()) == 2


def test_a_configuration_that_is_not_there_is_told() -> None:
    with pytest.raises(
        LeadlineError, match=r"quik: no configuration .*; give a TOML file, or a preset: finetune, quick"
    ):
        load("quik", {})


def test_every_key_is_documented() -> None:
    root = Path(__file__).resolve().parents[2]
    text = (root / "docs" / "training.md").read_text("utf-8") + (root / "docs" / "finetuning.md").read_text("utf-8")
    config = TrainConfig(finetune={})  # type: ignore[arg-type]
    names = [
        *TrainConfig.model_fields,
        *(k for t in ("fit", "scans", "machine", "finetune") for k in type(getattr(config, t)).model_fields),
    ]
    assert [n for n in names if f"`{n}`" not in text and f"[{n}]" not in text] == []


def test_a_table_may_hold_for_one_kind_of_scanner_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'preset = "quick"\nkind = "container"\n[network]\npool = 6\n'
        "[parcel.scans]\nreuse = 2.5\n[container.fit]\nbatch = 3\n"
    )
    container, parcel = load(str(path), {}), load(str(path), {"kind": "parcel"})
    assert (container.fit.batch, parcel.fit.batch) == (3, load("quick", {}).fit.batch)
    assert parcel.scans.reuse == 2.5 != container.scans.reuse
    assert container.shape("container").pool == parcel.shape("parcel").pool == 6  # the file's own over the preset's
    assert load(str(path), {"fit.batch": 5}).fit.batch == 5


def test_quick_sees_scans_of_either_kind_no_finer_than_release() -> None:
    for kind in ("parcel", "container"):
        quick, release = (load(name, {"kind": kind}).shape(kind) for name in ("quick", "release"))
        assert quick.pool >= release.pool
