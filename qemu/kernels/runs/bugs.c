#include "bytes.h"
#include "kalloc.h"
#include "kernel.h"
#include "machine.h"
#include "truth.h"

// A pipe in a page: both ends close it, and each believes that it is the last one.
struct pipe {
    int readers;
    int writers;
    char data[512];
};

static void pipe_close(struct pipe* pipe, int is_writer) {
    if (is_writer) {
        pipe->writers = 0;
    } else {
        pipe->readers = 0;
    }
    if (pipe->readers == 0 || pipe->writers == 0) {  // the bug: it should say &&
        kfree(pipe);
    }
}

static void double_free(void) {
    struct pipe* const pipe = kalloc();
    void* const other = kalloc();
    pipe->readers = pipe->writers = 1;
    pipe_close(pipe, 0);
    truth_begin("double_free", pipe, pipe);
    truth_bytes(pipe, sizeof(struct run));  // the link to what was free before
    kfree(other);
    pipe_close(pipe, 1);
}

// A log in a page, that goes on to write its lines after the log was closed and its page freed.
struct log {
    u64 used;
    char text[PAGE - sizeof(u64)];
};

static void log_line(struct log* log, u64 at, const char* line) { memcpy(log->text + at, line, length_of(line)); }

static void use_after_free(void) {
    static const char line[] = "disk: interrupt came late";
    struct log* const log = kalloc();
    log->used = 0;
    log_line(log, 0, "disk: started");
    kfree(log);
    truth_begin("use_after_free", log, log);
    truth_bytes(log->text + 1000, sizeof line - 1);
    log_line(log, 1000, line);  // the bug: the log was closed
}

// A counter in the first bytes of a freed page: there its link lies now.
static void stale_counter(void) {
    struct log* const log = kalloc();
    log->used = 0;
    kfree(log);
    truth_begin("stale_counter", log, log);
    truth_bytes(&log->used, sizeof log->used);
    log->used = 12345;  // the bug: it was freed
}

// A line is put together in a page that is too small for it, and the page behind is free.
static void overflow(void) {
    static const char line[] = "the quick kernel formats a longer line than its page can hold ";
    char* above = kalloc();
    char* buffer = kalloc();
    while (buffer != NULL && buffer + PAGE != above) {  // what lies between stays with this driver
        above = buffer;
        buffer = kalloc();
    }
    if (buffer == NULL) {
        print("overflow: no neighbours\n");
        return;
    }
    kfree(above);
    truth_begin("overflow", above, buffer);
    truth_bytes(above, 40);
    for (u64 at = 0; at < PAGE + 40; ++at) {  // the bug: 40 more than a page
        buffer[at] = line[at % (sizeof line - 1)];
    }
}

// RAM that was plugged in, by a table that promises more than there is.
static void outside_ram(void) {
    void* const promised = (void*)(ram_top + 64 * PAGE);
    struct run* const before = kfirst();
    kpush_unchecked(promised);  // the bug: nobody asked whether there is RAM
    truth_begin("outside_ram", promised, before);
    truth_bytes(&ram_top, 0);
}

const struct bug BUGS[] = {
    {"double_free", double_free},
    {"use_after_free", use_after_free},
    {"stale_counter", stale_counter},
    {"overflow", overflow},
    {"outside_ram", outside_ram},
    {NULL, NULL},
};
