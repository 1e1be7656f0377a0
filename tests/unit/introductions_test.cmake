coffer_test(introductions_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/introductions_test.cc LIBS coffer_node_core LABELS quick)
