#pragma once

#include "lib/integers.hpp"
#include "lib/text.hpp"
#include "user/system_call_numbers.hpp"

// The system calls (docs/spec.md 15.1).

inline constexpr u64 REFUSED = ~u64{0};

inline constexpr u64 READ = 1;
inline constexpr u64 WRITE = 2;
inline constexpr u64 EXECUTE = 4;

inline u64 call(u64 number, u64 first = 0, u64 second = 0, u64 third = 0) {
    u64 result;
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(number), "D"(first), "S"(second), "d"(third)
                 : "rcx", "r11", "memory");
    return result;
}

inline u64 call(system_call number, u64 first = 0, u64 second = 0, u64 third = 0) {
    return call(static_cast<u64>(number), first, second, third);
}

inline u64 address_of(const volatile void* pointer) { return reinterpret_cast<u64>(pointer); }

inline void yield() { call(system_call::yield); }
inline void pause() { call(system_call::pause); }
inline u64 write(const void* bytes, u64 length) {
    return call(system_call::write, address_of(bytes), length);
}
inline u8* malloc(u64 size) { return reinterpret_cast<u8*>(call(system_call::malloc, size)); }
inline u64 free(const void* data) { return call(system_call::free, address_of(data)); }
inline u8* realloc(const void* data, u64 size) {
    return reinterpret_cast<u8*>(call(system_call::realloc, address_of(data), size));
}
inline u8* calloc(u64 count, u64 size) {
    return reinterpret_cast<u8*>(call(system_call::calloc, count, size));
}
inline u64 brk(u64 end) { return call(system_call::brk, end); }
inline u8* mmap(u64 start, u64 length, u64 protection) {
    return reinterpret_cast<u8*>(call(system_call::mmap, start, length, protection));
}
inline u64 munmap(const void* start, u64 length) {
    return call(system_call::munmap, address_of(start), length);
}

inline void print(const char* text) { write(text, lib::text{text}.length()); }
