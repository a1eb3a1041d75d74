#include "fault_stop.hpp"

#include "cpu.hpp"

void coronel_fault_stop(exceptions::frame* frame) {
    asm volatile("" : : "r"(frame) : "memory");
    cpu::stop();
}
