"""How a kdump's pages are compressed; the size of what comes out is bounded, whatever the data claims."""

import zlib
from collections.abc import Callable

from coronel_gdb.errors import DumpError

# Flags of a page descriptor (makedumpfile: diskdump_mod.h).
ZLIB, LZO, SNAPPY, ZSTD = 0x01, 0x02, 0x04, 0x20
NAMES = {ZLIB: "zlib", LZO: "lzo", SNAPPY: "snappy", ZSTD: "zstd"}

Decompress = Callable[[bytes, int], bytes]
"""(compressed, size of the page) → the page; any exception means that the data is damaged."""


def decompressor(flag: int) -> Decompress:
    """The function for that kind; `DumpError` names the Python package that is missing."""
    if flag == ZLIB:
        return _zlib
    try:
        return {LZO: _lzo, SNAPPY: _snappy, ZSTD: _zstd}[flag]()
    except ImportError as error:
        package = "lzallright" if flag == LZO else "cramjam"
        raise DumpError(
            f"its pages are compressed with {NAMES[flag]}: `pip install {package}` to read them"
        ) from error


def _zlib(data: bytes, size_bytes: int) -> bytes:
    return zlib.decompressobj().decompress(data, size_bytes)


def _lzo() -> Decompress:
    from lzallright import LZOCompressor

    # The input is at most twice a page, and LZO gives at most 255 bytes for one: that bounds the output.
    return lambda data, size_bytes: bytes(LZOCompressor.decompress(data, size_bytes))


def _snappy() -> Decompress:
    from cramjam import snappy

    def page(data: bytes, size_bytes: int) -> bytes:
        out = bytearray(size_bytes)
        return bytes(out[: snappy.decompress_raw_into(data, out)])

    return page


def _zstd() -> Decompress:
    from cramjam import zstd

    def page(data: bytes, size_bytes: int) -> bytes:
        out = bytearray(size_bytes)
        return bytes(out[: zstd.decompress_into(data, out)])

    return page
