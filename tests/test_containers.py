"""Files made to keep a decoder busy are refused or opened at once; photos of phones and cameras open."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from benchmarks import hostile_images
from benchmarks.hostile_images import chunk, encoded
from saliency_core.inputs import containers
from saliency_core.inputs.containers.parts import MAX_PARTS
from saliency_core.inputs.images import ImageError, image_size, open_image

SMALL = 0.02
"""Of the sizes of the hostile files: some are still above the bounds, and all take no time."""
HOSTILE = hostile_images.files(SMALL)
REFUSED = {
    "TIFF, 63 million one-byte strips": "more than 50,000 strips or tiles",
    "TIFF, 15 million strips": "more than 50,000 strips or tiles",
    "TIFF, 4 million one-byte strips": "more than 50,000 strips or tiles",
    "JPEG, 64 MB of APP15 segments": "more than 50,000 segments",
    "BigTIFF, 3 million tags": "more than 4,096 tags",
    "JPEG, 64 MB of empty comments": "more than 50,000 segments",
    "PNG, 64 MB of private chunks": "more than 50,000 chunks",
    "JPEG, 8 megapixels, 20,000 progressive scans": "more than 100 scans",
    "GIF, 64 MB of one-byte comments": "more than 50,000 blocks",
    "GIF, 64 MB of codes without a pixel": "damaged",
    "JPEG, 64 MB of small Exif segments": "more than 50,000 segments",
    "JPEG, 64 MB of quantisation tables": "far more tables",
    "PNG, 64 MB of empty pixel chunks": "more than 50,000 chunks",
    "PNG, 64 MB of chunks behind the pixels": "more than 50,000 chunks",
    "WebP, 64 MB of private chunks": "more than 50,000 chunks",
    "TIFF, the same strip 25,000 times": "out of proportion",
    "TIFF, 40,000 strips that share 50 MB": "out of proportion",
    "TIFF, a tile of 2,500 megapixels": "out of proportion",
    "TIFF, a JPEG of 90 scans in a strip": "more scans",
}
OPENED = {
    "JPEG, 64 MB of Exif segments",
    "JPEG, 64 MB of fill bytes",
    "JPEG, 64 MB of zeros between segments",
    "JPEG, EXIF tags that share their bytes",
    "GIF, 64 MB of comments",
    "PNG, texts that unpack to 100 MB each",
    "WebP, 64 MB of frames",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_out_of_proportion_is_refused_in_one_sentence_before_it_is_decoded(name: str) -> None:
    with pytest.raises(ImageError, match=REFUSED[name]) as caught:
        open_image(HOSTILE[name]())
    assert str(caught.value).count(".") == 1


@pytest.mark.parametrize("name", sorted(OPENED))
def test_metadata_without_end_are_left_out_and_the_picture_opens(name: str) -> None:
    data = HOSTILE[name]()
    assert open_image(data).size == image_size(data)
    if name.startswith(("JPEG", "PNG", "GIF", "WebP")) and "frames" not in name:
        assert len(containers.pixels(data).file()) < 10_000


def test_too_many_runs_of_a_bitmap_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers.bmp, "MAX_RUNS", 1000)
    with pytest.raises(ImageError, match="more than 1,000 runs of pixels"):
        open_image(hostile_images.bmp_runs(b"\x01\x07", 2000, 64, 48))


def test_as_many_parts_as_are_read_are_no_more_than_a_photo_may_have() -> None:
    few, many = (hostile_images.jpeg_segments(0xFE, b"", 0) for _ in range(2))
    assert open_image(few[:2] + b"\xff\xfe\0\2" * (MAX_PARTS - 20) + few[2:]).size == (64, 48)
    with pytest.raises(ImageError, match="more than 50,000 segments"):
        open_image(many[:2] + b"\xff\xfe\0\2" * MAX_PARTS + many[2:])


# -- run-length coded bitmaps --------------------------------------------------------------------------------


def bitmap(coded: bytes, width: int, height: int, bits: int) -> bytes:
    """A run-length coded BMP whose palette entry n is (n, 2n, 3n)."""
    colours = 1 << bits
    palette = bytes(each for n in range(colours) for each in (3 * n % 256, 2 * n % 256, n, 0))
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 3 - bits // 4, len(coded), 0, 0, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 0, 0, 0, 54 + len(palette)) + info + palette + coded


def test_the_runs_of_a_bitmap_give_their_pixels() -> None:
    # From the bottom: a run and pixels one by one; a line with a jump; the rest is never reached.
    coded = b"\x05\x07\x00\x03\x01\x02\x03\0\0\0" + b"\x02\x09\0\2\2\0\x04\x08\0\0" + b"\0\1"
    found = np.asarray(open_image(bitmap(coded, 8, 8, 8)))[..., 0]
    assert found[7].tolist() == [7, 7, 7, 7, 7, 1, 2, 3]
    assert found[6].tolist() == [9, 9, 0, 0, 8, 8, 8, 8]
    assert not found[:6].any()


def test_the_runs_of_half_bytes_give_their_pixels() -> None:
    coded = b"\x05\x12\x00\x03\x34\x50\0\0" + b"\0\1"
    found = np.asarray(open_image(bitmap(coded, 8, 8, 4)))[..., 0]
    assert found[7].tolist() == [1, 2, 1, 2, 1, 3, 4, 5]


def test_runs_that_stop_in_the_middle_are_a_damaged_file() -> None:
    for coded in (b"", b"\x05", b"\x05\x07", b"\0\x20abc", b"\0\2\1"):
        with pytest.raises(ImageError, match="BMP file is damaged or incomplete"):
            open_image(bitmap(coded, 8, 8, 8))


# -- ordinary photos -----------------------------------------------------------------------------------------

RNG = np.random.default_rng(3)
PHOTO = Image.fromarray(RNG.integers(0, 256, (6, 9, 3), np.uint8)).resize(
    (180, 120), Image.Resampling.BICUBIC
)


def frames() -> list[Image.Image]:
    """Three pictures of one size; new ones, because a saved one keeps options of its format."""
    return [PHOTO.rotate(angle) for angle in (0, 90, 180)]


def exif(orientation: int = 6, *, preview: bool = True) -> bytes:
    """That of a camera: what it is, its settings, notes of its own, and a small picture."""
    block = Image.Exif()
    block[0x010F], block[0x0112] = "Maker", orientation
    block.get_ifd(0x8769)[0x927C] = bytes(30_000)
    small = encoded(PHOTO.resize((160, 106)), "JPEG") if preview else b""
    return block.tobytes() + small


def with_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with more segments in front."""
    made = b"".join(bytes((0xFF, n)) + struct.pack(">H", len(body) + 2) + body for n, body in segments)
    return jpeg[:2] + made + jpeg[2:]


