"""Keys of the section `frames`."""

from typing import Final

from coronel_gdb.profiles.keys.key import Key, Kind, Role, Scheme, SectionKeys, not_judged, root
from coronel_gdb.profiles.keys.run_list import RUN_LIST

_SHARED: Final = (
    Role("free_count", "nodes in the list", not_judged("that count")),
    Role("physical_end", "end of RAM, physical address", "pages beyond the end of RAM are not checkable"),
    Role(
        "ranges",
        "array of pairs: start and end of what is managed, physical addresses",
        "lost frames, and free frames outside of them, are not checkable",
    ),
    Role("range_count", "pairs of `ranges` that are in use", "no range is"),
    Role(
        "errors", "array: refused calls by kind (docs/spec.md §8.1)", not_judged("whether calls were refused")
    ),
    Role("locked", "u32: 1 while an operation is under way", "the manager is never called busy"),
)
_NODE: Final = (
    Role("address", "physical address of the free frame"),
    Role("previous", "address of the next node in the list, 0 at its end"),
)

NODE_ARRAY: Final = Scheme(
    "coronel",
    "one node a frame in an array, those of free frames in a list (docs/spec.md §4)",
    (
        *root("the manager of frames"),
        Key("type", Kind.TYPE, "the manager"),
        Key(
            "fields",
            Kind.FIELDS,
            "the fields of the manager",
            of="type",
            roles=(
                Role("free_list", "address of the first free node, 0 for none"),
                Role("nodes", "address of the array"),
                Role("node_count", "nodes of the array: one for each frame from physical 0 on"),
                *_SHARED,
            ),
        ),
        Key("node", Kind.TYPE, "a node of the list"),
        Key("node_fields", Kind.FIELDS, "the fields of a node", roles=_NODE, of="node"),
    ),
)

PLACED_NODES: Final = Scheme(
    "placed_nodes",
    "free frames in a list whose nodes were placed one by one, each used for one frame only",
    (
        *root("the manager of frames"),
        Key("type", Kind.TYPE, "the manager"),
        Key(
            "fields",
            Kind.FIELDS,
            "the fields of the manager",
            of="type",
            roles=(
                Role("free_list", "address of the first node, 0 for none"),
                Role("managed_start", "first byte that is managed, physical address", "as without `ranges`"),
                Role("managed_end", "end of what is managed, physical address", "as without `ranges`"),
                *(role for role in _SHARED if role.name not in ("ranges", "range_count")),
            ),
        ),
        Key("node", Kind.TYPE, "a node of the list"),
        Key("node_fields", Kind.FIELDS, "the fields of a node", roles=_NODE, of="node"),
    ),
)

FRAMES: Final = SectionKeys(
    "frames",
    "the manager of physical frames",
    "`frames` could not check; whose a frame is, is not checkable",
    (NODE_ARRAY, PLACED_NODES, RUN_LIST),
)
