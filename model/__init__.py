"""The reference model of the Coronel memory system: standard library only, readable top to bottom.

Read in this order: `types`, `layouts`, `records`, `memory`, `placement`, `frames`, `regions`, `heap`,
`paging`, `multiboot`, `machine`; then `invariants`. Every module follows one section of docs/spec.md.
"""
