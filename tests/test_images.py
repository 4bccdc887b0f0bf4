"""Photos of every kind become the expected RGB pixels; whatever else is in a file becomes one sentence."""

import io
import itertools
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from saliency_core.inputs.images import FORMATS, MAX_BYTES, ImageError, file_name, open_image

RNG = np.random.default_rng(20)
COLOURS = RNG.integers(0, 256, (20, 30, 3), np.uint8)
SMOOTH = np.stack(np.meshgrid(np.linspace(0, 255, 32), np.linspace(255, 0, 24), indexing="xy"), -1)
SMOOTH = np.concatenate([SMOOTH, np.full((24, 32, 1), 90.0)], -1).round().astype(np.uint8)


def encode(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_header_only(width, height):
    """A PNG that announces a size and then holds hardly any data."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def pixels(source):
    image = open_image(source)
    assert image.mode == "RGB"
    return np.asarray(image)


# --- formats and modes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("WebP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
    ],
)
def test_a_lossless_file_gives_its_exact_pixels(format, options):
    np.testing.assert_array_equal(pixels(encode(Image.fromarray(COLOURS), format, **options)), COLOURS)


@pytest.mark.parametrize(("format", "options"), [("JPEG", {"quality": 95}), ("WebP", {"quality": 95})])
def test_a_lossy_file_gives_nearly_its_pixels(format, options):
    difference = np.abs(pixels(encode(Image.fromarray(SMOOTH), format, **options)).astype(int) - SMOOTH)
    assert difference.mean() < 4


def test_every_promised_format_is_read():
    image = Image.fromarray(SMOOTH)
    assert [open_image(encode(image, name)).size for name in FORMATS] == [(32, 24)] * len(FORMATS)


def test_a_one_bit_image_becomes_black_and_white():
    bits = RNG.integers(0, 2, (9, 11)).astype(bool)
    expected = np.repeat(bits[..., None] * np.uint8(255), 3, -1)
    np.testing.assert_array_equal(pixels(encode(Image.fromarray(bits), "PNG")), expected)


def test_a_grey_image_repeats_its_channel():
    np.testing.assert_array_equal(
        pixels(encode(Image.fromarray(COLOURS[..., 0]), "PNG")), np.repeat(COLOURS[..., :1], 3, -1)
    )


def test_transparency_is_laid_on_white():
    rgba = Image.new("RGBA", (8, 8), (10, 20, 30, 255))
    rgba.putpixel((0, 0), (10, 20, 30, 0))
    rgba.putpixel((1, 0), (0, 100, 255, 51))  # alpha 0.2
    result = pixels(encode(rgba, "PNG"))
    assert result[0, 0].tolist() == [255, 255, 255]
    assert result[0, 1].tolist() == [204, 224, 255]
    assert result[5, 5].tolist() == [10, 20, 30]


def test_grey_with_transparency_is_laid_on_white():
    image = Image.new("LA", (8, 8), (100, 255))
    image.putpixel((2, 0), (0, 102))  # alpha 0.4
    result = pixels(encode(image, "PNG"))
    assert result[0, 2].tolist() == [153] * 3
    assert result[0, 0].tolist() == [100] * 3


@pytest.mark.parametrize("transparency", [1, b"\xff\x00\xff"])
def test_a_palette_with_a_transparent_entry_is_laid_on_white(transparency):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    image.putpixel((3, 0), 1)
    image.putpixel((4, 0), 2)
    result = pixels(encode(image, "PNG", transparency=transparency))
    assert result[0, 2:5].tolist() == [[200, 0, 0], [255, 255, 255], [0, 0, 200]]


def test_a_transparent_colour_is_laid_on_white():
    image = Image.new("RGB", (8, 8), (1, 2, 3))
    image.putpixel((0, 0), (9, 9, 9))
    result = pixels(encode(image, "PNG", transparency=(1, 2, 3)))
    assert result[0, :2].tolist() == [[9, 9, 9], [255, 255, 255]]


def test_premultiplied_alpha_in_a_tiff_is_laid_on_white():
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    result = pixels(encode(image, "TIFF"))
    np.testing.assert_allclose(result[0, 0], [255, 127, 127], atol=1)


def test_only_the_first_frame_of_a_gif_is_read():
    frames = [Image.new("RGB", (10, 10), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (pixels(data) == [255, 0, 0]).all()


def test_a_gif_with_a_transparent_background_is_laid_on_white():
    image = Image.new("RGBA", (10, 10), (0, 0, 0, 0))
    image.putpixel((4, 4), (0, 0, 255, 255))
    result = pixels(encode(image, "GIF"))
    assert result[0, 0].tolist() == [255, 255, 255]
    assert result[4, 4].tolist() == [0, 0, 255]


@pytest.mark.parametrize("format", ["WebP", "PNG", "TIFF"])
def test_only_the_first_frame_or_page_is_read(format):
    frames = [Image.new("RGB", (10, 10), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    options = {"lossless": True} if format == "WebP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert (pixels(data) == [255, 0, 0]).all()


@pytest.mark.parametrize(
    "ink", [(255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 0, 0, 255), (0, 0, 0, 0)]
)
@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_inks_give_their_colours(format, ink):
    # A CMYK JPEG stores its inks inverted, by Adobe's habit; a TIFF does not.
    c, m, y, k = (value / 255 for value in ink)
    expected = [255 * (1 - c) * (1 - k), 255 * (1 - m) * (1 - k), 255 * (1 - y) * (1 - k)]
    result = pixels(encode(Image.new("CMYK", (16, 16), ink), format))
    np.testing.assert_allclose(result[8, 8], expected, atol=4)


def test_a_ycbcr_tiff_is_converted():
    image = Image.fromarray(SMOOTH).convert("YCbCr")
    np.testing.assert_array_equal(pixels(encode(image, "TIFF")), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [
        ((255, 128, 128), (255, 255, 255)),
        ((0, 128, 128), (0, 0, 0)),
        ((138, 209, 198), (255, 0, 0)),  # L*a*b* (D50) of sRGB red: 54.3, 80.8, 69.9
        ((118, 80, 177), (0, 128, 0)),  # 46.3, -47.6, 48.6
        ((137, 128, 128), (128, 128, 128)),  # 53.6, 0, 0
    ],
)
def test_a_cielab_tiff_is_converted(lab, rgb):
    image = Image.new("LAB", (8, 8), lab)
    np.testing.assert_allclose(pixels(encode(image, "TIFF"))[0, 0], rgb, atol=6)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_divided_by_257_and_rounded(format):
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]] * 8, np.uint16)
    result = pixels(encode(Image.fromarray(values), format))
    assert result[0, :, 0].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]
    assert (result == result[..., :1]).all()


def test_big_endian_16_bit_grey_is_read():
    image = Image.frombytes("I;16B", (8, 8), np.full((8, 8), 257 * 77, ">u2").tobytes())
    assert (pixels(encode(image, "TIFF")) == 77).all()


def test_a_transparent_level_of_16_bit_grey_is_laid_on_white():
    values = np.full((8, 8), 257, np.uint16)
    values[0, 0] = 2570
    image = Image.fromarray(values)
    data = bytearray(encode(image, "PNG"))
    body = b"tRNS" + struct.pack(">H", 257)
    chunk = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    data[33:33] = chunk  # after the signature (8) and IHDR (25)
    result = pixels(bytes(data))
    assert result[0, :2, 0].tolist() == [10, 255]


def test_16_bit_colour_keeps_the_high_byte():
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = (b"\0" + struct.pack(">3H", 0x12FF, 0x8000, 0xFFFF) * 8) * 8
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert (pixels(data) == [0x12, 0x80, 0xFF]).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 40, 255, 100], [0, 40, 255, 100]),
        ([-100, 0, 100, 155], [0, 100, 200, 255]),
        ([0, 70_000, 35_000, 14_000], [0, 255, 128, 51]),
        ([300, 300, 300, 300], [0, 0, 0, 0]),
    ],
)
def test_32_bit_integers_are_kept_within_0_to_255_and_stretched_otherwise(values, expected):
    image = Image.fromarray(np.tile(np.array(values, np.int32), (8, 2)))
    assert pixels(encode(image, "TIFF"))[0, :4, 0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.2, 0.5, 1.0], [0, 51, 128, 255]),
        ([0.0, 10.4, 10.5, 255.0], [0, 10, 11, 255]),
        ([-1.0, 0.0, 1.0, 4.0], [0, 51, 102, 255]),
        ([0.0, np.nan, 1.0, 0.2], [0, 0, 255, 51]),
        ([-np.inf, np.inf, 0.0, 1.0], [0, 255, 0, 255]),
        ([-3e38, 3e38, 0.0, 3e38], [0, 255, 128, 255]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_floats_are_scaled_by_the_documented_rule(values, expected):
    image = Image.fromarray(np.tile(np.array(values, np.float32), (8, 2)))
    assert pixels(encode(image, "TIFF"))[0, :4, 0].tolist() == expected


def test_floats_without_a_number_are_refused():
    image = Image.fromarray(np.full((9, 9), np.nan, np.float32))
    with pytest.raises(ImageError, match="only NaN or infinity"):
        open_image(encode(image, "TIFF"))


# --- orientation and metadata ------------------------------------------------------------------------------

# What was stored so that, turned by this EXIF orientation, COLOURS comes out (EXIF 2.32, tag 0x0112: where
# row 0 and column 0 of the stored picture belong).
STORED = {
    1: COLOURS,
    2: COLOURS[:, ::-1],
    3: COLOURS[::-1, ::-1],
    4: COLOURS[::-1],
    5: COLOURS.transpose(1, 0, 2),
    6: COLOURS.transpose(1, 0, 2)[::-1],
    7: COLOURS[::-1, ::-1].transpose(1, 0, 2),
    8: COLOURS.transpose(1, 0, 2)[:, ::-1],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "WebP", "TIFF"])
def test_every_exif_orientation_is_applied(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WebP" else {}
    data = encode(Image.fromarray(np.ascontiguousarray(STORED[orientation])), format, exif=exif, **options)
    np.testing.assert_array_equal(pixels(data), COLOURS)


def test_a_jpeg_taken_sideways_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = np.ascontiguousarray(SMOOTH.transpose(1, 0, 2)[::-1])
    result = pixels(encode(Image.fromarray(sideways), "JPEG", quality=95, exif=exif))
    assert result.shape == SMOOTH.shape
    assert np.abs(result.astype(int) - SMOOTH).mean() < 4


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01", b"Exif\0\0MM\0*"]
)
@pytest.mark.filterwarnings("ignore")
def test_a_broken_exif_block_does_not_cost_the_photo(exif):
    assert pixels(encode(Image.fromarray(SMOOTH), "JPEG", exif=exif)).shape == SMOOTH.shape


def test_an_orientation_of_the_wrong_type_counts_as_upright():
    # One little-endian entry: tag 0x0112 of type text, 4 bytes long.
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHI4sI", 8, 1, 0x0112, 2, 4, b"up!\0", 0)
    assert pixels(encode(Image.fromarray(SMOOTH), "JPEG", exif=exif)).shape == SMOOTH.shape


def test_the_result_knows_the_name_of_its_file_and_not_its_folder(tmp_path):
    path = tmp_path / "a cat <b>.png"
    Image.fromarray(SMOOTH).save(path)
    assert file_name(open_image(path)) == file_name(open_image(path).copy()) == "a cat <b>.png"
    with Image.open(path) as opened:
        assert file_name(opened) == "a cat <b>.png"
    assert file_name(open_image(path.read_bytes())) == ""


def test_the_result_carries_no_metadata():
    exif = Image.Exif()
    exif[0x0112] = 3
    exif[0x010E] = "a secret place"
    image = open_image(encode(Image.fromarray(SMOOTH), "JPEG", exif=exif, dpi=(300, 300)))
    assert image.info == {}
    assert b"secret" not in encode(image, "JPEG")


# --- sources -----------------------------------------------------------------------------------------------


def test_a_path_a_string_bytes_and_files_give_the_same(tmp_path):
    data = encode(Image.fromarray(COLOURS), "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    read_before = io.BytesIO(data)
    read_before.read()
    with path.open("rb") as file:
        for source in (
            path,
            str(path),
            data,
            bytearray(data),
            memoryview(data),
            io.BytesIO(data),
            read_before,
            file,
        ):
            np.testing.assert_array_equal(pixels(source), COLOURS)


def test_the_file_handed_in_stays_open():
    file = io.BytesIO(encode(Image.fromarray(COLOURS), "PNG"))
    open_image(file)
    assert not file.closed


def test_the_name_does_not_decide_the_format(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode(Image.fromarray(COLOURS), "PNG"))
    np.testing.assert_array_equal(pixels(path), COLOURS)


def test_a_file_that_cannot_seek_is_read():
    class Pipe(io.RawIOBase):
        data = io.BytesIO(encode(Image.fromarray(COLOURS), "PNG"))

        def read(self, size=-1):
            return self.data.read(size)

    np.testing.assert_array_equal(pixels(Pipe()), COLOURS)


@pytest.mark.parametrize(("source", "given"), [(None, "NoneType"), (3, "int"), (io.StringIO("x"), "str")])
def test_what_is_no_file_is_a_type_error(source, given):
    with pytest.raises(TypeError, match=given):
        open_image(source)


def test_a_missing_file_a_folder_and_a_closed_file_are_reported_without_their_path(tmp_path):
    with pytest.raises(ImageError, match="no such file") as missing:
        open_image(tmp_path / "missing.jpg")
    with pytest.raises(ImageError, match="could not be read") as folder:
        open_image(tmp_path)
    with pytest.raises(ImageError, match="could not be read"):
        open_image("with\0zero")
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(ImageError, match="could not be read"):
        open_image(closed)
    assert str(tmp_path) not in str(missing.value) + str(folder.value)


# --- bad files ---------------------------------------------------------------------------------------------


def truncated(format):
    data = encode(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)), format)
    return data[: len(data) // 2]


def tiff_with_a_huge_tag():
    data = bytearray(encode(Image.fromarray(COLOURS), "TIFF"))
    (directory,) = struct.unpack_from("<I", data, 4)
    for entry in range(struct.unpack_from("<H", data, directory)[0]):
        at = directory + 2 + 12 * entry
        if struct.unpack_from("<H", data, at)[0] == 273:  # StripOffsets
            struct.pack_into("<HII", data, at + 2, 4, 0xFFFFFFFF, 8)
    return bytes(data)


BAD = {
    "empty": (b"", r"empty \(0 bytes\)"),
    "text": (
        b"just some words, named photo.jpg\n" * 40,
        "not a photo .* choose a JPEG, PNG, WebP, GIF, BMP or TIFF file",
    ),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a photo"),
    "pdf": (b"%PDF-1.7\n", "not a photo"),
    "ppm": (encode(Image.fromarray(COLOURS), "PPM"), "not a photo"),
    "ico": (encode(Image.fromarray(COLOURS), "ICO"), "not a photo"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0", "not a photo"),
    "jpeg signature only": (b"\xff\xd8\xff", "JPEG file is damaged or incomplete"),
    "png signature only": (b"\x89PNG\r\n\x1a\n", "PNG file is damaged or incomplete"),
    "gif signature only": (b"GIF89a", "GIF file is damaged or incomplete"),
    "bmp signature only": (b"BM", "BMP file is damaged or incomplete"),
    "webp signature only": (b"RIFF\0\0\0\0WEBPVP8 ", "WebP file is damaged or incomplete"),
    "tiff signature only": (b"II*\0\x08\0\0\0", "TIFF file is damaged or incomplete"),
    "tiff directory beyond the end": (b"MM\0*\xff\xff\xff\xff", "TIFF file is damaged or incomplete"),
    "half a jpeg": (truncated("JPEG"), "JPEG file is damaged or incomplete"),
    "half a png": (truncated("PNG"), "PNG file is damaged or incomplete"),
    "half a gif": (truncated("GIF"), "GIF file is damaged or incomplete"),
    "half a bmp": (truncated("BMP"), "BMP file is damaged or incomplete"),
    "half a webp": (truncated("WebP"), "WebP file is damaged or incomplete"),
    "half a tiff": (truncated("TIFF"), "TIFF file is damaged or incomplete"),
    "huge tiff tag": (tiff_with_a_huge_tag(), "more than 50,000 strips or tiles"),
    "just over 40 megapixels": (
        png_header_only(8000, 5001),
        r"8000 × 5001 pixels, 40.0 megapixels; at most 40 can be read",
    ),
    "108 megapixels": (png_header_only(12000, 9000), r"12000 × 9000 pixels, 108.0 megapixels; at most 40"),
    "decompression bomb of 3600 megapixels": (
        png_header_only(60000, 60000),
        "60000 × 60000 pixels, 3600.0 megapixels; at most 40",
    ),
    "49 megapixels of one bit": (encode(Image.new("1", (7000, 7000)), "PNG"), "49.0 megapixels"),
    "1x20000 strip": (
        encode(Image.new("L", (1, 20000)), "PNG"),
        r"1 × 20000 pixels; each side needs at least 8",
    ),
    "1000:1 strip": (
        encode(Image.new("L", (20000, 20)), "PNG"),
        r"20000 × 20 pixels, a strip longer than 50:1",
    ),
    "7x7": (encode(Image.new("L", (7, 7)), "PNG"), "at least 8"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning", "ignore:Tag data larger:UserWarning")
@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_reported_in_one_sentence(name):
    data, message = BAD[name]
    with pytest.raises(ImageError, match=message) as caught:
        open_image(data)
    assert_is_one_sentence(str(caught.value))


def assert_is_one_sentence(message):
    assert message[0].isupper()
    assert message.endswith(".")
    assert ". " not in message
    assert "\n" not in message
    assert "Traceback" not in message
    assert "BytesIO" not in message


def test_a_file_over_64_mb_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.write(encode(Image.fromarray(COLOURS), "PNG"))
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ImageError, match="larger than 64 MB"):
        open_image(path)


def test_the_sizes_at_the_limits_are_accepted():
    assert open_image(encode(Image.new("L", (8, 400)), "PNG")).size == (8, 400)
    assert open_image(encode(Image.new("1", (8000, 5000)), "PNG")).size == (8000, 5000)
    assert open_image(encode(Image.fromarray(COLOURS), "PNG"), max_pixels=600).size == (30, 20)
    with pytest.raises(ImageError, match="at most 0.000599 can be read"):
        open_image(encode(Image.fromarray(COLOURS), "PNG"), max_pixels=599)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad transparency"),
        SyntaxError("broken"),
        TypeError("'NoneType'"),
        NotImplementedError("unknown compression"),
        struct.error("unpack requires"),
        OverflowError("too large"),
        IndexError("list index"),
        KeyError(259),
        EOFError("no more"),
        RuntimeError("decoder"),
        ZeroDivisionError("division"),
        OSError("/a/path/photo.png"),
        MemoryError(),
        Image.DecompressionBombError("bomb"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_pillow_raises_while_decoding_becomes_a_sentence(monkeypatch, error):
    def fail(self):
        raise error

    data = encode(Image.fromarray(COLOURS), "PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(ImageError) as caught:
        open_image(data)
    assert_is_one_sentence(str(caught.value))
    assert "/a/path" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_pillows_settings_and_the_warning_filters_stay_as_they_are():
    def settings():
        return (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))

    before = settings()
    open_image(encode(Image.fromarray(COLOURS), "PNG"))
    for data in (truncated("JPEG"), png_header_only(60000, 60000)):
        with pytest.raises(ImageError):
            open_image(data)
    assert settings() == before


def test_many_threads_get_the_pixels_of_one():
    files = [encode(Image.fromarray(COLOURS), name) for name in FORMATS]
    alone = [pixels(data) for data in files]
    wrong = []

    def work():
        for name, data, expected in zip(FORMATS * 5, files * 5, alone * 5, strict=True):
            if not np.array_equal(pixels(data), expected):
                wrong.append(name)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- damage at random --------------------------------------------------------------------------------------

SMALL = Image.fromarray(RNG.integers(0, 256, (16, 24, 3), np.uint8))
EXIF = Image.Exif()
EXIF[0x0112] = 6
EXIF[0x010E] = "a description"
FUZZED = {
    "JPEG": encode(SMALL, "JPEG", exif=EXIF),
    "JPEG progressive CMYK": encode(SMALL.convert("CMYK"), "JPEG", progressive=True),
    "PNG": encode(SMALL, "PNG", exif=EXIF),
    "PNG palette": encode(SMALL.quantize(16), "PNG", transparency=3),
    "PNG 16 bit": encode(Image.fromarray(np.arange(384, dtype=np.uint16).reshape(16, 24) * 170), "PNG"),
    "WebP": encode(SMALL, "WebP", exif=EXIF),
    "WebP lossless alpha": encode(SMALL.convert("RGBA"), "WebP", lossless=True),
    "GIF": encode(SMALL, "GIF", save_all=True, append_images=[SMALL.rotate(180)]),
    "BMP": encode(SMALL, "BMP"),
    "BMP palette": encode(SMALL.quantize(16), "BMP"),
    "TIFF": encode(SMALL, "TIFF", exif=EXIF),
    "TIFF LZW": encode(SMALL, "TIFF", compression="tiff_lzw"),
    "TIFF JPEG": encode(SMALL, "TIFF", compression="jpeg"),
    "TIFF float": encode(Image.fromarray(np.linspace(-1, 1, 384, dtype=np.float32).reshape(16, 24)), "TIFF"),
}  # fmt: skip


def damaged(data, rng):
    data = bytearray(data)
    kind = rng.integers(4)
    if kind == 0:
        return bytes(data[: rng.integers(len(data))])
    # Half of the flips hit the first bytes, where the structure is.
    limit = len(data) if kind == 1 else min(len(data), 200)
    for _ in range(rng.integers(1, 6)):
        data[rng.integers(limit)] ^= 1 << rng.integers(8)
    if kind == 3:
        at = rng.integers(limit)
        data[at : at + 4] = rng.bytes(4)
    return bytes(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUZZED)
def test_a_damaged_file_is_an_rgb_image_or_an_image_error_and_nothing_else(name):
    rng = np.random.default_rng([5, *name.encode()])
    outcomes = set()
    for _ in range(300):
        try:
            image = open_image(damaged(FUZZED[name], rng), max_pixels=2_000_000)
        except ImageError as error:
            assert_is_one_sentence(str(error))
            outcomes.add("refused")
        else:
            assert image.mode == "RGB"
            assert np.asarray(image).size == 3 * image.width * image.height
            outcomes.add("read")
    assert "refused" in outcomes


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUZZED)
def test_every_prefix_of_a_small_file_is_an_rgb_image_or_an_image_error(name):
    data = FUZZED[name]
    for length in itertools.chain(range(0, 64), range(64, len(data), 13)):
        try:
            assert open_image(data[:length]).mode == "RGB"
        except ImageError as error:
            assert_is_one_sentence(str(error))
