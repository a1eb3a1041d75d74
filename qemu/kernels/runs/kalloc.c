#include "kalloc.h"

#include "bytes.h"
#include "machine.h"

extern char _end[];  // linker script: the first address behind the image and its stack

u64 ram_top;

static struct {
    struct {
        u32 locked;
        const char* name;
    } lock;
    struct run* freelist;
} kmem = {.lock = {.name = "kmem"}};

static void acquire(void) {
    while (__sync_lock_test_and_set(&kmem.lock.locked, 1) != 0) {
    }
}

static void release(void) { __sync_lock_release(&kmem.lock.locked); }

void kinit(u64 ram_end) {
    ram_top = KERNEL_BASE + ram_end / PAGE * PAGE;
    for (u64 page = round_up((u64)_end, PAGE); page + PAGE <= ram_top; page += PAGE) {
        kfree((void*)page);
    }
}

void kfree(void* page) {
    if ((u64)page % PAGE != 0 || (u64)page < (u64)_end || (u64)page >= ram_top) {
        print("panic: kfree\n");
        stop();
    }
    kpush_unchecked(page);
}

void kpush_unchecked(void* page) {
    struct run* const run = page;
    memset(page, JUNK_FREE, PAGE);
    acquire();
    run->next = kmem.freelist;
    kmem.freelist = run;
    release();
}

void* kalloc(void) {
    acquire();
    struct run* const run = kmem.freelist;
    if (run != NULL) {
        kmem.freelist = run->next;
    }
    release();
    if (run != NULL) {
        memset(run, JUNK_NEW, PAGE);
    }
    return run;
}

struct run* kfirst(void) { return kmem.freelist; }
