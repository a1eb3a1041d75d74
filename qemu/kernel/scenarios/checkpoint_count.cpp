#include "scenarios/checkpoint_count.hpp"

#include "checkpoint.hpp"
#include "serial.hpp"

namespace coronel {

namespace {

constinit u64 g_passed = 0;

}  // namespace

void pass_checkpoint(const char* name) {
    ++g_passed;
    serial::line("checkpoint ", g_passed, " ", name);
    coronel_checkpoint(g_passed, name);
}

}  // namespace coronel
