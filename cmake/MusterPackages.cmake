# SPDX-License-Identifier: ISC
# What is missing, in the words of whoever has to install it.
include_guard(GLOBAL)

# The Debian packages of pkg-config modules, and of "ev", which has no module.
function(muster_debian_packages out)
  set(known
    "libwebsockets=libwebsockets-dev libwebsockets-evlib-ev" "openssl=libssl-dev" "libcrypto=libssl-dev" "json-c=libjson-c-dev"
    "libjwt=libjwt-dev" "libconfig=libconfig-dev" "ev=libev-dev" "libcurl=libcurl4-openssl-dev" "libpq=libpq-dev"
    "sqlite3=libsqlite3-dev" "libmariadb=libmariadb-dev" "libcrypt=libcrypt-dev" "cunit=libcunit1-dev")
  set(packages)
  foreach(module IN LISTS ARGN)
    string(REGEX REPLACE "[<>=].*" "" module ${module})
    set(package "the package of ${module}")
    foreach(pair IN LISTS known)
      if(pair MATCHES "^${module}=(.*)$")
        set(package ${CMAKE_MATCH_1})
      endif()
    endforeach()
    list(APPEND packages ${package})
  endforeach()
  list(REMOVE_DUPLICATES packages)
  list(JOIN packages " " packages)
  set(${out} ${packages} PARENT_SCOPE)
endfunction()

# Notes what the build goes on without; said once, at the end of the configuration.
function(muster_left_out what)
  list(JOIN ARGN ", " modules)
  muster_debian_packages(packages ${ARGN})
  set_property(GLOBAL APPEND PROPERTY MUSTER_LEFT_OUT
    "Without ${what}: ${modules} missing. To add it: apt-get install ${packages}, then configure and build again.")
endfunction()

function(muster_say_what_is_left_out)
  get_property(lines GLOBAL PROPERTY MUSTER_LEFT_OUT)
  foreach(line IN LISTS lines)
    message(NOTICE "${line}")
  endforeach()
endfunction()
