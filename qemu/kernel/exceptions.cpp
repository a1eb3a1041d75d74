#include "exceptions.hpp"

#include "backtrace.hpp"
#include "cpu.hpp"
#include "fault_stop.hpp"
#include "segments.hpp"
#include "serial.hpp"

// vectors.S: the stubs, and what they call.
extern "C" const u64 exception_vectors[segments::EXCEPTIONS];
extern "C" [[noreturn]] void report_exception(exceptions::frame* frame);

void report_exception(exceptions::frame* frame) {
    serial::line("exception ", frame->vector, " error ", serial::hex{frame->error}, " cr2 ",
                 serial::hex{cpu::read_cr2()}, " rip ", serial::hex{frame->rip});
    backtrace::print(frame->rbp);
    coronel_fault_stop(frame);
}

namespace exceptions {

void initialize(u64 cpu) { segments::initialize(exception_vectors, cpu); }

}  // namespace exceptions
