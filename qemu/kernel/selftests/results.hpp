#pragma once

#include "lib/integers.hpp"

namespace coronel {

// A test says what is wrong, or null.
using self_test = const char* (*)();

// One line a test, and the sums (docs/spec.md 16.1).
class results {
public:
    void run(const char* name, self_test test);

    // The kernel is known not to do this, for the reason given; that it does is a failure.
    void expect_failure(const char* name, self_test test, const char* why);

    void print() const;
    bool has_failed() const { return failed_ != 0; }

private:
    u64 passed_ = 0;
    u64 failed_ = 0;
    u64 expected_failures_ = 0;
};

// One file each.
void test_heap(results& into);
void test_heap_damage(results& into);
void test_physical(results& into);
void test_virt(results& into);
void test_paging(results& into);
void test_memory_map(results& into);
void test_routing(results& into);
void test_library(results& into);

}  // namespace coronel