def phone() -> bytes:
    """As of a phone: EXIF with a preview, a colour profile in pieces, XMP in pieces, a gain map behind it."""
    xmp = (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")
    more = (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60_000))
    profile = [(0xE2, b"ICC_PROFILE\0" + bytes((n, 3)) + bytes(60_000)) for n in (1, 2, 3)]
    several = (0xE2, b"MPF\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    main = encoded(PHOTO, "JPEG", quality=90, subsampling=2)
    gain_map = encoded(PHOTO.convert("L").resize((90, 60)), "JPEG")
    return with_segments(main, (0xE1, exif()), xmp, *[more] * 40, *profile, several) + gain_map


def of_several() -> bytes:
    return encoded(PHOTO, "MPO", save_all=True, append_images=frames()[1:])


def moving(file_format: str) -> bytes:
    options = {"lossless": True} if file_format == "WebP" else {}
    return encoded(
        PHOTO, file_format, save_all=True, append_images=frames()[1:], duration=80, loop=0, **options
    )


def moving_png() -> bytes:
    return encoded(PHOTO, "PNG", save_all=True, append_images=frames()[1:])


def interlaced() -> bytes:
    """A PNG in seven passes, which Pillow does not write."""
    pixels = np.asarray(PHOTO)
    raw = b""
    for left, top, right, down in (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ):  # fmt: skip
        raw += b"".join(b"\0" + line.tobytes() for line in pixels[top::down, left::right])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *PHOTO.size, 8, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def written_png() -> bytes:
    """With a profile, texts, EXIF, and the pixels in many chunks."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "a camera", zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x/>" * 5000)
    return encoded(PHOTO, "PNG", pnginfo=text, icc_profile=bytes(3000), exif=exif(8, preview=False))


def page(**options: object) -> bytes:
    return encoded(PHOTO, "TIFF", **options)


def wide_tiff(planes: int = 1) -> bytes:
    """A strip for every line of every plane."""
    width, height = PHOTO.size
    count = height * (3 if planes == 2 else 1)
    lines = np.asarray(PHOTO).transpose(2, 0, 1) if planes == 2 else np.asarray(PHOTO)
    length, at = len(lines.tobytes()) // count, hostile_images.behind(10)
    places = b"".join(struct.pack("<I", at + 6 + 4 * count + n * length) for n in range(count))
    tags = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, at), (259, 3, 1, 1), (262, 3, 1, 2)),
        *((277, 3, 1, 3), (278, 3, 1, 1), (284, 3, 1, planes), (273, 4, count, at + 6), (274, 3, 1, 3)),
    ]
    return hostile_images.tiff(tags, struct.pack("<3H", 8, 8, 8) + places + lines.tobytes())


def tiled(side: int = 64) -> bytes:
    """Tiles that reach beyond the picture, compressed, in a BigTIFF."""
    width, height = PHOTO.size
    across, down = -(-width // side), -(-height // side)
    grey = np.zeros((down * side, across * side), np.uint8)
    grey[:height, :width] = np.asarray(PHOTO.convert("L"))
    packed = [
        zlib.compress(grey[y * side : (y + 1) * side, x * side : (x + 1) * side].tobytes())
        for y in range(down) for x in range(across)
    ]  # fmt: skip
    count, at = len(packed), 16 + 8 + 20 * 10 + 8
    starts = [at + 16 * count + sum(map(len, packed[:n])) for n in range(count)]
    lists = struct.pack(f"<{2 * count}Q", *starts, *map(len, packed))
    tags = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)),
        *((277, 3, 1, 1), (322, 4, 1, side), (323, 4, 1, side)),
        *((324, 16, count, at), (325, 16, count, at + 8 * count)),
    ]
    return hostile_images.tiff(tags, lists + b"".join(packed), big=True)


def sixteen_bits() -> bytes:
    return encoded(Image.fromarray((np.arange(160 * 90, dtype=np.uint16) * 4).reshape(90, 160)), "PNG")


EXIF = exif(5, preview=False)
ORDINARY = {
    "a phone's photo": phone,
    "a photo of several pictures": of_several,
    "a photo with a large profile": lambda: encoded(PHOTO, "JPEG", icc_profile=bytes(500_000), exif=exif(3)),
    "a panorama": lambda: encoded(PHOTO.resize((2000, 60)), "JPEG", exif=exif(1), quality=95),
    "a progressive photo": lambda: encoded(PHOTO, "JPEG", progressive=True, comment=b"c" * 60_000),
    "restart markers": lambda: encoded(PHOTO, "JPEG", restart_marker_rows=1),
    "CMYK": lambda: encoded(PHOTO.convert("CMYK"), "JPEG"),
    "grey": lambda: encoded(PHOTO.convert("L"), "JPEG"),
    "RGB without a change of colours": lambda: encoded(PHOTO, "JPEG", keep_rgb=True),
    "an interlaced PNG": interlaced,
    "a PNG with texts and EXIF": written_png,
    "a PNG of 16 bits": sixteen_bits,
    "a PNG with a palette": lambda: encoded(PHOTO.quantize(50), "PNG", transparency=7, bits=8),
    "a moving PNG": moving_png,
    "a moving GIF": lambda: moving("GIF"),
    "an interlaced GIF": lambda: encoded(PHOTO.quantize(), "GIF", interlace=1, comment=b"c" * 3000),
    "a transparent GIF": lambda: encoded(PHOTO.quantize(20), "GIF", transparency=4),
    "a moving WebP": lambda: moving("WebP"),
    "a transparent WebP": lambda: encoded(PHOTO.convert("RGBA").rotate(30), "WebP", exif=EXIF),
    "a WebP with metadata": lambda: encoded(PHOTO, "WebP", icc_profile=bytes(900), exif=EXIF),
    "a scanner's pages": lambda: page(save_all=True, append_images=frames()[1:], compression="tiff_lzw"),
    "a TIFF with EXIF and profile": lambda: page(icc_profile=bytes(90_000), exif=exif(6, preview=False)),
    "a TIFF with JPEG strips": lambda: page(compression="jpeg", strip_size=4096),
    "a TIFF of 16 bits": lambda: encoded(Image.fromarray(np.eye(60, 90, dtype=">u2") * 999), "TIFF"),
    "a fax": lambda: encoded(PHOTO.convert("1"), "TIFF", compression="group4"),
    "a BigTIFF": lambda: page(big_tiff=True, compression="tiff_deflate"),
    "a TIFF of lines": wide_tiff,
    "a TIFF of planes": lambda: wide_tiff(2),
    "a TIFF of tiles": tiled,
    "a bitmap": lambda: encoded(PHOTO.convert("P"), "BMP"),
}  # fmt: skip


def by_pillow(data: bytes) -> Image.Image:
    """The picture as Pillow makes it of the whole file, upright."""
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        return Image.fromarray(((np.asarray(upright).astype(int) + 128) // 257).astype(np.uint8)).convert(
            "RGB"
        )
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    white = Image.new("RGBA", upright.size, "white")
    clear = upright.convert("RGBA")
    white.paste(clear, mask=clear.getchannel("A"))
    return white.convert("RGB")


@pytest.mark.filterwarnings("ignore:Image appears to be a malformed MPO file")  # Pillow, of the phone's
@pytest.mark.parametrize("name", ORDINARY)
def test_a_photo_of_a_phone_a_camera_or_a_scanner_gives_the_pixels_of_the_whole_file(name: str) -> None:
    data = ORDINARY[name]()
    found = open_image(data)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(by_pillow(data)))
    assert image_size(data) == found.size


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WebP"])
def test_the_orientation_is_found_in_exif_in_xmp_and_in_text(file_format: str, number: int) -> None:
    lossless = {"lossless": True} if file_format == "WebP" else {}
    expected = np.asarray(
        by_pillow(encoded(PHOTO, file_format, exif=exif(number, preview=False), **lossless))
    )
    found = [encoded(PHOTO, file_format, exif=exif(number, preview=False), **lossless)]
    xmp = f'<rdf:Description tiff:Orientation="{number}"/>'
    if file_format == "PNG":
        written, raw = PngImagePlugin.PngInfo(), PngImagePlugin.PngInfo()
        written.add_itxt("XML:com.adobe.xmp", xmp)
        digits = exif(number, preview=False).hex()
        raw.add_text("Raw profile type exif", f"\nexif\n      {len(digits) // 2}\n{digits}\n", zip=True)
        found += [encoded(PHOTO, "PNG", pnginfo=text) for text in (written, raw)]
    else:
        found.append(encoded(PHOTO, file_format, xmp=xmp.encode(), **lossless))
    for data in found:
        np.testing.assert_array_equal(np.asarray(open_image(data)), expected)
        assert image_size(data) == expected.shape[1::-1]
