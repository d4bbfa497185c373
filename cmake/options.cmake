# Compiler settings shared by everything in the tree.
include(GNUInstallDirs)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
# An installed tree may be moved: its programs and libraries find each other relative to themselves.
set(CMAKE_INSTALL_RPATH "$ORIGIN;$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")

# What gcc warns of is an error; clang, which builds the fuzzers, warns of other things.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wall -Wextra -Werror -Wshadow -Wcast-align=strict
                      $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>)
endif()
# Fibers of one worker share its thread-locals; the initial-exec model reads them without a call.
add_compile_options(-ftls-model=initial-exec)

if(COIR_SANITIZE)
  add_compile_options(-fsanitize=${COIR_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${COIR_SANITIZE})
  if(COIR_SANITIZE MATCHES "address" AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    add_compile_definitions(__SANITIZE_ADDRESS__)  # which gcc defines by itself
  endif()
  if(COIR_SANITIZE STREQUAL "undefined")
    add_compile_options(-fno-sanitize-recover=all)
  elseif(COIR_SANITIZE STREQUAL "thread")
    # gcc warns that it does not model std::atomic_thread_fence; what it cannot see shows up as a
    # report, not as silence.
    add_compile_options(-Wno-tsan)
  endif()
endif()

# Internal headers are included from the repository root with quotes, and only so.
add_compile_options("SHELL:-iquote ${PROJECT_SOURCE_DIR}")
