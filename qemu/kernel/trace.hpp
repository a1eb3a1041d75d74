#pragma once

#include "cpu.hpp"
#include "cpu_local.hpp"
#include "lib/align.hpp"
#include "lib/outcome.hpp"
#include "lib/spinlock.hpp"

// The trace: what the allocators did last, in a ring that a debugger reads (docs/spec.md 12).
namespace coronel {

// The public operations; docs/spec.md 12.3 says what their arguments are.
enum class operation : u32 {
    physical_alloc = 1,
    physical_free,
    virt_alloc,
    virt_alloc_at,
    virt_free,
    paging_map,
    paging_unmap,
    heap_malloc,
    heap_free,
    heap_realloc,
    heap_calloc,
    heap_aligned_alloc,
    placement_kalloc,
    process_create,
    process_destroy,
    sys_malloc,
    sys_free,
    sys_realloc,
    sys_calloc,
    sys_brk,
    sys_mmap,
    sys_munmap,
    stack_growth,
};

inline constexpr u64 MAX_ARGUMENTS = 3;

struct trace_record {
    u64 sequence;  // from 0, never reused
    operation what;
    u16 cpu;
    u16 depth;  // operations under way around this one on its CPU
    u64 arguments[MAX_ARGUMENTS];
    u64 result;
    u64 caller;  // where the operation returns to, outside the allocator's interface
    u64 space;   // CR3
};

class trace {
public:
    // The ring is zeroed and the trace's own; a capacity of 0 switches it off.
    void start(trace_record* ring, u64 capacity);

    bool is_on() const { return capacity_ != 0; }

    // The place of the next record, which is this caller's until commit().
    trace_record& begin() {
        lock_.acquire();
        return ring_[slot(next_)];
    }
    u64 next() const { return next_; }
    void commit() {
        next_ = next_ + 1;
        lock_.release();
    }

    // Records nothing for one scope in which it was never asked to begin an operation.
    class pause {
    public:
        explicit pause(trace& paused) : paused_{paused}, capacity_{paused.capacity_} {
            paused_.capacity_ = 0;
        }
        ~pause() { paused_.capacity_ = capacity_; }

        pause(const pause&) = delete;
        pause& operator=(const pause&) = delete;

    private:
        trace& paused_;
        u64 capacity_;
    };

private:
    struct layout;

    // A division costs more than all the rest of a record.
    u64 slot(u64 number) const {
        return lib::is_power_of_two(capacity_) ? number & (capacity_ - 1) : number % capacity_;
    }

    trace_record* ring_ = nullptr;
    u64 capacity_ = 0;
    u64 next_ = 0;
    lib::spinlock lock_;
};

// docs/spec.md 12.1.
static_assert(sizeof(trace_record) == 64);
static_assert(offsetof(trace_record, sequence) == 0);
static_assert(offsetof(trace_record, what) == 8);
static_assert(offsetof(trace_record, cpu) == 12);
static_assert(offsetof(trace_record, depth) == 14);
static_assert(offsetof(trace_record, arguments) == 16);
static_assert(offsetof(trace_record, result) == 40);
static_assert(offsetof(trace_record, caller) == 48);
static_assert(offsetof(trace_record, space) == 56);

struct trace::layout {
    static_assert(sizeof(trace) == 32);
    static_assert(offsetof(trace, ring_) == 0);
    static_assert(offsetof(trace, capacity_) == 8);
    static_assert(offsetof(trace, next_) == 16);
    static_assert(offsetof(trace, lock_) == 24);
};

// What is under way on one CPU. Interrupts are off during every operation, so that nobody else on
// that CPU comes between.
struct trace_state {
    u64 depth = 0;
    u64 entrance = 0;  // return address of an outer function, for the next operation
};

extern trace_state g_trace_states[MAX_CPUS];

}  // namespace coronel

extern coronel::trace g_trace;

namespace coronel {

// A function of an allocator's interface that only passes on to an operation: the operation's
// record names the caller of this one. To be made in that function itself.
class traced_entrance {
public:
    [[gnu::always_inline]] traced_entrance() {
        g_trace_states[cpu::index()].entrance =
            reinterpret_cast<u64>(__builtin_return_address(0));
    }
    ~traced_entrance() { g_trace_states[cpu::index()].entrance = 0; }

    traced_entrance(const traced_entrance&) = delete;
    traced_entrance& operator=(const traced_entrance&) = delete;
};

// One operation, from here to the end of the scope: made in the public function itself, whose
// return address it takes, and behind its lock, so that the records lie in the order in which
// things happened. `result()` notes what is returned; without it that is 0.
class traced_operation {
public:
    template <typename... Arguments>
    [[gnu::always_inline]] explicit traced_operation(operation what, Arguments... arguments)
        : what_{what}, arguments_{word(arguments)...} {
        static_assert(sizeof...(arguments) <= MAX_ARGUMENTS);
        if (!g_trace.is_on()) {
            return;
        }
        trace_state& state = g_trace_states[cpu::index()];
        caller_ = state.entrance != 0 ? state.entrance
                                      : reinterpret_cast<u64>(__builtin_return_address(0));
        state.entrance = 0;
        ++state.depth;
    }

    [[gnu::always_inline]] ~traced_operation() {
        if (!g_trace.is_on()) {
            return;
        }
        const u64 cpu = cpu::index();
        const u64 depth = --g_trace_states[cpu].depth;
        trace_record& record = g_trace.begin();
        record = {g_trace.next(),
                  what_,
                  static_cast<u16>(cpu),
                  static_cast<u16>(depth),
                  {arguments_[0], arguments_[1], arguments_[2]},
                  result_,
                  caller_,
                  cpu::page_directory().value()};
        g_trace.commit();
    }

    traced_operation(const traced_operation&) = delete;
    traced_operation& operator=(const traced_operation&) = delete;

    template <typename T>
    [[gnu::always_inline]] T result(T value) {
        result_ = word(value);
        return value;
    }

private:
    static constexpr u64 word(u64 value) { return value; }
    static constexpr u64 word(paddr_t value) { return value.value(); }
    static constexpr u64 word(vaddr_t value) { return value.value(); }
    static constexpr u64 word(outcome value) { return value == outcome::done ? 1 : 0; }
    static u64 word(const volatile void* value) { return vaddr_t{value}.value(); }

    operation what_;
    u64 arguments_[MAX_ARGUMENTS];
    u64 result_ = 0;
    u64 caller_ = 0;
};

}  // namespace coronel
