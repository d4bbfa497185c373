# Shared libraries export coir's public symbols only.
foreach(library coir_shared coir_net_shared)
  target_link_options(${library} PRIVATE
    -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.map)
  set_property(TARGET ${library} APPEND PROPERTY
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/exports.map)
endforeach()
