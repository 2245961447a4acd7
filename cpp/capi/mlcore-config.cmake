# find_package(mlcore): the target mlcore::mlcore, for C and C++.
get_filename_component(_mlcore_package "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
if(NOT TARGET mlcore::mlcore)
  add_library(mlcore::mlcore SHARED IMPORTED)
  set_target_properties(mlcore::mlcore PROPERTIES
    IMPORTED_LOCATION "${_mlcore_package}/libmlcore.so"
    INTERFACE_INCLUDE_DIRECTORIES "${_mlcore_package}/include")
endif()
unset(_mlcore_package)
