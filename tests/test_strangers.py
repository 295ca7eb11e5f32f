"""Files and texts from strangers: nothing is fetched, no other program runs, bombs stay closed."""

import io
import os
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import dynres_rs as dr
import numpy as np
import pytest
from PIL import Image

LIMIT = 1_000_000
COMMAND = "from dynres_rs.cli import main; main()"


@pytest.fixture(scope="module")
def av() -> ModuleType:
    return pytest.importorskip("av", reason="needs PyAV")


# Videos: nothing but the file itself is opened


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A TCP server; whether anybody connected shows in its queue."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        yield server


URLS = (
    *("tcp://127.0.0.1:{}/v.mp4", "rtmp://127.0.0.1:{}/live", "ftp://127.0.0.1:{}/v.mp4"),
    *("cache:http://127.0.0.1:{}/v.mp4", "async:tcp://127.0.0.1:{}", "http://127.0.0.1:{}/v.mp4"),
    *("HTTP://127.0.0.1:{}/v.mp4", "hls+http://127.0.0.1:{}/l.m3u8", "gopher://127.0.0.1:{}/"),
    *("subfile,,start,0,end,9,,:http://127.0.0.1:{}/v", "concat:tcp://127.0.0.1:{}|b.mp4"),
    *("rtsp://127.0.0.1:{}/v", "tls://127.0.0.1:{}", "icecast://127.0.0.1:{}/v"),
)


@pytest.mark.parametrize("url", URLS)
def test_no_path_is_fetched(av: ModuleType, listener: socket.socket, url: str) -> None:
    processor = dr.VideoProcessor("qwen2-vl")
    begun = time.monotonic()
    with pytest.raises((ValueError, OSError)):
        processor(url.format(listener.getsockname()[1]))
    assert time.monotonic() - begun < 5
    with pytest.raises(TimeoutError):
        listener.accept()


def playlists(port: int) -> dict[str, bytes]:
    """Files that are lists of addresses, for FFmpeg's readers of such."""
    at = f"127.0.0.1:{port}"
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://{at}/a.ts\n".encode(),
        "concat": f"ffconcat version 1.0\nfile 'http://{at}/a.mp4'\n".encode(),
        "dash": (
            f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
            f' mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="video/mp4">'
            f'<Representation id="0" bandwidth="1"><BaseURL>http://{at}/a.mp4</BaseURL>'
            f"</Representation></AdaptationSet></Period></MPD>"
        ).encode(),
        "rtsp redirect": f"[Reference]\nRef1=http://{at}/a?MSWMExt=.asf\n".encode(),
        "rtp": f"RTSP/1.0 200 OK\nrtsp://{at}/a\n".encode(),
    }


@pytest.mark.parametrize("kind", list(playlists(0)))
@pytest.mark.parametrize("as_file", [False, True])
def test_no_playlist_is_followed(
    av: ModuleType, listener: socket.socket, tmp_path: Path, kind: str, as_file: bool
) -> None:
    data = playlists(listener.getsockname()[1])[kind]
    source: bytes | Path = data
    if as_file:
        source = tmp_path / "list.mp4"
        source.write_bytes(data)
    with pytest.raises(OSError, match=r": is no video that FFmpeg can read$"):
        dr.VideoProcessor("qwen2-vl")(source)
    with pytest.raises(TimeoutError):
        listener.accept()


def test_no_description_of_a_session_opens_a_port(av: ModuleType) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1] & ~1
    session = (
        f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    ).encode()
    failed: list[Exception] = []

    def call() -> None:
        try:
            dr.VideoProcessor("qwen2-vl")(session)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=call, daemon=True)
    begun = time.monotonic()
    thread.start()
    bound = False
    while thread.is_alive() and time.monotonic() - begun < 5:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            try:
                other.bind(("127.0.0.1", port))
            except OSError:
                bound = True
        time.sleep(0.001)
    assert not bound
    assert not thread.is_alive()
    assert [type(error) for error in failed] == [OSError]


