#include "selftests/results.hpp"

#include "serial.hpp"

namespace coronel {

void results::run(const char* name, self_test test) {
    const char* const what = test();
    if (what == nullptr) {
        ++passed_;
        return serial::line("PASS ", name);
    }
    ++failed_;
    serial::line("FAIL ", name, ": ", what);
}

void results::expect_failure(const char* name, self_test test, const char* why) {
    if (test() != nullptr) {
        ++expected_failures_;
        return serial::line("XFAIL ", name, ": ", why);
    }
    ++failed_;
    serial::line("FAIL ", name, ": passes, and was not expected to");
}

void results::print() const {
    serial::line("selftest ", passed_, " passed, ", failed_, " failed, ", expected_failures_,
                 " expected failures");
}

}  // namespace coronel
