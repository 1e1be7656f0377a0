coffer_test(config_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/config_test.cc ${CMAKE_CURRENT_LIST_DIR}/config_values_test.cc
  LIBS coffer_config LABELS quick)
