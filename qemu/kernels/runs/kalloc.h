#pragma once

#include "types.h"

// Pages from the end of the kernel to the end of RAM. A free page holds the link to the next one in its
// first bytes and junk behind it, so that whoever still uses it soon goes wrong.

#ifndef JUNK_FREE
#define JUNK_FREE 0x01
#define JUNK_NEW 0x05
#endif

struct run {
    struct run* next;
};

extern u64 ram_top;  // virtual, behind the last page that may be free

void kinit(u64 ram_end);
void* kalloc(void);  // a page full of JUNK_NEW, NULL when none is left
void kfree(void* page);

// The list as it is, for the drivers of this kernel that believe they know better.
struct run* kfirst(void);
void kpush_unchecked(void* page);
