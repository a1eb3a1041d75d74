#pragma once

#include "lib/integers.hpp"

namespace lib {

// Some characters in somebody else's memory; no terminating zero belongs to them.
class text {
public:
    constexpr text() = default;
    constexpr text(const char* zero_terminated) : first_{zero_terminated} {
        while (first_[length_] != 0) {
            ++length_;
        }
    }
    constexpr text(const char* first, u64 length) : first_{first}, length_{length} {}

    constexpr u64 length() const { return length_; }
    constexpr bool is_empty() const { return length_ == 0; }
    constexpr char operator[](u64 index) const { return first_[index]; }

    constexpr text from(u64 index) const { return {first_ + index, length_ - index}; }
    constexpr text up_to(u64 index) const { return {first_, index}; }

    // The index of the first `wanted`, or the length when there is none.
    constexpr u64 find(char wanted) const {
        u64 index = 0;
        while (index < length_ && first_[index] != wanted) {
            ++index;
        }
        return index;
    }

    constexpr bool starts_with(text prefix) const {
        return prefix.length_ <= length_ && up_to(prefix.length_) == prefix;
    }

    friend constexpr bool operator==(text left, text right) {
        if (left.length_ != right.length_) {
            return false;
        }
        for (u64 index = 0; index < left.length_; ++index) {
            if (left[index] != right[index]) {
                return false;
            }
        }
        return true;
    }

private:
    const char* first_ = nullptr;
    u64 length_ = 0;
};

// Cuts the first piece off `rest`, up to `separator`, which goes as well.
constexpr text take_piece(text& rest, char separator) {
    const u64 end = rest.find(separator);
    const text piece = rest.up_to(end);
    rest = rest.from(end < rest.length() ? end + 1 : end);
    return piece;
}

}  // namespace lib
