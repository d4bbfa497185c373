# What `cmake --install` leaves, and how others find it: headers, libraries, bin/coir, a CMake
# package and pkg-config files. The tree may be moved afterwards. `cpack` makes a Debian package.
include(CMakePackageConfigHelpers)

set(COIR_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/coir)

# Two export sets: a program that links the shared library needs neither Boost nor liburing, so that
# only the static one may ask for them; the same for coir_net and OpenSSL.
set_target_properties(coir_static PROPERTIES EXPORT_NAME static)
set_target_properties(coir_net_static PROPERTIES EXPORT_NAME net_static)
install(TARGETS coir_shared coir_net_shared coir_hooks EXPORT coir-targets)
install(TARGETS coir_static coir_net_static EXPORT coir-static-targets)
install(TARGETS coir_preload LIBRARY)
install(TARGETS coir_launcher RUNTIME)

install(DIRECTORY runtime/include/ net/include/ hooks/include/
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(EXPORT coir-targets NAMESPACE coir:: DESTINATION ${COIR_CMAKE_DIR})
install(EXPORT coir-static-targets NAMESPACE coir:: DESTINATION ${COIR_CMAKE_DIR})
configure_package_config_file(cmake/coir-config.cmake.in ${PROJECT_BINARY_DIR}/coir-config.cmake
  INSTALL_DESTINATION ${COIR_CMAKE_DIR} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/coir-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(
  FILES ${PROJECT_BINARY_DIR}/coir-config.cmake ${PROJECT_BINARY_DIR}/coir-config-version.cmake
  DESTINATION ${COIR_CMAKE_DIR})

# coir_install_pc(NAME LIBRARY DESCRIPTION REQUIRES PRIVATE): a pkg-config file that finds its
# prefix relative to itself.
function(coir_install_pc name library description requires private)
  file(RELATIVE_PATH COIR_PC_PREFIX "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
  set(COIR_PC_NAME ${name})
  set(COIR_PC_LIBRARY ${library})
  set(COIR_PC_DESCRIPTION ${description})
  set(COIR_PC_REQUIRES ${requires})
  set(COIR_PC_PRIVATE ${private})
  configure_file(cmake/coir.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

coir_install_pc(coir coir "${PROJECT_DESCRIPTION}" ""
  "-l:libboost_context.a -l:liburing.a -pthread")
# Not Requires.private: that would ask for OpenSSL's headers where only the shared library is used.
coir_install_pc(coir-net coir_net "Sockets for coir's fibers" "coir = ${PROJECT_VERSION}"
  "-lcares -lnghttp2 -lssl -lcrypto")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME libcoir-dev)
set(CPACK_PACKAGE_CONTACT "the coir authors")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS
  "libboost-context1.81-dev, libc-ares-dev, libnghttp2-dev, liburing-dev, libssl-dev")
include(CPack)
