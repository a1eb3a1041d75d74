#include "truth.h"

#include "bytes.h"

struct truth g_truth;

static u64 kept(void) { return g_truth.length < sizeof g_truth.before ? g_truth.length : sizeof g_truth.before; }

void truth_begin(const char* bug, const void* victim, const void* culprit) {
    memset(&g_truth, 0, sizeof g_truth);
    g_truth.bug = bug;
    g_truth.victim = (u64)victim;
    g_truth.culprit = (u64)culprit;
}

void truth_bytes(const void* address, u64 length) {
    g_truth.address = (u64)address;
    g_truth.length = length;
    memcpy(g_truth.before, address, kept());
}

void truth_end(void) {
    if (g_truth.length != 0) {
        memcpy(g_truth.after, (const void*)g_truth.address, kept());
    }
}
