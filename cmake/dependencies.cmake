# Everything comes from Debian 12 packages; `./dev` installs them.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

set(Boost_USE_STATIC_LIBS ON)
find_package(Boost 1.81 REQUIRED COMPONENTS context)

# For TLS in coir::net.
find_package(OpenSSL 3.0 REQUIRED)

# liburing is linked statically, so that its waits never meet a hook of the same name.
pkg_check_modules(LIBURING REQUIRED liburing>=2.3)
find_library(COIR_LIBURING_ARCHIVE NAMES liburing.a REQUIRED)
# A target and not a path: an installed package must find the archive of its own machine
# (cmake/coir-config.cmake.in).
add_library(coir::liburing STATIC IMPORTED)
set_target_properties(coir::liburing PROPERTIES IMPORTED_LOCATION ${COIR_LIBURING_ARCHIVE})
set(COIR_LIBURING_STATIC coir::liburing)

# Name look-ups without threads. c-ares makes its socket calls through functions of ours, so it may
# be a shared library.
pkg_check_modules(CARES REQUIRED libcares>=1.18)

# HTTP/2's frames and states. It makes no system calls.
pkg_check_modules(NGHTTP2 REQUIRED libnghttp2>=1.52)
