#pragma once

// Run the code of this kernel that has the bug of that name; 0 when there is none.
int run_bug(const char* name);
