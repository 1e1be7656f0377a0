coffer_test(metrics_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/metrics_test.cc ${CMAKE_CURRENT_LIST_DIR}/metrics_listener_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/config_formation_test.cc ${CMAKE_CURRENT_LIST_DIR}/config_service_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/quiet_watch_test.cc
  LIBS coffer_server
  LABELS quick)
target_compile_definitions(metrics_test PRIVATE COFFER_SOURCE="${CMAKE_SOURCE_DIR}")
