#pragma once

#include "lib/integers.hpp"

namespace lib {

// An intrusive doubly linked list: T is a pointer to a node with `next` and `prev`. Nothing is ever
// taken out of it, and nobody counts.
template <typename T>
class ilist {
public:
    T head() const { return head_; }

    // Behind `position`; in front of all when that is null.
    void insert_after(T position, T item) {
        item->prev = position;
        item->next = position == nullptr ? head_ : position->next;
        (item->next == nullptr ? tail_ : item->next->prev) = item;
        (position == nullptr ? head_ : position->next) = item;
    }

private:
    T head_ = nullptr;
    T tail_ = nullptr;
};

}  // namespace lib
