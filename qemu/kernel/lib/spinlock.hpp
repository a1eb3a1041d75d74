#pragma once

#include "cpu.hpp"
#include "lib/integers.hpp"

namespace lib {

// 1 while held, else 0 (docs/spec.md 8.2). Locks are taken in the order heap, virt, paging,
// physical, and only through a guard.
struct spinlock {
    u32 locked_ = 0;

    bool try_acquire() { return __atomic_exchange_n(&locked_, 1U, __ATOMIC_ACQUIRE) == 0; }

    void acquire() {
        while (!try_acquire()) {
            cpu::pause();
        }
    }

    void release() { __atomic_store_n(&locked_, 0U, __ATOMIC_RELEASE); }
};

static_assert(sizeof(spinlock) == 4);

// Holds a lock for one scope, with interrupts off: a handler on the same CPU that wanted the lock
// would wait for ever.
class spinlock_guard {
public:
    explicit spinlock_guard(spinlock& lock) : lock_{lock}, before_{cpu::interrupts_off()} {
        lock_.acquire();
    }
    ~spinlock_guard() {
        lock_.release();
        cpu::restore_interrupts(before_);
    }

    spinlock_guard(const spinlock_guard&) = delete;
    spinlock_guard& operator=(const spinlock_guard&) = delete;

private:
    spinlock& lock_;
    cpu::interrupts before_;
};

}  // namespace lib
