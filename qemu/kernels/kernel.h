#pragma once

#include "machine.h"

// What each of these kernels brings; main.c does the rest.
struct bug {
    const char* name;
    void (*strike)(void);
};

extern const struct bug BUGS[];  // up to one without a name

void begin(const struct boot* boot);
void load(u64 operations, u64 seed);
