#include "heap.h"

struct arena g_arena;

// A bin's head is used as a chunk of which only the links exist.
static struct chunk* head_of(struct bin* bin) { return (struct chunk*)((u8*)bin - __builtin_offsetof(struct chunk, fd)); }

static struct bin* bin_for(u64 size) {
    u64 index = size / ALIGNMENT - SMALLEST / ALIGNMENT;  // one size a bin, then powers of two
    if (index >= 16) {
        index = 16 + (u64)(63 - __builtin_clzl(size)) - 8;
    }
    return &g_arena.bins[index < BINS ? index : BINS - 1];
}

static struct chunk* at(const void* base, u64 offset) { return (struct chunk*)((u64)base + offset); }

u64 size_of(const struct chunk* chunk) { return chunk->size & SIZE_MASK; }

struct chunk* chunk_of(void* data) { return at(data, -(u64)__builtin_offsetof(struct chunk, fd)); }

struct chunk* chunk_behind(struct chunk* chunk) { return at(chunk, size_of(chunk)); }

u64 data_bytes(const struct chunk* chunk) { return size_of(chunk) - sizeof chunk->size; }

static void acquire(void) {
    while (__sync_lock_test_and_set(&g_arena.lock, 1) != 0) {
    }
}

static void release(void) { __sync_lock_release(&g_arena.lock); }

void heap_begin(void* start, u64 bytes) {
    g_arena.start = start;
    g_arena.bytes = bytes;
    g_arena.top = start;
    g_arena.top->size = bytes | PREV_INUSE;
    for (u64 index = 0; index < BINS; ++index) {
        g_arena.bins[index].fd = g_arena.bins[index].bk = head_of(&g_arena.bins[index]);
    }
}

static void bin_add(struct chunk* chunk) {
    struct chunk* const head = head_of(bin_for(size_of(chunk)));
    chunk->fd = head->fd;
    chunk->bk = head;
    head->fd->bk = chunk;
    head->fd = chunk;
}

void bin_remove(struct chunk* chunk) {
    chunk->fd->bk = chunk->bk;
    chunk->bk->fd = chunk->fd;
}

static void* give(struct chunk* chunk) {
    chunk->size |= INUSE;
    chunk_behind(chunk)->size |= PREV_INUSE;
    g_arena.used_bytes += size_of(chunk);
    ++g_arena.used_chunks;
    release();
    return &chunk->fd;
}

static void set_free(struct chunk* chunk, u64 size) {
    chunk->size = size | PREV_INUSE;
    chunk_behind(chunk)->prev_size = size;
    chunk_behind(chunk)->size &= ~PREV_INUSE;
    bin_add(chunk);
}

static struct chunk* first_fit(u64 size) {
    for (struct bin* bin = bin_for(size); bin < &g_arena.bins[BINS]; ++bin) {
        for (struct chunk* chunk = bin->fd; chunk != head_of(bin); chunk = chunk->fd) {
            if (size_of(chunk) >= size) {
                return chunk;
            }
        }
    }
    return NULL;
}

void* heap_malloc(u64 bytes) {
    u64 size = (bytes + sizeof(u64) + ALIGNMENT - 1) & SIZE_MASK;
    size = size < SMALLEST ? SMALLEST : size;
    acquire();
    struct chunk* const found = first_fit(size);
    if (found != NULL) {
        const u64 rest = size_of(found) - size;
        bin_remove(found);
        if (rest >= SMALLEST) {
            found->size = size | PREV_INUSE;
            set_free(chunk_behind(found), rest);
        }
        return give(found);
    }
    struct chunk* const top = g_arena.top;
    if (size_of(top) < size + SMALLEST) {
        release();
        return NULL;
    }
    const u64 rest = size_of(top) - size;
    top->size = size | (top->size & PREV_INUSE);
    g_arena.top = chunk_behind(top);
    g_arena.top->size = rest;
    return give(top);
}

void heap_free(void* data) {
    struct chunk* chunk = chunk_of(data);
    acquire();
    u64 size = size_of(chunk);
    struct chunk* const next = chunk_behind(chunk);
    g_arena.used_bytes -= size;
    --g_arena.used_chunks;
    if ((chunk->size & PREV_INUSE) == 0) {
        size += chunk->prev_size;
        chunk = at(chunk, -chunk->prev_size);
        bin_remove(chunk);
    }
    if (next == g_arena.top) {
        chunk->size = (size + size_of(next)) | PREV_INUSE;
        g_arena.top = chunk;
    } else {
        if ((next->size & INUSE) == 0) {
            bin_remove(next);
            size += size_of(next);
        }
        set_free(chunk, size);
    }
    release();
}
