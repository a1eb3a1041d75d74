"""The reference model of the Coronel memory system: standard library only, readable top to bottom.

In this order: `types`, `layouts`, `records`, `errors`, `page_entry`, `paging`, `address_space`, `memory`,
`structure`, `events`, `multiboot`, `placement`, `frames`, `page_tables`, `region_nodes`, `regions`,
`heap_blocks`, `heap`, `machine`, `scenarios`; then `invariants`. Every module follows one section of
docs/spec.md.
"""
