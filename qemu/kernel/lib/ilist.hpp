#pragma once

#include "lib/integers.hpp"

namespace lib {

// An intrusive doubly linked list: T is a pointer to a node that has `next` and `prev`
// (docs/spec.md 6.1). The list owns no memory and allocates none.
template <typename T>
class ilist {
public:
    T first() const { return first_; }
    T last() const { return last_; }
    u64 count() const { return count_; }

    // In front of `position`; at the end when `position` is null.
    void insert_before(T position, T item) {
        const T before = position == nullptr ? last_ : position->prev;
        item->prev = before;
        item->next = position;
        (before == nullptr ? first_ : before->next) = item;
        (position == nullptr ? last_ : position->prev) = item;
        ++count_;
    }

    void remove(T item) {
        (item->prev == nullptr ? first_ : item->prev->next) = item->next;
        (item->next == nullptr ? last_ : item->next->prev) = item->prev;
        --count_;
    }

private:
    struct layout;

    T first_ = nullptr;
    T last_ = nullptr;
    u64 count_ = 0;
};

// docs/spec.md 10.
template <typename T>
struct ilist<T>::layout {
    static_assert(offsetof(ilist, first_) == 0);
    static_assert(offsetof(ilist, last_) == 8);
    static_assert(offsetof(ilist, count_) == 16);
    static_assert(sizeof(ilist) == 24);
};

}  // namespace lib
