#include "checks.hpp"

// Writes its letter once a turn, as often as the digit behind it says: the order shows whose turn
// it was. Its last line stays unfinished.

int run(const char* arguments) {
    for (char left = arguments[1]; left > '0'; --left) {
        write(arguments, 1);
        yield();
    }
    return arguments[0];
}
