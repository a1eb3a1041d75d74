#include "bytes.h"
#include "heap.h"
#include "kernel.h"
#include "machine.h"
#include "truth.h"

static int is_behind(char* data, char* before) {
    return before != NULL && chunk_of(data) == chunk_behind(chunk_of(before));
}

// Three used neighbours of that many bytes. What the bins give first stays with this driver.
static void neighbours(char* data[3], u64 bytes) {
    data[0] = data[1] = data[2] = NULL;
    do {
        data[0] = data[1];
        data[1] = data[2];
        data[2] = heap_malloc(bytes);
        if (data[2] == NULL) {
            print("neighbours: the heap is full\n");
            stop();
        }
    } while (!is_behind(data[2], data[1]) || !is_behind(data[1], data[0]));
}

static void copy_name(char* to, const char* name, u64 length) {
    for (u64 at = 0; at < length; ++at) {
        to[at] = name[at];
    }
    to[length] = 0;
}

// A name that just fits, and its zero, which does not: the low byte of the next size is cleared.
static void off_by_one(void) {
    char* data[3];
    neighbours(data, 56);
    const u64 length = data_bytes(chunk_of(data[0]));
    char name[64];
    memset(name, 'n', sizeof name);
    truth_begin("off_by_one", chunk_of(data[1]), chunk_of(data[0]));
    truth_bytes(data[0] + length, 1);
    copy_name(data[0], name, length);
}

// A message that is longer than its buffer, over the header of the used chunk behind.
static void overflow(void) {
    static const char text[] = "the message goes on behind the end of the buffer that was made for it, far";
    char* data[3];
    neighbours(data, 56);
    const u64 length = data_bytes(chunk_of(data[0]));
    truth_begin("overflow", chunk_of(data[1]), chunk_of(data[0]));
    truth_bytes(data[0] + length, sizeof text - 1 - length);
    memcpy(data[0], text, sizeof text - 1);
}

// The same, and the chunk behind is free: its links go with its size.
static void free_overflow(void) {
    static const char text[] = "the message goes on behind the end of the buffer that was made for it, far into";
    char* data[3];
    neighbours(data, 56);
    heap_free(data[1]);
    const u64 length = data_bytes(chunk_of(data[0]));
    truth_begin("free_overflow", chunk_of(data[1]), chunk_of(data[0]));
    truth_bytes(data[0] + length, sizeof text - 1 - length);
    memcpy(data[0], text, sizeof text - 1);
}

// A request that was freed is marked as done: its first words are links now.
struct request {
    u64 state;
    u64 sector;
    u8 data[40];
};

static void smashed_links(void) {
    char* data[3];
    neighbours(data, sizeof(struct request));
    struct request* const request = (struct request*)(void*)data[1];
    heap_free(request);
    truth_begin("smashed_links", chunk_of(request), chunk_of(request));
    truth_bytes(request, 16);
    request->state = 2;  // the bug: it was freed
    request->sector = 4711;
}

// Two owners of one buffer, both free it; nobody has taken it in between.
static void double_free(void) {
    char* data[3];
    neighbours(data, 56);
    heap_free(data[1]);
    truth_begin("double_free", chunk_of(data[1]), chunk_of(data[1]));
    truth_bytes(data[1], 16);
    heap_free(data[1]);
}

// Both free it, the second one when the next owner has it already.
static void second_owner(void) {
    char* data[3];
    neighbours(data, 56);
    heap_free(data[1]);
    heap_free(data[1]);
    char* const owner = heap_malloc(56);  // gets it, and its bin still has it
    truth_begin("second_owner", chunk_of(owner), chunk_of(data[1]));
    truth_bytes(owner, 0);
}

// The last word of a buffer that was freed: the size of the free chunk is repeated there.
static void stale_tail(void) {
    char* data[3];
    neighbours(data, 56);
    u64* const tail = (u64*)(void*)(data[1] + data_bytes(chunk_of(data[1])) - sizeof(u64));
    *tail = 1;
    heap_free(data[1]);
    truth_begin("stale_tail", chunk_of(data[1]), chunk_of(data[1]));
    truth_bytes(tail, sizeof *tail);
    *tail += 7;  // the bug: it was freed; a count of uses, say
}

// A free chunk is reserved for a driver, which then finds it too small and forgets to give it back.
static void not_in_a_bin(void) {
    char* data[3];
    neighbours(data, 120);
    heap_free(data[1]);
    struct chunk* const chunk = chunk_of(data[1]);
    truth_begin("not_in_a_bin", chunk, chunk);
    truth_bytes(&chunk->fd, 0);
    bin_remove(chunk);  // the bug: the path of the error lacks the way back
}

const struct bug BUGS[] = {
    {"off_by_one", off_by_one},
    {"overflow", overflow},
    {"free_overflow", free_overflow},
    {"smashed_links", smashed_links},
    {"double_free", double_free},
    {"second_owner", second_owner},
    {"stale_tail", stale_tail},
    {"not_in_a_bin", not_in_a_bin},
    {NULL, NULL},
};
