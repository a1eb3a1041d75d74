#pragma once

#include "calls.hpp"

// Each check is a line, `PASS name` or `FAIL name`; the number of failures is the exit code.
class checks {
public:
    void expect(const char* name, bool holds) {
        print(holds ? "PASS " : "FAIL ");
        print(name);
        print("\n");
        failures_ += holds ? 0 : 1;
    }

    int result() const { return failures_; }

private:
    int failures_ = 0;
};

inline void fill(u8* bytes, u8 value, u64 count) {
    for (u64 index = 0; index < count; ++index) {
        bytes[index] = value;
    }
}

inline bool holds_only(const u8* bytes, u8 value, u64 count) {
    for (u64 index = 0; index < count; ++index) {
        if (bytes[index] != value) {
            return false;
        }
    }
    return true;
}

// What start.S calls; the result is the exit code.
extern "C" int run(const char* arguments);
