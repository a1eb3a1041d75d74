"""Where the kernel's own debug information says that fields lie, as `model.layouts.Layout`s."""
