"""`inachus translate` as its users meet it: every kind of picture, their names, class maps, and what is refused.

How a picture is padded, cut into tiles and put together is in `test_tiles.py`.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_writers import encoded, write_zip
from PIL import ExifTags, Image
from test_cli import done, pixels, run

from inachus import kernels
from inachus.engine.data import load_pairs
from inachus.engine.data.pairs.maps import Colours, records, voc_colours
from inachus.engine.training import checkpoint
from inachus.models.translation.pix2pix import Pix2Pix

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
PAINTED = Image.fromarray(RGB)


def write(path, image, **options):
    """The picture as a file, with its folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def train(name, data, out, *more):
    """A run directory of one step of the smallest network, so long a step that its pictures are full of contrast."""
    done("train", name, "--data", data, "--steps", 1, "--out", out, "--device", "reference", "--set", "width=1",
         "--set", "size=32", "--set", "hold_out=0", "--set", "lr=0.3", *more)
    return out


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with pairs of colour and grey, and runs: pix2pix on them, cyclegan on two colours."""
    folder = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(1)
    for i in range(4):
        colours = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
        write(folder / f"pairs/Photos/{i}.png", colours)
        write(folder / f"pairs/sketches/{i}.png", colours.convert("L"))
    train("pix2pix", folder / "pairs", folder / "p2p", "--batch", 2)
    train("cyclegan", folder / "pairs", folder / "cyc", "--set", "channels=3", "--set", "blocks=0")
    return folder


@pytest.fixture(autouse=True)
def at_work(home, tmp_path, monkeypatch):
    """An empty working folder, with the runs beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kernels, "_host", None)
    for name in ("p2p", "cyc"):
        Path(name).symlink_to(home / name)


def translate(*words):
    """What `inachus translate WORDS...` did, on the plain backend."""
    return run("translate", *words, "--device", "reference")


def translated(image, *words, name="x.png", run="p2p", contrast=5, **options):
    """The pixels that one picture becomes; not all alike, so that comparing them says something."""
    place = Path(f"only-{len([*Path().glob('only-*')])}")
    result = translate(run, write(place / "in" / name, image, **options), "--out", place / "out", *words)
    assert result.code == 0, result.err
    (made,) = (place / "out").iterdir()
    made = pixels(made)
    assert made.std() > contrast or made.size == 1
    return made


def refused(code, words, *command):
    """The last line of what was refused; nothing was written."""
    before = sorted(Path().rglob("*"))
    result = translate(*command)
    line = result.err.splitlines()[-1]
    assert (result.code, result.out) == (code, ""), result.err
    assert line.startswith("inachus: ") and all(word in line for word in words), line
    assert sorted(Path().rglob("*")) == before
    return line


# --- every kind of picture ---------------------------------------------------------------------------------


