#pragma once

// What became of an operation that has nothing else to give back.
enum class outcome { failed, done };
