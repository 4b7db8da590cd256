# SPDX-License-Identifier: ISC
# muster_add_plugin(NAME [SOURCES …] [LIBRARIES …] [PKG …]): one line per plugin, in tree and out of it.
#   SOURCES    default: every .c in the folder
#   LIBRARIES  further CMake targets or libraries
#   PKG        pkg-config modules: json-c …
include_guard(GLOBAL)

function(muster_add_plugin name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES;PKG" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "muster_add_plugin(${name}): unknown argument ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT name MATCHES "^[a-z][a-z0-9_]*$")
    message(FATAL_ERROR "muster_add_plugin(${name}): a plugin's name is [a-z][a-z0-9_]*")
  endif()
  if(NOT ARG_SOURCES)
    file(GLOB ARG_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
    list(FILTER ARG_SOURCES EXCLUDE REGEX "/(test|fuzz)_[^/]*\\.c$")
  endif()
  set(target muster_plugin_${name})
  add_library(${target} MODULE ${ARG_SOURCES})
  target_compile_features(${target} PRIVATE c_std_17)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla)
  target_link_libraries(${target} PRIVATE Muster::muster m ${ARG_LIBRARIES})
  target_link_options(${target} PRIVATE -Wl,-z,defs)
  if(ARG_PKG)
    find_package(PkgConfig REQUIRED)
    foreach(module IN LISTS ARG_PKG)
      string(MAKE_C_IDENTIFIER ${module} id)
      pkg_check_modules(muster_pkg_${id} REQUIRED IMPORTED_TARGET GLOBAL ${module})
      target_link_libraries(${target} PRIVATE PkgConfig::muster_pkg_${id})
    endforeach()
  endif()
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${name} PREFIX "" SUFFIX ".so" C_VISIBILITY_PRESET hidden C_EXTENSIONS OFF
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/muster/plugins)
  if(MUSTER_IN_TREE) # none: a plugin that has one is not looked up by the program's
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "")
  else() # the libraries may be elsewhere than where the program looks
    set_target_properties(${target} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  endif()
  if(NOT DEFINED MUSTER_PLUGIN_INSTALL_DIR)
    set(MUSTER_PLUGIN_INSTALL_DIR lib/muster/plugins)
  endif()
  install(TARGETS ${target} LIBRARY DESTINATION ${MUSTER_PLUGIN_INSTALL_DIR})
endfunction()