def turned(image):
    """The picture lying on its side, and EXIF that says so."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return image.transpose(Image.Transpose.ROTATE_90), {"exif": exif}


GREY = PAINTED.convert("L")
FEW = PAINTED.quantize(8)
CLEAR = Image.merge("RGBA", (*PAINTED.split(), Image.fromarray(np.full(RGB.shape[:2], 0, np.uint8))))
KINDS = {  # name of the file -> (the picture, how it is saved, the plain RGB picture that it is)
    "turned.png": (*turned(PAINTED), PAINTED),
    "deep.png": (Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257), {}, GREY),
    "clear.png": (CLEAR, {}, Image.new("RGB", PAINTED.size, "white")),
    "palette.png": (FEW, {}, FEW.convert("RGB")),
    "la.png": (GREY.convert("LA"), {}, GREY),
    "bits.png": (PAINTED.convert("1"), {}, PAINTED.convert("1").convert("L")),
    "cmyk.tif": (PAINTED.convert("CMYK"), {}, PAINTED.convert("CMYK").convert("RGB")),
    "film.gif": (FEW, {"save_all": True, "append_images": [FEW.rotate(180)]}, FEW.convert("RGB")),
    "photo.jpg": (GREY, {"quality": 100}, None),
    "pixel.webp": (PAINTED.crop((0, 0, 1, 1)), {"lossless": True}, PAINTED.crop((0, 0, 1, 1))),
    "no-ending": (PAINTED, {"format": "PNG"}, PAINTED),
    "dots.v2.PNM": (PAINTED, {"format": "PPM"}, PAINTED),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_is_read_as_the_training_reads_it(name):
    image, options, plain = KINDS[name]
    made = translated(image, name=name, **options)
    expected = plain or Image.open(next(Path().rglob(name)))
    assert made.shape == expected.size[::-1] and made.dtype == np.uint8  # grey, as the other side is
    np.testing.assert_array_equal(made, translated(expected.convert("RGB")))


def test_what_was_converted_is_said_once_for_all():
    write("in/a.png", CLEAR)
    write("in/b.png", CLEAR)
    write("in/c.gif", FEW)
    told = translate("p2p", "in", "--out", "out").err
    assert "2 of 3 pictures laid over white" in told and "1 of 3 pictures converted from palette to RGB" in told


def test_sides_have_their_own_channels():
    assert translated(PAINTED, run="cyc").shape == translated(GREY, "--to", "photos", run="cyc").shape == (20, 30, 3)


def test_broken_pictures_do_not_stop_the_others():
    write("in/good.png", PAINTED)
    Path("in/bad.png").write_bytes(encoded(PAINTED)[:200])
    Path("in/worse.jpg").write_bytes(b"no picture")
    result = translate("p2p", "in", "--out", "out")
    assert result.code == 3 and result.out == "out  1 of 3 pictures\n"
    assert [*Path("out").iterdir()] == [Path("out/good.png")]
    lines = result.err.splitlines()
    assert sum("in/bad.png" in line for line in lines) == sum("in/worse.jpg" in line for line in lines) == 1
    assert lines[-1] == "inachus: 2 of 3 pictures were not translated, see above"
    refused(3, ["in/bad.png: truncated"], "p2p", "in/bad.png", "--out", "new")


def test_memory_that_runs_out_says_what_helps(monkeypatch):
    def starved(self, x, to=1, *, seed=0):
        raise MemoryError

    monkeypatch.setattr(Pix2Pix, "translate", starved)
    write("big.png", PAINTED)
    refused(6, ["big.png", "30x20 pixels", "--tile"], "p2p", "big.png", "--out", "out")


# --- what decides the result -------------------------------------------------------------------------------


def test_a_seed_gives_the_same_picture_in_any_company():
    write("in/2.png", PAINTED)
    write("in/10.png", GREY)
    everything = translate("p2p", "in", "--out", "all")
    assert everything.out == "all  2 of 2 pictures\n"
    alone = translated(PAINTED)
    np.testing.assert_array_equal(pixels("all/2.png"), alone)
    assert not np.array_equal(translated(PAINTED, "--seed", 1), alone)
    quiet = translated(PAINTED, "--dropout", "off")
    np.testing.assert_array_equal(translated(PAINTED, "--dropout", "off", "--seed", 1), quiet)
    assert not np.array_equal(quiet, alone)
    np.testing.assert_array_equal(translated(PAINTED, "--dropout", "on"), alone)


def test_runs_of_batch_one_normalise_by_the_picture(home):
    by = {norm: translated(PAINTED, "--norm", norm) for norm in ("running", "batch")}
    assert not np.array_equal(by["running"], by["batch"])
    np.testing.assert_array_equal(translated(PAINTED), by["running"])
    shutil.copytree(home / "p2p", "single")
    options = json.loads(Path("single/options.json").read_text())
    Path("single/options.json").write_text(json.dumps(options | {"batch": 1}))
    np.testing.assert_array_equal(translated(PAINTED, run="single"), by["batch"])


def test_tiles_and_fitting():
    large = PAINTED.resize((150, 100))
    assert translated(large, "--tile", 64).shape == translated(large, "--fit").shape == (100, 150)
    assert not np.array_equal(translated(large, "--fit"), translated(large))
    write("large.png", large)
    refused(2, ["--tile must be at least 32", "not 31"], "p2p", "large.png", "--out", "out", "--tile", 31)


def test_the_best_checkpoint_may_be_asked_for(home):
    shutil.copytree(home / "p2p", "scored")
    first, second = sorted(Path("scored/checkpoints").glob("step-*"))
    checkpoint.save_best(Path("scored"), first, 1.0, "score")
    best = translated(PAINTED, "--best", run="scored", contrast=0)
    shutil.rmtree(second)
    np.testing.assert_array_equal(translated(PAINTED, run="scored", contrast=0), best)
    assert not np.array_equal(translated(PAINTED), best)


@pytest.mark.parametrize("words, same", [("sketches", "B"), ("SKETCHES", "b"), ("Photos", "A"), ("photos", "a")])
def test_both_sides_of_heaps_have_names(words, same):
    one, two = (translated(PAINTED, "--to", to, run="cyc") for to in (words, same))
    np.testing.assert_array_equal(one, two)
    assert np.array_equal(one, translated(PAINTED, run="cyc")) == (same in "bB")  # the second is the default


def test_sides_that_are_none():
    write("x.png", PAINTED)
    refused(2, ["unknown side 'sketchs'", "did you mean 'sketches'"], "cyc", "x.png", "--out", "out", "--to", "sketchs")
    refused(2, ["one way", "Photos into sketches", "direction=BtoA"], "p2p", "x.png", "--out", "out", "--to", "photos")


# --- names -------------------------------------------------------------------------------------------------


def test_names_and_folders_stay():
    write("album/2.jpg", PAINTED)
    write("album/sea/side.tar.bmp", PAINTED)
    Path("album/notes.txt").write_text("")
    write_zip("more.zip", {"deep/er/x.png": encoded(PAINTED), "y.PNG": encoded(PAINTED)})
    write("loose/z.gif", FEW)
    result = translate("p2p", "album", "more.zip", "loose/z.gif", "--out", "new/out")
    assert result.code == 0 and result.out == "new/out  5 of 5 pictures\n"
    assert "1 files that are no pictures" in result.err
    made = sorted(str(path.relative_to("new/out")) for path in Path("new/out").rglob("*.*"))
    assert made == ["2.png", "deep/er/x.png", "sea/side.tar.png", "y.png", "z.png"]


def test_our_own_translations_are_overwritten_and_nothing_else():
    write("in/x.png", PAINTED)
    for seed in (1, 2):
        assert translate("p2p", "in", "--out", "out", "--seed", seed).code == 0
    np.testing.assert_array_equal(pixels("out/x.png"), translated(PAINTED, "--seed", 2))
    write("out/y.png", PAINTED)
    refused(2, ["out/y.png exists", "--out"], "p2p", write("in/y.png", PAINTED), "--out", "out")
    Path("out/z.png").mkdir()
    refused(2, ["out/z.png exists"], "p2p", write("in/z.png", PAINTED), "--out", "out")


def test_inputs_are_never_overwritten():
    refused(2, ["in/x.png is one of the pictures"], "p2p", write("in/x.png", PAINTED), "--out", "in")
    assert translate("p2p", "in/x.png", "--out", "out").code == 0
    refused(2, ["out/x.png is one of the pictures"], "p2p", "out/x.png", "--out", "out")  # although it is ours
    Path("link").symlink_to("out")
    refused(2, ["link/x.png is one of the pictures"], "p2p", "out", "--out", "link")
    Path("there").mkdir()
    Path("there/x.jpg").symlink_to(Path("out/x.png").absolute())
    refused(2, ["out/x.png is one of the pictures"], "p2p", "there/x.jpg", "--out", "out")
    Path("there/x.png").symlink_to(Path("out/x.png").absolute())
    refused(2, ["there/x.png is one of the pictures"], "p2p", "there/x.png", "--out", "there")
    assert translate("p2p", write("beside/x.bmp", PAINTED), "--out", "beside").code == 0


@pytest.mark.parametrize("names, words", [
    (["a/x.png", "b/x.png"], ["a/x.png and b/x.png", "out/x.png"]),
    (["c/x.png", "c/x.jpg"], ["c/x.jpg and c/x.png", "out/x.png"]),
    (["d/x.png", "d"], ["d/x.png and d/x.png"]),
    (["e/y.png/x.jpg", "e/y.jpg"], ["out/y.png would be a picture and a folder"]),
])
def test_two_inputs_of_one_name_are_refused(names, words):
    files = [write(name, PAINTED) for name in names if "." in name]
    inputs = {"c": ["c"], "e": ["e"]}.get(names[0][0], names)
    refused(2, words, "p2p", *inputs, "--out", "out")
    assert all(path.exists() for path in files)


def test_translations_inside_the_folder_are_no_inputs():
    write("album/x.jpg", PAINTED)
    for _ in range(2):
        assert translate("p2p", "album", "--out", "album/new").out == "album/new  1 of 1 pictures\n"
    assert sorted(map(str, Path("album").rglob("*.*"))) == ["album/new/x.png", "album/x.jpg"]
    Path("album/x.jpg").unlink()
    refused(3, ["album", "no pictures in it but those in album/new"], "p2p", "album", "--out", "album/new")


def test_what_is_not_there():
    write("x.png", PAINTED)
    Path("empty").mkdir()
    refused(2, ["nothing.png: there is no such file"], "p2p", "x.png", "nothing.png", "--out", "out")
    refused(3, ["empty: no pictures in it"], "p2p", "x.png", "empty", "--out", "out")
    refused(2, ["x.png is a file"], "p2p", "x.png", "--out", "x.png")
    refused(2, ["--out"], "p2p", "x.png")
    refused(4, ["elsewhere", "no run directory"], "elsewhere", "x.png", "--out", "out")
    refused(2, ["--seed"], "p2p", "x.png", "--out", "out", "--seed", -1)


def test_the_commands_know_each_others_models():
    write("x.png", PAINTED)
    for command in ("sample", "interpolate"):
        result = run(command, "p2p")
        assert (result.code, result.out) == (2, "")
        assert "pix2pix does not sample, it translates: inachus translate p2p PICTURES --out DIR" in result.err
    np.savez("grey.npz", x=np.zeros((8, 8, 8), np.uint8))
    done("train", "gan", "--data", "grey.npz", "--steps", 1, "--batch", 4, "--out", "gan", "--device", "reference")
    refused(2, ["gan does not translate", "inachus sample gan"], "gan", "x.png", "--out", "out")


# --- class maps --------------------------------------------------------------------------------------------

NUMBERS = np.random.default_rng(2).choice(np.array([0, 1, 2, 7], np.uint8), (32, 32))
TABLE = np.random.default_rng(3).integers(1, 256, (8, 3), np.uint8)


def index_map(numbers, table=None, order=None):
    """Class numbers as a grey picture, or with a palette, whose colours may come in another order."""
    order = np.arange(8) if order is None else order
    image = Image.fromarray(np.argsort(order).astype(np.uint8)[numbers])
    if table is not None:
        image.putpalette(table[order].tobytes())
    return image


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """Runs on class maps and photographs: "voc" (grey maps), "own" (maps with a palette, the other direction)."""
    folder = tmp_path_factory.mktemp("mapped")
    rng = np.random.default_rng(4)
    for i in range(2):
        for name, table in (("voc", None), ("own", TABLE)):
            write(folder / name / f"labels/{i}.png", index_map(np.roll(NUMBERS, i), table))
            write(folder / name / f"photos/{i}.png", Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)))
    train("pix2pix", folder / "voc", folder / "run-voc", "--batch", 1)
    train("cyclegan", folder / "own", folder / "run-own", "--set", "direction=BtoA", "--set", "blocks=0")
    return folder


def test_class_numbers_become_the_colours_of_the_training(mapped):
    voc, own = mapped / "run-voc", mapped / "run-own"
    expected = translated(Image.fromarray(voc_colours()[NUMBERS]), run=voc)
    for image in (index_map(NUMBERS), index_map(NUMBERS, voc_colours()), index_map(NUMBERS, TABLE),
                  index_map(NUMBERS, voc_colours(), np.array([7, 3, 1, 0, 2, 4, 5, 6]))):
        np.testing.assert_array_equal(translated(image, run=voc), expected)
    expected = translated(Image.fromarray(TABLE[NUMBERS]), "--to", "photos", run=own)
    for image in (index_map(NUMBERS), index_map(NUMBERS, TABLE), index_map(NUMBERS, TABLE, np.arange(8)[::-1])):
        np.testing.assert_array_equal(translated(image, "--to", "photos", run=own), expected)
    photo = translated(Image.fromarray(voc_colours()[NUMBERS]), run=own)  # the other side: a photograph
    assert not np.array_equal(translated(index_map(NUMBERS), run=own), photo)


def test_maps_that_are_none_are_refused_or_named(mapped):
    write("smeared.jpg", index_map(NUMBERS))
    refused(3, ["smeared.jpg", "no class numbers: JPEG"], mapped / "run-voc", "smeared.jpg", "--out", "out")
    write("deep.png", Image.fromarray(NUMBERS.astype(np.uint16)))
    refused(3, ["deep.png", "no class numbers", "8 bit"], mapped / "run-voc", "deep.png", "--out", "out")
    write("in/strange.png", Image.fromarray(NUMBERS + 1))
    write("in/usual.png", index_map(NUMBERS))
    write("in/photo.png", PAINTED)
    result = translate(mapped / "run-voc", "in", "--out", "out")
    assert result.code == 0 and "2 of 3 pictures with colours or class numbers that the training had not" in result.err


def test_maps_are_resized_without_new_colours(mapped, monkeypatch):
    seen, original = [], Pix2Pix.translate

    def watched(self, x, to=1, *, seed=0):
        seen.append(np.rint((x[0] + 1) * 127.5).astype(int))
        return original(self, x, to, seed=seed)

    monkeypatch.setattr(Pix2Pix, "translate", watched)
    translated(index_map(NUMBERS.repeat(3, axis=0).repeat(3, axis=1)), "--fit", run=mapped / "run-voc")
    np.testing.assert_array_equal(seen[0], voc_colours()[NUMBERS])


def test_what_a_run_keeps_of_its_maps_reads_any_map_again(tmp_path, mapped):
    for name, table in (("voc", voc_colours()), ("own", TABLE)):
        pairs = load_pairs(mapped / name, hold_out=0)
        kept, other = json.loads(json.dumps(records(pairs)))
        assert other is None and records(pairs.swapped()) == [None, kept]
        again = Colours.recorded(kept)
        np.testing.assert_array_equal(again.palette, pairs.palettes[0])
        np.testing.assert_array_equal(again.table[: len(table)], table)
        for i, picture in enumerate(pairs.a):
            data = (mapped / name / f"labels/{i}.png").read_bytes()
            np.testing.assert_array_equal(again.read(data, "map")[0], picture)
    flat = write(tmp_path / "flat/labels/0.png", Image.fromarray(TABLE[NUMBERS]))
    write(tmp_path / "flat/photos/0.png", PAINTED.resize((32, 32)))
    pairs = load_pairs(tmp_path / "flat", maps="a", hold_out=0)
    again = Colours.recorded(records(pairs)[0])
    assert again.table is None and again.read(flat.read_bytes(), "flat")[1] == []
    np.testing.assert_array_equal(again.read(flat.read_bytes(), "flat")[0], pairs.a[0])