def video(av: ModuleType, path: Path, size: tuple[int, int], codec: str, count: int = 40) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for value in range(count):
            frame = np.full((*size, 3), 6 * value, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


CONTAINERS = {
    **dict.fromkeys(("mp4", "mov", "mkv", "avi", "ts", "m4v", "3gp", "wmv"), "mpeg4"),
    **dict.fromkeys(("mpg", "mxf", "vob"), "mpeg2video"),
    "flv": "flv",
    "webm": "libvpx",
    "asf": "msmpeg4",
}


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_ordinary_containers_are_read(av: ModuleType, tmp_path: Path, suffix: str) -> None:
    codec = CONTAINERS[suffix]
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg cannot write {codec}")
    path = tmp_path / f"clip.{suffix}"
    data = video(av, path, (96, 128), codec)
    processor = dr.VideoProcessor("qwen2-vl", do_sample_frames=False)
    grid = processor.plan(96, 128, num_frames=40).metadata["video_grid_thw"]
    for source in (path, data):
        assert processor(source)["video_grid_thw"].tolist() == [grid]


def test_a_decoder_keeps_to_the_limit(av: ModuleType, tmp_path: Path) -> None:
    """A stream whose frames grow: the container says the first size."""
    data = video(av, tmp_path / "small.ts", (96, 128), "mpeg2video")
    data += video(av, tmp_path / "large.ts", (1500, 2000), "mpeg2video", 5)
    processor = dr.VideoProcessor("qwen2-vl", max_image_pixels=LIMIT, do_sample_frames=False)
    with pytest.raises((OSError, dr.ImageTooLargeError)):
        processor(data)


def test_errors_of_videos_are_built_in(av: ModuleType, tmp_path: Path) -> None:
    whole = video(av, tmp_path / "clip.mp4", (96, 128), "mpeg4")
    rng = np.random.default_rng(0)
    processor = dr.VideoProcessor("qwen2-vl", do_sample_frames=False)
    failed = 0
    for _ in range(150):
        broken = bytearray(whole)
        for at in rng.integers(0, len(whole), int(rng.integers(1, 40))):
            broken[at] = rng.integers(256)
        try:
            processor(bytes(broken))
        except Exception as error:
            failed += 1
            assert type(error).__module__ in ("builtins", "dynres_rs"), repr(error)
            assert isinstance(error, OSError | ValueError | MemoryError), repr(error)
            assert " at 0x" not in str(error)
    assert failed > 20
    for name, kind in (("gone.mp4", FileNotFoundError), (".", OSError), ("a\0b.mp4", OSError)):
        with pytest.raises(kind) as caught:
            processor(str(tmp_path / name) if name != "." else str(tmp_path))
        assert type(caught.value).__module__ == "builtins"


# Paths that never end


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    movie = path.with_suffix(".mp4")
    movie.symlink_to(path)
    config = tmp_path / "config.json"
    config.symlink_to(path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_processor_type": "Qwen2VLImageProcessor"}'
    )
    code = f"""
        import dynres_rs as dr
        from dynres_rs.headers import image_size
        from dynres_rs.qwen_vl_utils import fetch_image
        def refused(call, *args):
            try:
                call(*args)
            except OSError as error:
                assert "regular file" in str(error), error
            else:
                raise AssertionError(call)
        path, folder = {str(path)!r}, {str(tmp_path)!r}
        p = dr.Processor("qwen2-vl")
        refused(p, path)
        refused(image_size, path)
        refused(fetch_image, {{"image": path}})
        refused(fetch_image, {{"image": "file://" + path}})
        refused(p.video, path[:-4] + ".mp4")
        dr.Processor.from_pretrained(folder)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# Texts


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_configs_that_are_nested_too_deeply(tmp_path: Path, opening: str) -> None:
    names = ("preprocessor_config.json", "processor_config.json", "config.json")
    for name in (*names, "video_preprocessor_config.json"):
        (tmp_path / name).write_text(opening * 100_000)
    for path in (tmp_path, *(tmp_path / name for name in names)):
        with pytest.raises(ValueError, match=r" is nested too deeply$"):
            dr.Processor.from_pretrained(path)
        with pytest.raises(ValueError, match=r" is nested too deeply$"):
            dr.VideoProcessor.from_pretrained(path)
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "plan", "x.png", "--model", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("dynres: path: ")
    assert "Traceback" not in done.stderr


# Bombs


def png(side: int, mode: str = "L") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (side, side)).save(stream, "PNG")
    return stream.getvalue()


def ico(picture: bytes) -> bytes:
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(picture), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + picture


def icns(picture: bytes) -> bytes:
    block = b"icp4" + struct.pack(">I", len(picture) + 8) + picture
    return b"icns" + struct.pack(">I", len(block) + 8) + block


def iptc(picture: bytes) -> bytes:
    def field(record: int, number: int, data: bytes) -> bytes:
        return struct.pack(">BBBH", 0x1C, record, number, len(data)) + data

    head = field(3, 60, b"\x01\x00") + field(3, 20, b"\0\x10") + field(3, 30, b"\0\x10")
    head += field(3, 120, b"\x05")
    parts = [picture[at : at + 8000] for at in range(0, len(picture), 8000)]
    return head + b"".join(field(8, 10, part) for part in parts) + field(9, 10, b"")


SIDE = 3000
SAVED = ("AVIF", "BMP", "DDS", "DIB", "GIF", "JPEG", "JPEG2000", "MSP", "PCX", "PNG")
SAVED += ("PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP", "XBM")


def bombs(folder: Path) -> list[Path]:
    """A 3,000 x 3,000 picture in every format that Pillow writes, and inside icons."""
    inner = png(SIDE, "RGB")
    made = []
    for name, data in (("ICO", ico(inner)), ("ICNS", icns(inner)), ("IPTC", iptc(inner))):
        path = folder / f"bomb.{name.lower()}"
        path.write_bytes(data)
        made.append(path)
    Image.init()
    for name in SAVED:
        if name not in Image.SAVE:
            continue
        path = folder / f"bomb-{name.lower()}"
        mode = {"MSP": "1", "XBM": "1"}.get(name, "RGB")
        Image.new(mode, (SIDE, SIDE)).save(path, name, **({"speed": 10} if name == "AVIF" else {}))
        made.append(path)
    return made


def test_bombs_of_every_format(tmp_path: Path) -> None:
    """Refused by their real size before 36 MB of pixels exist, as bytes, paths and opened."""
    made = bombs(tmp_path)
    assert len(made) > 15
    code = f"""
        import resource, sys, warnings
        import dynres_rs as dr
        from PIL import Image
        warnings.simplefilter("ignore")
        Image.init()
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        p = dr.Processor("qwen2-vl", max_image_pixels={LIMIT})
        lines = []
        for path in sys.argv[1:]:
            data = open(path, "rb").read()
            before = peak()
            for source in (path, data):
                try:
                    p(source)
                except dr.ImageTooLargeError:
                    pass
                except OSError as error:
                    assert path.endswith("iptc"), (path, error)
                else:
                    raise AssertionError(path)
            print(path, peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, made)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    grown = {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines()}
    assert len(grown) == len(made)
    # The pixels are 9 MB in one channel and 36 in four.
    assert max(grown.values()) < 8, grown


def test_icons_that_are_what_they_say(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    from dynres_rs.headers import image_size

    for suffix in ("ico", "icns"):
        path = tmp_path / f"icon.{suffix}"
        picture.save(path, sizes=[(64, 64)]) if suffix == "ico" else picture.save(path)
        with Image.open(path) as opened:
            size = opened.size[::-1]
            opened.load()
            pixels = np.asarray(opened.convert("RGB"))
        processor = dr.Processor("qwen2-vl", max_image_pixels=10**7)
        for source in (path, path.read_bytes()):
            np.testing.assert_array_equal(
                processor(source)["pixel_values"], processor(pixels)["pixel_values"]
            )
        assert image_size(path) == size


def test_an_opened_icon_is_refused_too() -> None:
    with Image.open(io.BytesIO(icns(png(1200)))) as opened:
        assert opened.size == (16, 16)
        with pytest.raises(dr.ImageTooLargeError):
            dr.Processor("qwen2-vl", max_image_pixels=LIMIT)(opened)


@pytest.mark.parametrize("name", ["EPS", "IPTC"])
def test_formats_that_run_something_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"picture.{name.lower()}"
    if name == "EPS":
        Image.new("RGB", (32, 32)).save(path, "EPS")
    else:
        path.write_bytes(iptc(png(64)))
    from dynres_rs.headers import image_size

    processor = dr.Processor("qwen2-vl")
    for call, source in (
        (processor, path),
        (processor, path.read_bytes()),
        (image_size, path),
    ):
        with pytest.raises(OSError, match=f" is {name}, "):
            call(source)
