find_package(GTest REQUIRED)
find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)

# Where io_uring is not allowed, the uring half of a test program exits with this code and counts as
# skipped.
set(COIR_SKIP_CODE 77)

# Settings that every test gets in its environment, and a launcher that runs it.
set(COIR_TEST_ENVIRONMENT "")
set(COIR_TEST_LAUNCHER "")
if(COIR_SANITIZE STREQUAL "address")
  list(APPEND COIR_TEST_ENVIRONMENT "ASAN_OPTIONS=strict_string_checks=1")
elseif(COIR_SANITIZE STREQUAL "undefined")
  list(APPEND COIR_TEST_ENVIRONMENT "UBSAN_OPTIONS=print_stacktrace=1")
elseif(COIR_SANITIZE STREQUAL "thread")
  set(suppressions ${PROJECT_SOURCE_DIR}/tests/support/tsan.supp)
  list(APPEND COIR_TEST_ENVIRONMENT
    "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=${suppressions}")
  # gcc's thread sanitizer stops with "unexpected memory mapping" where vm.mmap_rnd_bits is large;
  # without address randomisation it works everywhere. Some containers forbid to switch that off;
  # there it is tried as it is.
  execute_process(COMMAND setarch -R true RESULT_VARIABLE setarch_result OUTPUT_QUIET ERROR_QUIET)
  if(setarch_result EQUAL 0)
    set(COIR_TEST_LAUNCHER setarch -R)
  endif()
endif()

# The main of all test programs, compiled once.
if(NOT TARGET coir_test_main)
  add_library(coir_test_main OBJECT ${PROJECT_SOURCE_DIR}/tests/support/main.cpp)
  target_link_libraries(coir_test_main PRIVATE GTest::gtest)
endif()

# coir_add_test(NAME SOURCES file... [LIBRARIES target...] [TIMEOUT seconds] [LABELS label...])
#
# Builds one GoogleTest program and registers it once for each backend, as NAME.uring and
# NAME.epoll, so that every behaviour is tested on both from one source. tests/support/main.cpp is
# its main.
function(coir_add_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LIBRARIES;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES} $<TARGET_OBJECTS:coir_test_main>)
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} GTest::gtest)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  coir_register_on_both_backends(${name} ${arg_TIMEOUT} "${arg_LABELS}" $<TARGET_FILE:${name}>)
endfunction()

# coir_register_on_both_backends(NAME TIMEOUT LABELS command...)
function(coir_register_on_both_backends name timeout labels)
  foreach(backend uring epoll)
    add_test(NAME ${name}.${backend} COMMAND ${COIR_TEST_LAUNCHER} ${ARGN})
    set_tests_properties(${name}.${backend} PROPERTIES
      TIMEOUT ${timeout} LABELS "${labels}" SKIP_RETURN_CODE ${COIR_SKIP_CODE}
      ENVIRONMENT "COIR_BACKEND=${backend};${COIR_TEST_ENVIRONMENT}")
  endforeach()
endfunction()
