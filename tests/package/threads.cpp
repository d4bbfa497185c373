// The program of the README with threads instead of fibers: what its compile time is held against.
#include <chrono>
#include <iostream>
#include <thread>
#include <vector>

int main() {
  std::vector<int> squares(1000);
  std::vector<std::jthread> threads;
  for (int& square : squares) {
    threads.emplace_back([&square, n = 7] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      square = n * n;
    });
  }
  threads.clear();
  int sum = 0;
  for (int square : squares) sum += square;
  std::cout << "1000 threads: " << sum << '\n';
}
