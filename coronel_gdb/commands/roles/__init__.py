"""What an address can be, one module a kind of answer; `whatis` asks them all."""
