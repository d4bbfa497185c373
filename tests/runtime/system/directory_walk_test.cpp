// walk_directory: trees, links, errors on the way.
#include <coir/directory_walk.hpp>

#include "tests/runtime/system/support.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include <sys/stat.h>

namespace coir::test {
namespace {

namespace fs = std::filesystem;

class directory_walk_test : public runtime_test {
 protected:
  void SetUp() override {
    runtime_test::SetUp();
    fs::create_directories(folder_ / "a/b/c");
    fs::create_directories(folder_ / "d");
    for (const char* name : {"top", "a/one", "a/b/two", "a/b/c/three"})
      std::ofstream(folder_ / name) << name;
  }
  /// The paths of a walk below the folder.
  std::vector<std::string> walked(const walk_options& how = {}) {
    std::vector<std::string> paths;
    for (const directory_item& item : walk_directory(folder_.path(), how)) {
      EXPECT_FALSE(item.error) << item.path;
      paths.push_back(item.path.substr(folder_.path().size() + 1));
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }
  temporary_directory folder_;
};

TEST_F(directory_walk_test, everything_below_the_root_is_met_once) {
  EXPECT_EQ(walked(), (std::vector<std::string>{"a", "a/b", "a/b/c", "a/b/c/three", "a/b/two",
                                                "a/one", "d", "top"}));
}

TEST_F(directory_walk_test, items_say_what_they_are_and_how_deep_they_lie) {
  ASSERT_EQ(::mkfifo((folder_ / "d/fifo").c_str(), 0600), 0);
  fs::create_symlink("nowhere", folder_ / "d/link");
  std::set<std::string> seen;
  for (const directory_item& item : walk_directory(folder_.path())) {
    seen.insert(item.name + ' ' + std::to_string(static_cast<int>(item.kind)) + ' ' +
                std::to_string(item.depth));
  }
  const auto said = [](const char* name, item_kind kind, int depth) {
    return std::string(name) + ' ' + std::to_string(static_cast<int>(kind)) + ' ' +
           std::to_string(depth);
  };
  EXPECT_TRUE(seen.count(said("top", item_kind::regular, 0)));
  EXPECT_TRUE(seen.count(said("a", item_kind::directory, 0)));
  EXPECT_TRUE(seen.count(said("three", item_kind::regular, 3)));
  EXPECT_TRUE(seen.count(said("fifo", item_kind::fifo, 1)));
  EXPECT_TRUE(seen.count(said("link", item_kind::symlink, 1)));
}

TEST_F(directory_walk_test, the_items_of_a_directory_come_before_those_below_it) {
  std::vector<std::size_t> depths;
  for (const directory_item& item : walk_directory(folder_ / "a")) depths.push_back(item.depth);
  EXPECT_EQ(depths, (std::vector<std::size_t>{0, 0, 1, 1, 2}));
}

TEST_F(directory_walk_test, links_are_met_but_not_followed) {
  fs::create_directory_symlink("..", folder_ / "a/up");
  EXPECT_EQ(walked().size(), 9u);
}

TEST_F(directory_walk_test, links_that_are_followed_lead_into_each_directory_once) {
  fs::create_directory_symlink("..", folder_ / "a/up");
  fs::create_directory_symlink("../a/b", folder_ / "d/again");
  fs::create_symlink("loop", folder_ / "d/loop");
  fs::create_symlink("../top", folder_ / "d/file");
  const std::vector<std::string> paths = walked({.follow_links = true});
  EXPECT_EQ(std::count_if(paths.begin(), paths.end(),
                          [](const std::string& path) { return path.ends_with("/three"); }),
            1);
  EXPECT_EQ(paths.size(), 12u);
}

TEST_F(directory_walk_test, a_directory_that_cannot_be_read_is_reported_and_the_walk_goes_on) {
  int errors = 0;
  std::vector<std::string> after;
  for (const directory_item& item : walk_directory(folder_.path())) {
    if (item.name == "d" && !item.error) fs::remove(item.path);  // before it is entered
    if (item.error) {
      ++errors;
      EXPECT_EQ(item.path, folder_ / "d");
      EXPECT_EQ(item.name, "d");
      EXPECT_EQ(item.depth, 0u);
      EXPECT_EQ(item.error, std::errc::no_such_file_or_directory);
    } else {
      after.push_back(item.name);
    }
  }
  EXPECT_EQ(errors, 1);
  EXPECT_EQ(after.size(), 8u);
}

TEST_F(directory_walk_test, a_directory_can_be_skipped_and_the_depth_limited) {
  std::vector<std::string> names;
  directory_walk walk(folder_.path());
  while (const directory_item* item = walk.next()) {
    names.push_back(item->name);
    if (item->name == "b") walk.skip();
    if (item->name == "one") walk.skip();  // no directory: nothing to skip
  }
  EXPECT_EQ(names.size(), 5u);
  EXPECT_EQ(walk.next(), nullptr);
  EXPECT_EQ(walked({.depth_max = 0}).size(), 3u);
  EXPECT_EQ(walked({.depth_max = 1}).size(), 5u);
}

TEST_F(directory_walk_test, a_root_that_is_none_is_an_error_that_names_it) {
  for (const std::string& root : {folder_ / "nowhere", folder_ / "top"}) {
    directory_walk walk(root);
    try {
      walk.next();
      FAIL() << root;
    } catch (const std::system_error& e) {
      EXPECT_NE(std::string(e.what()).find(root), std::string::npos) << e.what();
    }
    EXPECT_EQ(walk.next(), nullptr);
  }
}

TEST_F(directory_walk_test, a_directory_of_many_items_is_read_in_several_steps) {
  constexpr int count = 1000;  // two or three buffers
  for (int i = 0; i < count; ++i)
    std::ofstream(folder_ / ("d/a file with a somewhat longer name " + std::to_string(i)));
  std::set<std::string> names;
  for (const directory_item& item : walk_directory(folder_ / "d")) names.insert(item.name);
  EXPECT_EQ(names.size(), static_cast<std::size_t>(count));
  directory_walk left_early(folder_ / "d");
  EXPECT_NE(left_early.next(), nullptr);
}

TEST_F(directory_walk_test, a_deep_tree_costs_one_descriptor_and_a_path_too_long_is_reported) {
  fs::path deep = folder_ / "d";
  const std::string part(200, 'x');
  const fs::path before = fs::current_path();
  for (int i = 0; i < 25; ++i) {  // 5,000 bytes in all: step by step
    fs::current_path(i == 0 ? deep : fs::path("."));
    fs::create_directory(part);
    fs::current_path(part);
  }
  fs::current_path(before);
  std::size_t depth = 0;
  std::error_code error;
  for (const directory_item& item : walk_directory(folder_ / "d")) {
    depth = std::max(depth, item.depth);
    if (item.error) error = item.error;
  }
  EXPECT_GT(depth, 15u);
  EXPECT_EQ(error, std::errc::filename_too_long);
}

TEST_F(directory_walk_test, a_walk_whose_fiber_is_killed_ends) {
  fiber<> walker = spawn([&] {
    for (;;) {
      for (const directory_item& item : walk_directory(folder_.path())) (void)item;
    }
  });
  sleep(5ms);
  const stopwatch watch;
  walker.kill();
  expect_prompt(watch);
}

}  // namespace
}  // namespace coir::test
