"""The documents: what they show is captured, what they name is run, what is data in the code is written.

document   the Markdown files; their captured sessions, their command lines
places     where a session is captured: a kernel at a checkpoint, with its dumps beside it
stage      one such place while it runs: GDB, LLDB, QEMU's monitor and a shell in a scratch folder
sessions   a captured session, typed anew
lines      which command line is run where, and which is not, and why
examples   one real report for each code: kernels that are booted, damages made in their dumps
reference  the pages that are written from the code
site       what Sphinx is told about these files, for `make docs`
"""
