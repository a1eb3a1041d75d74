"""Keys of the section `heap` in its scheme `boundary_tags`."""

from typing import Final

from coronel_gdb.profiles.keys.key import ENTRIES, Key, Kind, Role, Scheme, not_judged, root

BOUNDARY_TAGS: Final = Scheme(
    "boundary_tags",
    "chunks tile one arena, as in dlmalloc: a size that counts its header and has flags in its low bits, the "
    "size once more behind a free chunk, and free chunks in bins, which are rings. Trees of large chunks are "
    "not known, nor bins with one link",
    (
        *root("the arena"),
        Key("type", Kind.TYPE, "the arena"),
        Key(
            "fields",
            Kind.FIELDS,
            "the fields of the arena",
            of="type",
            roles=(
                Role("start", "address of the first chunk"),
                Role("end", "end of the last chunk", "`fields.bytes` says where it is"),
                Role(
                    "bytes",
                    "bytes from the first chunk to the end of the last",
                    "`fields.end` says where it is",
                ),
                Role("top", "address of the last chunk, from which new ones are cut"),
                Role(
                    "bins",
                    "array of pairs: first and last chunk of each bin, through which its ring goes",
                ),
                Role("used_bytes", "sum of the sizes of used chunks", not_judged("that sum")),
                Role("used_chunks", "number of used chunks", not_judged("that number")),
                Role("locked", "u32: 1 while an operation is under way", "the heap is never called busy"),
            ),
        ),
        Key("chunk", Kind.TYPE, "a chunk"),
        Key(
            "chunk_fields",
            Kind.FIELDS,
            "the fields of a chunk, 8 bytes each",
            of="chunk",
            roles=(
                Role("prev_size", "size of the chunk before while that one is free, else part of its data"),
                Role("size", "bytes up to the next chunk, with the flags"),
                Role("fd", "address of the chunk that follows in the bin; here a caller's data begin"),
                Role("bk", "address of the chunk before in the bin"),
            ),
        ),
        Key("flag_bits", Kind.NUMBER, "the bits of `size` that are no part of the size, such as 15"),
        Key("prev_in_use", Kind.NUMBER, "the flag of a chunk behind a used one"),
        Key(
            "in_use",
            Kind.NUMBER,
            "the flag of a used chunk",
            "only the flag in the next chunk, the bins and the size behind it tell whether a chunk is used",
        ),
        Key("other_flags", Kind.NUMBER, "flags that a chunk of the arena may have besides", "it has none"),
        Key("alignment_bytes", Kind.NUMBER, "chunks and sizes are multiples of it, in bytes"),
        Key("minimum_bytes", Kind.NUMBER, "size of the smallest chunk, in bytes"),
        ENTRIES,
    ),
)
