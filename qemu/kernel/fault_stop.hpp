#pragma once

#include "exceptions.hpp"

// Where a debugger stops when the kernel has failed and said so (docs/spec.md 13.2). Stops the
// CPU. Defined in a file of its own, like coronel_checkpoint.
extern "C" [[noreturn]] void coronel_fault_stop(exceptions::frame* frame);
