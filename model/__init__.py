"""The reference model of the Coronel memory system: standard library only, readable top to bottom.

In this order: `types`, `layouts`, `records`, `errors`, `page_entry`, `paging`, `address_space`, `memory`,
`structure`, `events`, `multiboot`, `placement`, `frames`, `page_tables`, `region_nodes`, `regions`,
`heap_blocks`, `heap`, `program`, `user_memory`, `user_blocks`, `user_heap`, `process_memory`, `process`,
`system_calls`, `machine`, `scenarios`; then `invariants`. Every module follows one section of
docs/spec.md.
"""
