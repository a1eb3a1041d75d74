"""Keys of the sections `heap` and `user_heap`."""

from typing import Final

from coronel_gdb.profiles.keys.boundary_tags import BOUNDARY_TAGS
from coronel_gdb.profiles.keys.key import ENTRIES, Key, Kind, Role, Scheme, SectionKeys, not_judged, root

_BLOCK_ROLES: Final = (
    Role("size", "bytes of data behind the header"),
    Role("is_free", "1 for a free block, 0 for a used one"),
    Role("next", "address of the next header in the list, 0 at its end"),
    Role("prev", "address of the header before, 0 at the list's head"),
    Role("magic", "one of `magic_free` and `magic_used`"),
)
_BLOCKS: Final = (
    Key("block", Kind.TYPE, "a block's header"),
    Key("block_fields", Kind.FIELDS, "the fields of a header", roles=_BLOCK_ROLES, of="block"),
    Key("magic_free", Kind.NUMBER, "the magic of a free block"),
    Key("magic_used", Kind.NUMBER, "the magic of a used block"),
    Key("header_bytes", Kind.NUMBER, "bytes from a block to its data", "the size of the type `block`"),
    Key("alignment_bytes", Kind.NUMBER, "headers and sizes are multiples of it, in bytes"),
    Key("minimum_bytes", Kind.NUMBER, "bytes of data that the smallest block has"),
)

HEAP_LIST: Final = Scheme(
    "coronel",
    "regions of pages, tiled by blocks in one doubly linked list, each header with a magic (docs/spec.md §7)",
    (
        *root("the heap object"),
        Key("type", Kind.TYPE, "the heap object"),
        Key(
            "fields",
            Kind.FIELDS,
            "the fields of the heap object",
            of="type",
            roles=(
                Role("heap_start", "lowest address of the heap"),
                Role("heap_end", "end of the heap: its highest address plus one"),
                Role("heap_size", "bytes of all regions, headers counted"),
                Role("first_block", "address of the first header, 0 for an empty heap"),
                Role("total_allocated", "bytes of data in used blocks", not_judged("that sum")),
                Role("total_free", "bytes of data in free blocks", not_judged("that sum")),
                Role("num_allocations", "blocks handed out since boot", not_judged("how many are in use")),
                Role("num_frees", "blocks given back since boot", not_judged("how many are in use")),
                Role(
                    "num_expansions",
                    "times that the heap grew",
                    "derived from `expansion_bytes` where that is known, else not shown",
                ),
                Role(
                    "errors",
                    "array: refused calls by kind (docs/spec.md §8.1)",
                    not_judged("whether calls were refused"),
                ),
                Role("locked", "u32: 1 while an operation is under way", "the heap is never called busy"),
            ),
        ),
        *_BLOCKS,
        Key(
            "expansion_bytes",
            Kind.NUMBER,
            "bytes that every expansion adds, always the same",
            "the number of expansions is `num_expansions`, or unknown",
        ),
        Key(
            "quirks",
            Kind.WORDS,
            "what this kernel is known to do wrong: told as a quirk, what goes beyond it is a finding",
            "every difference is a finding",
            roles=(
                Role("fixed_heap_end", "an expansion does not move `heap_end`", "it does"),
                Role(
                    "headers_in_total_free",
                    "`total_free` counts one header more for every split, one less for every merge",
                    "it is not",
                ),
            ),
        ),
        ENTRIES,
    ),
)

USER_HEAP_LIST: Final = Scheme(
    "coronel",
    "one region that grows upwards, tiled by blocks like those of the kernel's heap (docs/spec.md §15.3)",
    (
        *root("the heap object of the current address space"),
        Key("type", Kind.TYPE, "the heap object"),
        Key(
            "fields",
            Kind.FIELDS,
            "the fields of the heap object",
            of="type",
            roles=(
                Role("heap_start", "lowest address of the heap"),
                Role("heap_current", "end of what it has grown to"),
                Role("first_block", "address of the first header, 0 for an empty heap"),
                Role("heap_limit", "end of what it may grow to", "not shown"),
                Role("total_allocated", "bytes of data in used blocks", not_judged("that sum")),
                Role("num_blocks", "blocks, free ones counted", not_judged("how many there are")),
                Role("errors", "array: refused calls by kind", not_judged("whether calls were refused")),
                Role("locked", "u32: 1 while an operation is under way", "it is never called busy"),
            ),
        ),
        *_BLOCKS,
    ),
)

HEAP: Final = SectionKeys(
    "heap",
    "the kernel's heap",
    "`heapcheck` could not check; `memcheck` lists the heap as not checked",
    (HEAP_LIST, BOUNDARY_TAGS),
)
USER_HEAP: Final = SectionKeys(
    "user_heap",
    "a heap for ring 3 that no process of a list owns, with blocks of its own",
    "heaps of processes have the blocks of the section `heap`",
    (USER_HEAP_LIST,),
)
