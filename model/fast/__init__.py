"""A fast twin of the model's kernel side: the same results, in Python's own containers.

Apart from the readable model, and proven equal to it by `tests/model/fast`. It models *sound* states only:
memory that no operation wrote does not exist here. In this order: `diary`, `first_fit`, `frames`, `tables`,
`regions`, `heap`, `machine`, `materialised`.
"""
