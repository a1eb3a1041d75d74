#include "exceptions.hpp"

#include "cpu.hpp"
#include "segments.hpp"
#include "serial.hpp"

// vectors.S: the stubs, and what they call.
extern "C" const u64 exception_vectors[segments::EXCEPTIONS];
extern "C" [[noreturn]] void report_exception(const exceptions::frame& frame);

void report_exception(const exceptions::frame& frame) {
    serial::line("exception ", frame.vector, " error ", serial::hex{frame.error}, " cr2 ",
                 serial::hex{cpu::read_cr2()}, " rip ", serial::hex{frame.rip});
    cpu::stop();
}

namespace exceptions {

void initialize() { segments::initialize(exception_vectors); }

}  // namespace exceptions
