#pragma once

#include "types.h"

// A heap of chunks with boundary tags. A chunk's size counts its header and has flags in its low bits; a free
// chunk repeats its size behind itself, in the prev_size of the next one, and is linked into a bin. What a
// caller has reaches from `fd` to behind the next chunk's prev_size, which is nobody's while this one is used.

#ifndef INUSE
#define PREV_INUSE 1UL
#define INUSE 2UL
#endif
#define SIZE_MASK (~15UL)
#define ALIGNMENT 16UL
#define SMALLEST 32UL
#define BINS 24

struct chunk {
    u64 prev_size;
    u64 size;
    struct chunk* fd;
    struct chunk* bk;
};

struct bin {
    struct chunk* fd;
    struct chunk* bk;
};

struct arena {
    u32 lock;
    u8* start;
    u64 bytes;
    struct chunk* top;  // what was never given out yet; it is in no bin
    u64 used_bytes;     // sizes of the used chunks
    u64 used_chunks;
    struct bin bins[BINS];
};

extern struct arena g_arena;

void heap_begin(void* start, u64 bytes);
void* heap_malloc(u64 bytes);
void heap_free(void* data);

struct chunk* chunk_of(void* data);
struct chunk* chunk_behind(struct chunk* chunk);
u64 size_of(const struct chunk* chunk);
u64 data_bytes(const struct chunk* chunk);

// Taking a free chunk out of its bin: heap_malloc does, and who wants a certain chunk.
void bin_remove(struct chunk* chunk);
