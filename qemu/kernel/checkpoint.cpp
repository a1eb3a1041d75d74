#include "checkpoint.hpp"

void coronel_checkpoint(u64 number, const char* name) {
    // Both are in registers here, and the compiler believes that they are used.
    asm volatile("" : : "r"(number), "r"(name) : "memory");
}
