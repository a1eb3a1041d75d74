#include "checks.hpp"

// Every system call, used as it is meant to be (docs/spec.md 15).

namespace {

constexpr u64 PAGE = 4096;
constexpr u64 HEAP_START = 0x8000000;
constexpr u64 HEAP_END = 0x40000000;
constexpr u64 MMAP_START = 0x40000000;
constexpr u64 MMAP_END = 0x70000000;

constinit u64 g_data = 42;
constinit u64 g_zero[1024] = {};

void check_start(checks& check, const char* arguments) {
    check.expect("arguments", lib::text{arguments} == "one two");
    check.expect("data and bss", g_data == 42 && g_zero[1023] == 0);
    check.expect("unknown call", call(11) == REFUSED && call(REFUSED) == REFUSED);
    check.expect("yield", call(system_call::yield) == 0);
    check.expect("write", write("a\tb\n", 4) == 4);
}

// While there is no block.
void check_brk(checks& check) {
    check.expect("brk start", brk(0) == HEAP_START);
    check.expect("brk up", brk(HEAP_START + 5000) == HEAP_START + 2 * PAGE);
    u8* const bytes = reinterpret_cast<u8*>(HEAP_START);
    check.expect("brk zeroed", holds_only(bytes, 0, 2 * PAGE));
    fill(bytes, 7, 2 * PAGE);
    check.expect("brk down", brk(HEAP_START + 1) == HEAP_START + PAGE);
    check.expect("brk keeps", holds_only(bytes, 7, PAGE));
    check.expect("brk up again", brk(HEAP_START + 2 * PAGE) == HEAP_START + 2 * PAGE &&
                                     holds_only(bytes + PAGE, 0, PAGE));
    check.expect("brk out of range", brk(HEAP_START - 1) == HEAP_START + 2 * PAGE &&
                                         brk(HEAP_END + 1) == HEAP_START + 2 * PAGE);
    check.expect("brk too much", brk(HEAP_END) == HEAP_START + 2 * PAGE);
}

void check_malloc(checks& check) {
    u8* const first = malloc(100);
    check.expect("malloc behind brk", address_of(first) == HEAP_START + 2 * PAGE + 48);
    check.expect("brk is fixed", brk(HEAP_START) == HEAP_START + 2 * PAGE + 65536 &&
                                     brk(0) == HEAP_START + 2 * PAGE + 65536);
    u8* const second = malloc(100);
    check.expect("malloc next", second == first + 112 + 48);
    fill(first, 1, 100);
    fill(second, 2, 100);
    check.expect("malloc 0", malloc(0) == nullptr);
    check.expect("malloc too large", malloc(u64{1} << 41) == nullptr && malloc(REFUSED) == nullptr);
    check.expect("malloc past the limit", malloc(HEAP_END - HEAP_START) == nullptr);
    check.expect("free", free(first) == 0);
    check.expect("double free", free(first) == REFUSED);
    check.expect("free nothing", free(nullptr) == 0);
    check.expect("first fit", malloc(112) == first);
    check.expect("neighbour untouched", holds_only(second, 2, 100));
    check.expect("free both", free(second) == 0 && free(first) == 0);
    u8* const large = malloc(200000);
    check.expect("expansion", large == first);
    fill(large, 3, 200000);
    check.expect("large free", free(large) == 0);
}

void check_realloc(checks& check) {
    u8* const block = realloc(nullptr, 64);
    u8* const behind = malloc(64);
    fill(block, 5, 64);
    u8* const moved = realloc(block, 5000);
    check.expect("realloc moves", moved != block && holds_only(moved, 5, 64));
    fill(moved, 6, 5000);
    check.expect("realloc shrinks", realloc(moved, 80) == moved && holds_only(moved, 6, 80));
    check.expect("realloc grows", realloc(moved, 4000) == moved && holds_only(moved, 6, 80));
    check.expect("realloc too large", realloc(moved, u64{1} << 41) == nullptr);
    check.expect("realloc keeps", holds_only(moved, 6, 80));
    check.expect("realloc to 0", realloc(moved, 0) == nullptr && free(moved) == REFUSED);
    check.expect("realloc of nothing allocated", realloc(behind + 8, 10) == nullptr);
    free(behind);
}

void check_calloc(checks& check) {
    u8* const dirty = malloc(1000);
    fill(dirty, 9, 1000);
    free(dirty);
    u8* const clean = calloc(10, 100);
    check.expect("calloc", clean == dirty && holds_only(clean, 0, 1000));
    check.expect("calloc wraps", calloc(u64{1} << 33, u64{1} << 33) == nullptr);
    check.expect("calloc 0", calloc(0, 10) == nullptr && calloc(10, 0) == nullptr);
    free(clean);
}

void check_mmap(checks& check) {
    u8* const first = mmap(0, 3 * PAGE, READ | WRITE);
    check.expect("mmap", address_of(first) == MMAP_START && holds_only(first, 0, 3 * PAGE));
    fill(first, 8, 3 * PAGE);
    u8* const wanted = mmap(0x50000000, 1, READ | WRITE);
    check.expect("mmap at", address_of(wanted) == 0x50000000);
    check.expect("mmap taken", mmap(0x50000000, PAGE, READ) == nullptr);
    check.expect("mmap not aligned", mmap(0x50001001, PAGE, READ) == nullptr);
    check.expect("mmap outside", mmap(0x400000, PAGE, READ) == nullptr &&
                                     mmap(MMAP_END, PAGE, READ) == nullptr &&
                                     mmap(MMAP_END - PAGE, 2 * PAGE, READ) == nullptr);
    check.expect("mmap execute", mmap(0, PAGE, READ | EXECUTE) == nullptr);
    check.expect("mmap unreadable", mmap(0, PAGE, 0) == nullptr && mmap(0, PAGE, WRITE) == nullptr);
    check.expect("mmap of nothing", mmap(0, 0, READ) == nullptr);
    check.expect("mmap too large", mmap(0, MMAP_END - MMAP_START, READ) == nullptr &&
                                       mmap(0, REFUSED, READ) == nullptr);
    check.expect("mmap out of memory", mmap(0, MMAP_END - 0x50001000, READ) == nullptr);
    const u8* const constant = mmap(0, PAGE, READ);
    check.expect("mmap read only", constant == first + 3 * PAGE && constant[7] == 0);

    check.expect("munmap a part", munmap(first + PAGE, PAGE) == 0);
    check.expect("munmap twice", munmap(first + PAGE, PAGE) == REFUSED);
    check.expect("munmap over a hole", munmap(first, 3 * PAGE) == REFUSED);
    check.expect("munmap not aligned", munmap(first + 1, PAGE) == REFUSED &&
                                           munmap(first, 1) == REFUSED &&
                                           munmap(first, 0) == REFUSED);
    check.expect("the rest stays", holds_only(first, 8, PAGE) &&
                                       holds_only(first + 2 * PAGE, 8, PAGE));
    check.expect("the hole is used", mmap(0, PAGE, READ) == first + PAGE &&
                                         holds_only(first + PAGE, 0, PAGE));
    check.expect("munmap all", munmap(first, 4 * PAGE) == 0 && munmap(wanted, PAGE) == 0);
    check.expect("munmap elsewhere", munmap(&g_data, PAGE) == REFUSED &&
                                         munmap(reinterpret_cast<u8*>(0x7fff0000), PAGE) == REFUSED);
}

}  // namespace

int run(const char* arguments) {
    checks check;
    check_start(check, arguments);
    check_brk(check);
    check_malloc(check);
    check_realloc(check);
    check_calloc(check);
    check_mmap(check);
    return check.result();
}
