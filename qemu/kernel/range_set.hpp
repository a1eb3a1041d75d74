#pragma once

#include "address.hpp"
#include "lib/outcome.hpp"

namespace memory {

// Physical memory from start to end (exclusive).
struct range {
    paddr_t start;
    paddr_t end;

    constexpr bool is_empty() const { return start >= end; }
    constexpr bool contains(paddr_t address) const { return start <= address && address < end; }
    constexpr bool overlaps(range other) const { return start < other.end && other.start < end; }

    // The whole pages in it, and the pages it lies in.
    constexpr range inward() const {
        const paddr_t first{lib::up(start.value(), PAGE_SIZE)};
        return {first < start ? end : first, paddr_t{lib::down(end.value(), PAGE_SIZE)}};
    }
    constexpr range outward() const {
        return {paddr_t{lib::down(start.value(), PAGE_SIZE)},
                paddr_t{lib::up(end.value(), PAGE_SIZE)}};
    }
};

// Ranges in ascending order that neither overlap nor touch, in memory of its own.
template <u64 capacity>
class range_set {
public:
    constexpr u64 count() const { return count_; }
    constexpr const range& operator[](u64 index) const { return ranges_[index]; }
    constexpr const range* begin() const { return ranges_; }
    constexpr const range* end() const { return ranges_ + count_; }

    // Adds one range, merged with all it touches or overlaps. Fails when the set is full.
    constexpr outcome add(range added) {
        // Find: [first, last) are the ranges to merge with.
        u64 first = 0;
        while (first < count_ && ranges_[first].end < added.start) {
            ++first;
        }
        u64 last = first;
        while (last < count_ && ranges_[last].start <= added.end) {
            ++last;
        }
        if (first == last && count_ == capacity) {
            return outcome::failed;
        }

        // Commit.
        if (first == last) {
            for (u64 index = count_; index > first; --index) {
                ranges_[index] = ranges_[index - 1];
            }
            ranges_[first] = added;
            ++count_;
            return outcome::done;
        }
        const paddr_t lowest = ranges_[first].start;
        const paddr_t highest = ranges_[last - 1].end;
        ranges_[first] = {lowest < added.start ? lowest : added.start,
                          highest < added.end ? added.end : highest};
        for (u64 index = last; index < count_; ++index) {
            ranges_[index - (last - first - 1)] = ranges_[index];
        }
        count_ -= last - first - 1;
        return outcome::done;
    }

private:
    range ranges_[capacity] = {};
    u64 count_ = 0;
};

}  // namespace memory
