#include "checks.hpp"

// Takes something of everything and leaves without giving it back.

int run(const char*) {
    malloc(100);
    mmap(0, 10000, READ | WRITE);
    mmap(0x60000000, 4096, READ);
    yield();
    return 0;
}
