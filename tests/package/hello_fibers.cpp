// The smallest program of fibers: its compile time is held against that of hello_threads.cpp.
#include <coir/coir.hpp>
#include <iostream>

int main() {
  coir::spawn([] { std::cout << "hello\n"; }).join();
}
